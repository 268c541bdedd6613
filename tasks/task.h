// Tasks: streams of examples, each a pure function of (spec, split, seed,
// index).
//
// A task is made from a JSON spec and knows nothing of models. An example is
// two rows of equal length: inputs[i] is the token read at position i and
// targets[i] the token that the model should give AT position i, or kIgnore
// where nothing is scored. Labels are already aligned: nobody shifts them.
//
//   LT2_ASSIGN_OR_RETURN(std::unique_ptr<Task> task,
//                        CreateTask({{"task", "mqar"}, {"pairs", 8}}));
//   LT2_ASSIGN_OR_RETURN(
//       Batch batch, MakeBatch(*task, Split::kTrain, seed, first_index,
//                              batch_size, task->max_length(Split::kTrain)));
//
// Randomness is counter-based: example `index` of a split needs no earlier
// example, and is the same on every machine and for any number of threads.
// The three splits are disjoint streams of one seed (they differ in the
// counter, so no number is used twice).

#ifndef LT2_TASKS_TASK_H_
#define LT2_TASKS_TASK_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lt2::tasks {

// The target of a position that is not scored. Equal to the ignored target of
// kernels/cross_entropy.
inline constexpr int32_t kIgnore = -100;

enum class Split : uint32_t { kTrain = 0, kValid = 1, kTest = 2 };

// "train", "valid" or "test".
absl::string_view Name(Split split);

// One example of its natural length.
struct Example {
  std::vector<int32_t> inputs, targets;
  // Metric group of each position: an index into Task::group_names(). Empty if
  // the task has no groups.
  std::vector<int32_t> groups;
};

// A rectangle of host data, row-major [batch, seq].
struct Batch {
  int64_t batch = 0, seq = 0;
  std::vector<int32_t> inputs, targets;
  std::vector<int32_t> groups;  // Empty if the task has no groups.
};

// What the targets of an example of text stand for.
struct Passage {
  int64_t document = -1;  // of the split, from 0; -1: not told
  int64_t bytes = 0;
};

class Task {
 public:
  virtual ~Task() = default;

  // The name in the registry, e.g. "mqar".
  virtual absl::string_view name() const = 0;

  // Goes up when the examples of an unchanged spec change.
  virtual int version() const = 0;

  // Inputs and targets are in [0, vocab_size()).
  virtual int64_t vocab_size() const = 0;

  // The length of the longest example of a split.
  virtual int64_t max_length(Split split) const = 0;

  // The number of examples of a split; -1 if there is no end.
  virtual int64_t num_examples(Split) const { return -1; }

  // The input token that fills the rest of a row. It comes after every scored
  // position, so a causal model cannot see it there.
  virtual int32_t pad_id() const { return 0; }

  // Writes example `index` >= 0. Pure and safe to call from many threads.
  // OutOfRange when index >= num_examples(split) >= 0.
  virtual absl::Status Generate(Split split, uint64_t seed, int64_t index,
                                Example* example) const = 0;

  // The accuracy on scored positions of guessing among the possible answers
  // without knowing the input's order; scaled accuracy is
  // (accuracy - chance) / (1 - chance).
  virtual double chance() const = 0;

  // Names of metric groups, e.g. {"64/4", "128/8"}; empty if there are none.
  virtual std::vector<std::string> group_names() const { return {}; }

  // Text by tokens only: valid and test examples, whose passages add up to the
  // documents and make bits per byte exact.
  virtual Passage passage(Split, int64_t /*index*/) const { return {}; }

  // The spec that makes this task again, with every parameter filled in.
  virtual nlohmann::json spec() const = 0;
};

struct TaskOptions {
  // Folder that relative file names of a spec start from; "" is the current
  // directory.
  std::string data_dir;
  // Where the spec stands in a larger configuration, for error messages:
  // with "data", a bad key "pairs" is reported as "data.pairs: ...".
  std::string path;
};

// Makes a task from {"task": name, ...}. Unknown keys, wrong types and
// impossible values are errors that begin with the path of the key.
absl::StatusOr<std::unique_ptr<Task>> CreateTask(
    const nlohmann::json& spec, const TaskOptions& options = {});

// The names that CreateTask knows, sorted.
std::vector<std::string> TaskNames();

// The examples `indices`, one a row, each padded to `seq` with the task's
// pad_id and kIgnore. Fixed shapes are what CUDA graphs need. An example
// longer than `seq` is an error; a row at or past num_examples(split) is all
// padding, so that the last batch of a finite split has the same shape.
absl::StatusOr<Batch> MakeBatch(const Task& task, Split split, uint64_t seed,
                                absl::Span<const int64_t> indices, int64_t seq);

// The examples first_index, ..., first_index + batch - 1.
absl::StatusOr<Batch> MakeBatch(const Task& task, Split split, uint64_t seed,
                                int64_t first_index, int64_t batch,
                                int64_t seq);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TASK_H_

#include "tasks/task.h"

#include <algorithm>
#include <numeric>

#include "kernels/core/status.h"

namespace lt2::tasks {

absl::string_view Name(Split split) {
  switch (split) {
    case Split::kTrain:
      return "train";
    case Split::kValid:
      return "valid";
    case Split::kTest:
      return "test";
  }
  return "?";
}

absl::StatusOr<Batch> MakeBatch(const Task& task, Split split, uint64_t seed,
                                absl::Span<const int64_t> indices,
                                int64_t seq) {
  if (seq < 0) return InvalidArgument("seq must be >= 0, got ", seq);
  const int64_t rows = static_cast<int64_t>(indices.size());
  const int64_t end = task.num_examples(split);
  Batch batch;
  batch.batch = rows;
  batch.seq = seq;
  batch.inputs.assign(rows * seq, task.pad_id());
  batch.targets.assign(rows * seq, kIgnore);
  if (!task.group_names().empty()) batch.groups.assign(rows * seq, 0);
  Example example;
  for (int64_t row = 0; row < rows; ++row) {
    if (end >= 0 && indices[row] >= end) continue;
    LT2_RETURN_IF_ERROR(task.Generate(split, seed, indices[row], &example));
    const int64_t length = static_cast<int64_t>(example.inputs.size());
    if (length > seq) {
      return InvalidArgument(task.name(), ": ", Name(split), " example ",
                             indices[row], " has ", length,
                             " tokens, more than seq = ", seq);
    }
    const int64_t begin = row * seq;
    std::copy(example.inputs.begin(), example.inputs.end(),
              batch.inputs.begin() + begin);
    std::copy(example.targets.begin(), example.targets.end(),
              batch.targets.begin() + begin);
    if (!batch.groups.empty()) {
      std::copy(example.groups.begin(), example.groups.end(),
                batch.groups.begin() + begin);
    }
  }
  return batch;
}

absl::StatusOr<Batch> MakeBatch(const Task& task, Split split, uint64_t seed,
                                int64_t first_index, int64_t batch,
                                int64_t seq) {
  if (batch < 0) return InvalidArgument("batch must be >= 0, got ", batch);
  if (first_index < 0) {
    return InvalidArgument("first_index must be >= 0, got ", first_index);
  }
  std::vector<int64_t> indices(batch);
  std::iota(indices.begin(), indices.end(), first_index);
  return MakeBatch(task, split, seed, indices, seq);
}

}  // namespace lt2::tasks

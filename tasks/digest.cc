#include "tasks/digest.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "kernels/core/status.h"

namespace lt2::tasks {
namespace {

class Fnv1a {
 public:
  void Add(uint32_t word) {
    for (int byte = 0; byte < 4; ++byte) {
      hash_ = (hash_ ^ ((word >> (8 * byte)) & 0xff)) * 0x100000001b3u;
    }
  }
  void Add(const std::vector<int32_t>& words) {
    for (int32_t word : words) Add(static_cast<uint32_t>(word));
  }
  uint64_t hash() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};

}  // namespace

absl::StatusOr<std::string> Digest(const Task& task, Split split, uint64_t seed,
                                   int64_t examples) {
  const int64_t end = task.num_examples(split);
  if (end >= 0) examples = std::min(examples, end);
  Fnv1a hash;
  Example example;
  for (int64_t index = 0; index < examples; ++index) {
    LT2_RETURN_IF_ERROR(task.Generate(split, seed, index, &example));
    hash.Add(static_cast<uint32_t>(example.inputs.size()));
    hash.Add(example.inputs);
    hash.Add(example.targets);
  }
  return absl::StrFormat("%016x", hash.hash());
}

}  // namespace lt2::tasks

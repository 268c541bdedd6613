#include "tasks/digest.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "kernels/core/hash.h"
#include "kernels/core/status.h"

namespace lt2::tasks {
namespace {

// The words' bytes, the lowest first.
uint64_t Add(uint64_t hash, absl::Span<const int32_t> words) {
  for (int32_t word : words) {
    char bytes[4];
    for (int i = 0; i < 4; ++i) {
      bytes[i] = static_cast<char>(static_cast<uint32_t>(word) >> (8 * i));
    }
    hash = Fnv1a({bytes, 4}, hash);
  }
  return hash;
}

}  // namespace

absl::StatusOr<std::string> Digest(const Task& task, Split split, uint64_t seed,
                                   int64_t examples) {
  const int64_t end = task.num_examples(split);
  if (end >= 0) examples = std::min(examples, end);
  uint64_t hash = kFnv1aEmpty;
  Example example;
  for (int64_t index = 0; index < examples; ++index) {
    LT2_RETURN_IF_ERROR(task.Generate(split, seed, index, &example));
    hash = Add(hash, {static_cast<int32_t>(example.inputs.size())});
    hash = Add(hash, example.inputs);
    hash = Add(hash, example.targets);
  }
  return absl::StrFormat("%016x", hash);
}

}  // namespace lt2::tasks

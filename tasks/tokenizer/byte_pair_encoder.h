// Byte pair encoding of one piece of text.
//
// A piece begins as one token per byte. As long as some two neighbours can be
// merged, the pair with the lowest rank is, the leftmost of equal ones. Token
// files say this in two ways: a list of merges, whose place is their rank
// (GPT-2, Hugging Face), or only tokens with ranks, where a pair can be merged
// if its bytes together are a token, with that token's rank (tiktoken). The
// second is turned into the first at loading: MergesOfRanks.
//
// Cost: O(n) for pieces in the thread's cache, else O(n log n) for n bytes.
// Encode may be called from many threads; each keeps its own cache of pieces
// (2 MiB, shared by all encoders).

#ifndef LT2_TASKS_TOKENIZER_BYTE_PAIR_ENCODER_H_
#define LT2_TASKS_TOKENIZER_BYTE_PAIR_ENCODER_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lt2::tasks {

struct MergeRule {
  int32_t left, right;  // ids
  int32_t result;       // id of the token with the bytes of both
  int32_t rank;         // lower first
};

class BytePairEncoder {
 public:
  // tokens[id] = its bytes, "" for an id that text is never encoded as. No two
  // tokens may have the same bytes, no two rules the same pair. If
  // `whole_pieces`, a piece that is a token is encoded as that, whatever the
  // merges. Bytes that are no token are left out of pieces before merging.
  static absl::StatusOr<BytePairEncoder> Create(
      const std::vector<std::string>& tokens,
      const std::vector<MergeRule>& merges, bool whole_pieces);

  // Appends the ids of `piece`.
  void Encode(absl::string_view piece, std::vector<int32_t>* ids) const;

  // The bytes that are no token, in ascending order.
  std::string MissingBytes() const;

  // The id of the token of one byte, -1 if there is none.
  int32_t ByteId(char byte) const {
    return byte_ids_[static_cast<unsigned char>(byte)];
  }

 private:
  struct Merge {
    int32_t rank, result;
  };
  BytePairEncoder() = default;
  const Merge* Find(int32_t left, int32_t right) const;
  void EncodeUncached(absl::string_view piece, std::vector<int32_t>* ids) const;
  void MergeShort(absl::string_view piece, std::vector<int32_t>* ids) const;
  void MergeLong(absl::string_view piece, std::vector<int32_t>* ids) const;

  std::array<int32_t, 256> byte_ids_;
  absl::flat_hash_map<uint64_t, Merge> merges_;
  absl::flat_hash_map<std::string, int32_t> whole_pieces_;
  bool misses_bytes_ = false;
  uint64_t serial_ = 0;  // of this encoder, for the cache
};

// The rules that rank files imply: for each token, every way to cut it into two
// tokens. tokens[rank] = bytes, as in Create.
std::vector<MergeRule> MergesOfRanks(const std::vector<std::string>& tokens);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_BYTE_PAIR_ENCODER_H_

#include "tasks/tokenizer/byte_pair_encoder.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <memory>
#include <queue>
#include <tuple>

#include "kernels/core/json/strict_json.h"
#include "kernels/core/status.h"

namespace lt2::tasks {
namespace {

constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();
// Up to here looking at all pairs costs less than a heap.
constexpr size_t kShort = 48;

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 |
         static_cast<uint32_t>(right);
}

// One slot of a cache in which a newer piece takes the place of an older one
// with the same slot. A line of the processor's cache each.
struct alignas(64) CachedPiece {
  static constexpr size_t kBytes = 26, kIds = 7;
  uint32_t serial;  // 0 = free
  uint8_t length;
  uint8_t count;
  char bytes[kBytes];
  int32_t ids[kIds];
};
static_assert(sizeof(CachedPiece) == 64);
constexpr int kCacheBits = 15;

CachedPiece& CacheSlot(uint64_t serial, absl::string_view piece) {
  thread_local const std::unique_ptr<CachedPiece[]> slots(
      new CachedPiece[size_t{1} << kCacheBits]());
  uint64_t words[4] = {};
  std::memcpy(words, piece.data(), piece.size());
  uint64_t hash = serial * 31 + piece.size();
  for (uint64_t word : words) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return slots[hash * 0xBF58476D1CE4E5B9u >> (64 - kCacheBits)];
}

}  // namespace

absl::StatusOr<BytePairEncoder> BytePairEncoder::Create(
    const std::vector<std::string>& tokens,
    const std::vector<MergeRule>& merges, bool whole_pieces) {
  static std::atomic<uint64_t> encoders{0};
  BytePairEncoder encoder;
  encoder.serial_ = ++encoders;
  encoder.byte_ids_.fill(-1);
  absl::flat_hash_map<absl::string_view, int32_t> ids;
  ids.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string& token = tokens[id];
    if (token.empty()) continue;
    const auto [other, inserted] = ids.emplace(token, id);
    if (!inserted) {
      return InvalidArgument("tokens ", other->second, " and ", id,
                             " have the same bytes, ", Quoted(token));
    }
    if (token.size() == 1) {
      encoder.byte_ids_[static_cast<unsigned char>(token[0])] =
          static_cast<int32_t>(id);
    }
    if (whole_pieces) encoder.whole_pieces_.emplace(token, id);
  }
  encoder.misses_bytes_ = !encoder.MissingBytes().empty();
  encoder.merges_.reserve(merges.size());
  for (const MergeRule& rule : merges) {
    const Merge merge = {rule.rank, rule.result};
    if (!encoder.merges_.emplace(PairKey(rule.left, rule.right), merge)
             .second) {
      return InvalidArgument("tokens ", rule.left, " and ", rule.right,
                             " are merged by two rules, the second of rank ",
                             rule.rank);
    }
  }
  return encoder;
}

std::string BytePairEncoder::MissingBytes() const {
  std::string missing;
  for (int byte = 0; byte < 256; ++byte) {
    if (byte_ids_[byte] < 0) missing.push_back(static_cast<char>(byte));
  }
  return missing;
}

const BytePairEncoder::Merge* BytePairEncoder::Find(int32_t left,
                                                    int32_t right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void BytePairEncoder::Encode(absl::string_view piece,
                             std::vector<int32_t>* ids) const {
  if (piece.size() <= 1 || merges_.empty()) {
    for (char byte : piece) {
      if (ByteId(byte) >= 0) ids->push_back(ByteId(byte));
    }
    return;
  }
  if (piece.size() > CachedPiece::kBytes) {
    EncodeUncached(piece, ids);
    return;
  }
  CachedPiece& slot = CacheSlot(serial_, piece);
  if (slot.serial == static_cast<uint32_t>(serial_) &&
      slot.length == piece.size() &&
      std::memcmp(slot.bytes, piece.data(), piece.size()) == 0) {
    ids->insert(ids->end(), slot.ids, slot.ids + slot.count);
    return;
  }
  const size_t before = ids->size();
  EncodeUncached(piece, ids);
  const size_t count = ids->size() - before;
  if (count > CachedPiece::kIds) return;
  slot.serial = static_cast<uint32_t>(serial_);
  slot.length = static_cast<uint8_t>(piece.size());
  slot.count = static_cast<uint8_t>(count);
  std::memcpy(slot.bytes, piece.data(), piece.size());
  std::copy(ids->begin() + before, ids->end(), slot.ids);
}

void BytePairEncoder::EncodeUncached(absl::string_view piece,
                                     std::vector<int32_t>* ids) const {
  if (!whole_pieces_.empty()) {
    const auto found = whole_pieces_.find(piece);
    if (found != whole_pieces_.end()) {
      ids->push_back(found->second);
      return;
    }
  }
  std::string kept;
  if (misses_bytes_) {
    for (char byte : piece) {
      if (ByteId(byte) >= 0) kept.push_back(byte);
    }
    piece = kept;
  }
  if (piece.size() <= kShort) {
    MergeShort(piece, ids);
  } else {
    MergeLong(piece, ids);
  }
}

void BytePairEncoder::MergeShort(absl::string_view piece,
                                 std::vector<int32_t>* ids) const {
  size_t size = piece.size();
  int32_t parts[kShort];
  // Of the pair that begins at each part.
  Merge pairs[kShort] = {};
  const auto look_up = [&](size_t i) {
    const Merge* merge = i + 1 < size ? Find(parts[i], parts[i + 1]) : nullptr;
    pairs[i] = merge != nullptr ? *merge : Merge{kNoRank, -1};
  };
  for (size_t i = 0; i < size; ++i) parts[i] = ByteId(piece[i]);
  for (size_t i = 0; i < size; ++i) look_up(i);
  while (true) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < size; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (size == 0 || pairs[best].rank == kNoRank) break;
    parts[best] = pairs[best].result;
    --size;
    std::copy(parts + best + 2, parts + size + 1, parts + best + 1);
    std::copy(pairs + best + 2, pairs + size + 1, pairs + best + 1);
    look_up(best);
    if (best > 0) look_up(best - 1);
  }
  ids->insert(ids->end(), parts, parts + size);
}

void BytePairEncoder::MergeLong(absl::string_view piece,
                                std::vector<int32_t>* ids) const {
  // Parts are a doubly linked list over the piece's places; a merge keeps the
  // place of its left part. Candidates of pairs that have since changed stay in
  // the heap and are thrown away when they come up.
  struct Part {
    int32_t id;  // -1 = merged into a part to the left
    int64_t previous, next;
  };
  struct Candidate {
    int32_t rank, left, right, result;
    int64_t place;
    bool operator<(const Candidate& other) const {  // the top is the greatest
      return std::tie(rank, place) > std::tie(other.rank, other.place);
    }
  };
  const int64_t size = static_cast<int64_t>(piece.size());
  std::vector<Part> parts(size);
  for (int64_t i = 0; i < size; ++i) {
    parts[i] = {ByteId(piece[i]), i - 1, i + 1};
  }
  std::vector<Candidate> storage;
  storage.reserve(size);
  std::priority_queue<Candidate> candidates({}, std::move(storage));
  const auto offer = [&](int64_t place) {
    if (place < 0 || parts[place].next >= size) return;
    const int32_t left = parts[place].id;
    const int32_t right = parts[parts[place].next].id;
    const Merge* merge = Find(left, right);
    if (merge == nullptr) return;
    candidates.push({merge->rank, left, right, merge->result, place});
  };
  for (int64_t i = 0; i < size; ++i) offer(i);
  while (!candidates.empty()) {
    const Candidate top = candidates.top();
    candidates.pop();
    Part& left = parts[top.place];
    if (left.id != top.left || left.next >= size) continue;
    Part& right = parts[left.next];
    if (right.id != top.right) continue;
    left.id = top.result;
    right.id = -1;
    left.next = right.next;
    if (left.next < size) parts[left.next].previous = top.place;
    offer(top.place);
    offer(left.previous);
  }
  for (int64_t i = 0; i < size; i = parts[i].next) ids->push_back(parts[i].id);
}

std::vector<MergeRule> MergesOfRanks(const std::vector<std::string>& tokens) {
  absl::flat_hash_map<absl::string_view, int32_t> ids;
  ids.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) ids.emplace(tokens[id], id);
  }
  std::vector<MergeRule> rules;
  for (size_t id = 0; id < tokens.size(); ++id) {
    const absl::string_view token = tokens[id];
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = ids.find(token.substr(0, cut));
      if (left == ids.end()) continue;
      const auto right = ids.find(token.substr(cut));
      if (right == ids.end()) continue;
      rules.push_back({left->second, right->second, static_cast<int32_t>(id),
                       static_cast<int32_t>(id)});
    }
  }
  return rules;
}

}  // namespace lt2::tasks

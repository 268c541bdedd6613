#include "model/config/pattern.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernels/core/philox.h"

namespace lt2::model {
namespace {

using Parts = std::vector<std::string>;

// Streams of the generator: one for the masks, one for the mixers.
constexpr uint32_t kMaskStream = 0x7061, kLayerStream = 0x6c61;

Parts Split(absl::string_view text, char separator) {
  return absl::StrSplit(text, separator);
}

absl::StatusOr<int64_t> Count(absl::string_view pattern,
                              const std::string& text) {
  int64_t n;
  if (!absl::SimpleAtoi(text, &n) || n < 0) {
    return InvalidArgument("pattern '", pattern, "': expected a count, got '",
                           text, "'");
  }
  return n;
}

absl::Status BadPattern(absl::string_view pattern, absl::string_view grammar) {
  return InvalidArgument("pattern '", pattern, "' is none of ", grammar);
}

// The last two of `parts` are two mixers.
absl::Status Distinct(absl::string_view pattern, const Parts& parts) {
  if (parts.back() != parts[parts.size() - 2]) return absl::OkStatus();
  return InvalidArgument("pattern '", pattern, "' names one type twice");
}

// Layers of a cycle of `first` then `second`: true in the second part.
absl::StatusOr<std::vector<bool>> Cycle(absl::string_view pattern,
                                        int64_t first, int64_t second,
                                        int64_t n) {
  if (first + second == 0) {
    return InvalidArgument("pattern '", pattern, "' has an empty cycle");
  }
  std::vector<bool> in_second(n);
  for (int64_t i = 0; i < n; ++i) in_second[i] = i % (first + second) >= first;
  return in_second;
}

absl::StatusOr<std::vector<bool>> Ends(absl::string_view pattern, int64_t k,
                                       bool front, bool back, int64_t n) {
  if (k * (front + back) > n) {
    return InvalidArgument("pattern '", pattern, "' needs ", k * (front + back),
                           " layers, n_layers is ", n);
  }
  std::vector<bool> at_end(n);
  for (int64_t i = 0; i < n; ++i) {
    at_end[i] = (front && i < k) || (back && i >= n - k);
  }
  return at_end;
}

// One static attention pattern: a window for each layer.
absl::StatusOr<std::vector<int64_t>> StaticWindows(absl::string_view pattern,
                                                   int64_t n,
                                                   int64_t default_window) {
  constexpr absl::string_view kGrammar =
      "full, SWA=n, W:F, bookend:K, sandwich:K, or a list of n_layers windows";
  if (pattern == "full") return std::vector<int64_t>(n, 0);
  if (absl::StartsWith(pattern, "SWA=")) {
    LT2_ASSIGN_OR_RETURN(int64_t w,
                         Count(pattern, std::string(pattern.substr(4))));
    if (w < 1) return InvalidArgument("pattern '", pattern, "': window 0");
    return std::vector<int64_t>(n, w);
  }
  if (absl::StrContains(pattern, ",") || pattern == "None") {
    std::vector<int64_t> windows;
    for (absl::string_view part : absl::StrSplit(pattern, ',')) {
      part = absl::StripAsciiWhitespace(part);
      if (part == "None") {
        windows.push_back(0);
        continue;
      }
      LT2_ASSIGN_OR_RETURN(int64_t w, Count(pattern, std::string(part)));
      if (w < 1) return InvalidArgument("pattern '", pattern, "': window 0");
      windows.push_back(w);
    }
    if (static_cast<int64_t>(windows.size()) != n) {
      return InvalidArgument("pattern '", pattern, "' lists ", windows.size(),
                             " layers, n_layers is ", n);
    }
    return windows;
  }
  const Parts parts = Split(pattern, ':');
  if (parts.size() != 2) return BadPattern(pattern, kGrammar);
  std::vector<bool> full;
  if (parts[0] == "bookend" || parts[0] == "sandwich") {
    LT2_ASSIGN_OR_RETURN(int64_t k, Count(pattern, parts[1]));
    LT2_ASSIGN_OR_RETURN(full, Ends(pattern, k, true, true, n));
  } else {
    LT2_ASSIGN_OR_RETURN(int64_t w, Count(pattern, parts[0]));
    LT2_ASSIGN_OR_RETURN(int64_t f, Count(pattern, parts[1]));
    LT2_ASSIGN_OR_RETURN(full, Cycle(pattern, w, f, n));
  }
  std::vector<int64_t> windows;
  for (bool is_full : full) windows.push_back(is_full ? 0 : default_window);
  return windows;
}

// One static layer pattern: a mixer for each layer.
absl::StatusOr<Parts> StaticTypes(absl::string_view pattern, int64_t n_layers) {
  if (absl::StrContains(pattern, ",")) {
    Parts types;
    for (absl::string_view part : absl::StrSplit(pattern, ',')) {
      types.emplace_back(absl::StripAsciiWhitespace(part));
    }
    if (static_cast<int64_t>(types.size()) != n_layers) {
      return InvalidArgument("pattern '", pattern, "' lists ", types.size(),
                             " layers, n_layers is ", n_layers);
    }
    return types;
  }
  const Parts parts = Split(pattern, ':');
  if (parts.size() == 1) return Parts(n_layers, parts[0]);
  std::vector<bool> second;
  if (parts[0] == "interleaved" && parts.size() == 5) {
    LT2_ASSIGN_OR_RETURN(int64_t n, Count(pattern, parts[1]));
    LT2_ASSIGN_OR_RETURN(int64_t m, Count(pattern, parts[2]));
    LT2_ASSIGN_OR_RETURN(second, Cycle(pattern, n, m, n_layers));
  } else if ((parts[0] == "bookend" || parts[0] == "front" ||
              parts[0] == "back") &&
             parts.size() == 4) {
    LT2_ASSIGN_OR_RETURN(int64_t k, Count(pattern, parts[1]));
    LT2_ASSIGN_OR_RETURN(second, Ends(pattern, k, parts[0] != "back",
                                      parts[0] != "front", n_layers));
  } else {
    return BadPattern(pattern,
                      "TYPE, interleaved:N:M:TYPE1:TYPE2, "
                      "bookend|front|back:K:TYPE1:TYPE2, a list of n_layers "
                      "types, one of these for each loop joined by '->', or "
                      "random|bookend_random:N:M:TYPE1:TYPE2");
  }
  LT2_RETURN_IF_ERROR(Distinct(pattern, parts));
  Parts types;
  for (bool is_second : second) {
    types.push_back(is_second ? parts.back() : parts[parts.size() - 2]);
  }
  return types;
}

// "random:A:B" and "bookend_random:A:B", the first three of `parts`.
absl::StatusOr<RandomSlots> ReadRandom(absl::string_view pattern,
                                       const Parts& parts, uint32_t stream) {
  RandomSlots slots;
  slots.bookend = parts[0] == "bookend_random";
  slots.stream = stream;
  LT2_ASSIGN_OR_RETURN(slots.others, Count(pattern, parts[1]));
  LT2_ASSIGN_OR_RETURN(slots.share, Count(pattern, parts[2]));
  LT2_RETURN_IF_ERROR(Cycle(pattern, slots.others, slots.share, 0).status());
  return slots;
}

bool IsRandom(const Parts& parts) {
  return parts[0] == "random" || parts[0] == "bookend_random";
}

// The parts of "P->P->...", trimmed; one, or as many as there are loops.
absl::StatusOr<Parts> Loops(absl::string_view pattern, int64_t loop_count) {
  Parts loops;
  for (absl::string_view part : absl::StrSplit(pattern, "->")) {
    loops.emplace_back(absl::StripAsciiWhitespace(part));
  }
  if (loops.size() > 1 && static_cast<int64_t>(loops.size()) != loop_count) {
    return InvalidArgument("pattern '", pattern, "' has ", loops.size(),
                           " parts, loop_count is ", loop_count);
  }
  return loops;
}

// Rows of a static pattern for any number of loops, one after the other.
template <typename T>
std::vector<T> Repeat(const std::vector<std::vector<T>>& per_loop,
                      int64_t loops) {
  const int64_t last = static_cast<int64_t>(per_loop.size()) - 1;
  std::vector<T> slots;
  for (int64_t loop = 0; loop < loops; ++loop) {
    const std::vector<T>& row = per_loop[std::min(loop, last)];
    slots.insert(slots.end(), row.begin(), row.end());
  }
  return slots;
}

}  // namespace

std::vector<bool> RandomSlots::Draw(int64_t n_layers, int64_t loops,
                                    uint64_t seed, uint64_t step) const {
  const int64_t slots = loops * n_layers;
  std::vector<bool> drawn(slots);
  int64_t left = slots * share / (others + share);
  std::vector<int64_t> candidates;
  for (int64_t slot = 0; slot < slots; ++slot) {
    const int64_t layer = slot % n_layers;
    if (bookend && (layer == 0 || layer == n_layers - 1)) {
      drawn[slot] = true;
      --left;
    } else {
      candidates.push_back(slot);
    }
  }
  Philox rng(seed, step, stream);
  rng.Shuffle(candidates);
  const int64_t available = static_cast<int64_t>(candidates.size());
  for (int64_t i = 0; i < std::min(left, available); ++i) {
    drawn[candidates[i]] = true;
  }
  return drawn;
}

absl::StatusOr<LayerPattern> LayerPattern::Parse(absl::string_view pattern,
                                                 int64_t n_layers,
                                                 int64_t loop_count) {
  LayerPattern result;
  result.n_layers_ = n_layers;
  const Parts parts = Split(pattern, ':');
  if (IsRandom(parts)) {
    if (parts.size() != 5) {
      return BadPattern(pattern, "random|bookend_random:N:M:TYPE1:TYPE2");
    }
    result.random_ = true;
    LT2_ASSIGN_OR_RETURN(result.slots_,
                         ReadRandom(pattern, parts, kLayerStream));
    LT2_RETURN_IF_ERROR(Distinct(pattern, parts));
    result.type1_ = parts[3];
    result.type2_ = parts[4];
    return result;
  }
  LT2_ASSIGN_OR_RETURN(const Parts loops, Loops(pattern, loop_count));
  for (const std::string& loop : loops) {
    LT2_ASSIGN_OR_RETURN(Parts types, StaticTypes(loop, n_layers));
    result.per_loop_.push_back(std::move(types));
  }
  return result;
}

std::vector<std::string> LayerPattern::Types(int64_t loops, uint64_t seed,
                                             uint64_t step) const {
  if (!random_) return Repeat(per_loop_, loops);
  std::vector<std::string> types;
  for (bool second : slots_.Draw(n_layers_, loops, seed, step)) {
    types.push_back(second ? type2_ : type1_);
  }
  return types;
}

std::vector<std::string> LayerPattern::TypesOf(int64_t layer) const {
  if (random_) {
    const bool end = layer == 0 || layer == n_layers_ - 1;
    if (slots_.bookend && end) return {type2_};
    Parts types;
    if (slots_.others > 0) types.push_back(type1_);
    if (slots_.share > 0) types.push_back(type2_);
    return types;
  }
  Parts types;
  for (const Parts& row : per_loop_) {
    if (std::find(types.begin(), types.end(), row[layer]) == types.end()) {
      types.push_back(row[layer]);
    }
  }
  return types;
}

absl::StatusOr<AttentionPattern> AttentionPattern::Parse(
    absl::string_view pattern, int64_t n_layers, int64_t loop_count,
    int64_t default_window) {
  AttentionPattern result;
  result.n_layers_ = n_layers;
  result.default_window_ = default_window;
  const Parts parts = Split(pattern, ':');
  if (IsRandom(parts)) {
    if (parts.size() != 3) {
      return BadPattern(pattern, "random:W:F, bookend_random:W:F");
    }
    result.random_ = true;
    LT2_ASSIGN_OR_RETURN(result.slots_,
                         ReadRandom(pattern, parts, kMaskStream));
    return result;
  }
  LT2_ASSIGN_OR_RETURN(const Parts loops, Loops(pattern, loop_count));
  for (const std::string& loop : loops) {
    LT2_ASSIGN_OR_RETURN(std::vector<int64_t> windows,
                         StaticWindows(loop, n_layers, default_window));
    result.per_loop_.push_back(std::move(windows));
  }
  return result;
}

std::vector<int64_t> AttentionPattern::Windows(int64_t loops, uint64_t seed,
                                               uint64_t step) const {
  if (!random_) return Repeat(per_loop_, loops);
  std::vector<int64_t> windows;
  for (bool full : slots_.Draw(n_layers_, loops, seed, step)) {
    windows.push_back(full ? 0 : default_window_);
  }
  return windows;
}

}  // namespace lt2::model

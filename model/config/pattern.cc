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
                           " layers, there are ", n);
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
                             " layers, there are ", n);
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

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseLayerPattern(
    absl::string_view pattern, int64_t n_layers) {
  if (absl::StrContains(pattern, ",")) {
    Parts types;
    for (absl::string_view part : absl::StrSplit(pattern, ',')) {
      types.emplace_back(absl::StripAsciiWhitespace(part));
    }
    if (static_cast<int64_t>(types.size()) != n_layers) {
      return InvalidArgument("pattern '", pattern, "' lists ", types.size(),
                             " layers, there are ", n_layers);
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
                      "bookend|front|back:K:TYPE1:TYPE2, or a comma list");
  }
  const std::string &type1 = parts[parts.size() - 2], &type2 = parts.back();
  if (type1 == type2) {
    return InvalidArgument("pattern '", pattern, "' names one type twice");
  }
  Parts types;
  for (bool is_second : second) types.push_back(is_second ? type2 : type1);
  return types;
}

absl::StatusOr<AttentionPattern> AttentionPattern::Parse(
    absl::string_view pattern, int64_t n_layers, int64_t loop_count,
    int64_t default_window) {
  AttentionPattern result;
  result.n_layers_ = n_layers;
  result.default_window_ = default_window;
  const Parts parts = Split(pattern, ':');
  if (parts[0] == "random" || parts[0] == "bookend_random") {
    if (parts.size() != 3) {
      return BadPattern(pattern, "random:W:F, bookend_random:W:F");
    }
    result.random_ = true;
    result.bookend_ = parts[0] == "bookend_random";
    LT2_ASSIGN_OR_RETURN(result.window_share_, Count(pattern, parts[1]));
    LT2_ASSIGN_OR_RETURN(result.full_share_, Count(pattern, parts[2]));
    if (result.window_share_ + result.full_share_ == 0) {
      return InvalidArgument("pattern '", pattern, "' has an empty cycle");
    }
    return result;
  }
  const Parts loops = absl::StrSplit(pattern, "->");
  if (loops.size() > 1 && static_cast<int64_t>(loops.size()) != loop_count) {
    return InvalidArgument("pattern '", pattern, "' has ", loops.size(),
                           " parts, loop_count is ", loop_count);
  }
  for (const std::string& loop : loops) {
    LT2_ASSIGN_OR_RETURN(std::vector<int64_t> windows,
                         StaticWindows(absl::StripAsciiWhitespace(loop),
                                       n_layers, default_window));
    result.per_loop_.push_back(std::move(windows));
  }
  return result;
}

std::vector<int64_t> AttentionPattern::Windows(int64_t loops, uint64_t seed,
                                               uint64_t step) const {
  std::vector<int64_t> windows;
  if (!random_) {
    for (int64_t loop = 0; loop < loops; ++loop) {
      const int64_t last = static_cast<int64_t>(per_loop_.size()) - 1;
      const std::vector<int64_t>& row = per_loop_[std::min(loop, last)];
      windows.insert(windows.end(), row.begin(), row.end());
    }
    return windows;
  }
  const int64_t slots = loops * n_layers_;
  windows.assign(slots, default_window_);
  int64_t full = slots * full_share_ / (window_share_ + full_share_);
  std::vector<int64_t> candidates;
  for (int64_t slot = 0; slot < slots; ++slot) {
    const int64_t layer = slot % n_layers_;
    if (bookend_ && (layer == 0 || layer == n_layers_ - 1)) {
      windows[slot] = 0;
      --full;
    } else {
      candidates.push_back(slot);
    }
  }
  Philox rng(seed, step, /*b=*/0x7061u);  // a stream of its own
  rng.Shuffle(candidates);
  const int64_t available = static_cast<int64_t>(candidates.size());
  for (int64_t i = 0; i < std::min(full, available); ++i) {
    windows[candidates[i]] = 0;
  }
  return windows;
}

}  // namespace lt2::model

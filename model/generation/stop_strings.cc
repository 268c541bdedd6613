#include "model/generation/stop_strings.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace lt2::model {

StopStrings::StopStrings(std::vector<std::string> stops) {
  for (std::string& stop : stops) {
    if (!stop.empty()) stops_.push_back(std::move(stop));
  }
}

std::string StopStrings::Add(absl::string_view text) {
  if (stopped()) return "";
  const size_t old = held_.size();
  held_.append(text.data(), text.size());
  for (size_t end = old + 1; end <= held_.size(); ++end) {
    const absl::string_view seen(held_.data(), end);
    for (const std::string& stop : stops_) {
      if (stop.size() > matched_.size() && absl::EndsWith(seen, stop)) {
        matched_ = stop;
      }
    }
    if (stopped()) {
      std::string before = held_.substr(0, end - matched_.size());
      held_.clear();
      return before;
    }
  }
  size_t keep = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      if (absl::EndsWith(held_, absl::string_view(stop).substr(0, n))) keep = n;
    }
  }
  std::string safe = held_.substr(0, held_.size() - keep);
  held_.erase(0, safe.size());
  return safe;
}

std::string StopStrings::Finish() {
  return std::exchange(held_, std::string());
}

}  // namespace lt2::model

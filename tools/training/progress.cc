#include "tools/training/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/str_format.h"
#include "model/io/atomic_file.h"

namespace lt2::tools {

std::string Duration(double seconds) {
  const int64_t s = static_cast<int64_t>(std::max(0.0, seconds) + 0.5);
  if (s >= 3600) {
    return absl::StrFormat("%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
  }
  return absl::StrFormat("%d:%02d", s / 60, s % 60);
}

std::string ProgressBar(int64_t done, int64_t total, double seconds_so_far,
                        int64_t done_so_far) {
  constexpr int kWidth = 24;
  const double fraction =
      total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1;
  const int filled = static_cast<int>(fraction * kWidth);
  std::string left = "estimating";
  if (done_so_far > 0) {
    left = Duration(seconds_so_far / static_cast<double>(done_so_far) *
                    static_cast<double>(total - done)) +
           " left";
  }
  return absl::StrFormat(
      "[%s%s] %5.1f %%  step %d/%d  %s", std::string(filled, '#'),
      std::string(kWidth - filled, '.'), 100 * fraction, done, total, left);
}

absl::StatusOr<std::unique_ptr<JsonLog>> JsonLog::Open(const std::string& path,
                                                       int64_t keep_lines) {
  std::string kept;
  int64_t lines = 0;
  std::ifstream old(path);
  for (std::string line; lines < keep_lines && std::getline(old, line);) {
    kept += line + "\n";
    ++lines;
  }
  LT2_RETURN_IF_ERROR(model::WriteFileAtomically(path, kept));
  std::FILE* file = std::fopen(path.c_str(), "a");
  if (file == nullptr) {
    return absl::InternalError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  return std::unique_ptr<JsonLog>(new JsonLog(file, lines));
}

JsonLog::~JsonLog() { std::fclose(file_); }

absl::Status JsonLog::Write(const nlohmann::json& line) {
  const std::string text = line.dump() + "\n";
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() ||
      std::fflush(file_) != 0) {
    return absl::InternalError(
        absl::StrCat("writing the log: ", std::strerror(errno)));
  }
  ++lines_;
  return absl::OkStatus();
}

Terminal::Terminal() : is_terminal_(isatty(STDERR_FILENO) != 0) {}
Terminal::~Terminal() { Clear(); }

void Terminal::Clear() {
  if (!bar_shown_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  bar_shown_ = false;
}

void Terminal::Line(const std::string& text) {
  Clear();
  std::fputs((text + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void Terminal::Bar(const std::string& text) {
  if (!is_terminal_) return;
  std::fputs(("\r\033[K" + text).c_str(), stderr);
  std::fflush(stderr);
  bar_shown_ = true;
}

}  // namespace lt2::tools

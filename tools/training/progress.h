// What a training run tells: one line a step for people, one JSON line a step
// for programs, and a bar with an estimate where standard error is a terminal.

#ifndef LT2_TOOLS_TRAINING_PROGRESS_H_
#define LT2_TOOLS_TRAINING_PROGRESS_H_

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "kernels/core/status.h"
#include "nlohmann/json.hpp"

namespace lt2::tools {

// "[#####.....] 48.0 %  step 480/1000  0:31 left", 80 columns at most.
std::string ProgressBar(int64_t done, int64_t total, double seconds_so_far,
                        int64_t done_so_far);
// "1:02:03" or "2:03".
std::string Duration(double seconds);

// The JSON-lines log. A checkpoint remembers how many lines there were;
// resuming drops the rest, so that a step is never told twice.
class JsonLog {
 public:
  static absl::StatusOr<std::unique_ptr<JsonLog>> Open(const std::string& path,
                                                       int64_t keep_lines);
  ~JsonLog();
  absl::Status Write(const nlohmann::json& line);
  int64_t lines() const { return lines_; }

 private:
  JsonLog(std::FILE* file, int64_t lines) : file_(file), lines_(lines) {}
  std::FILE* file_;
  int64_t lines_;
};

// Prints lines above the bar.
class Terminal {
 public:
  Terminal();
  void Line(const std::string& text);  // standard output
  void Bar(const std::string& text);   // standard error, if a terminal
  ~Terminal();

 private:
  void Clear();
  const bool is_terminal_;
  bool bar_shown_ = false;
};

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRAINING_PROGRESS_H_

// Responses kept on disk, so that an evaluation that was stopped goes on where
// it was, and one that ran is not run again.
//
// One file for each model: DIR/<digest of the identity>.jsonl, a line for each
// response, appended and written out at once:
//
//   {"k": key, "s": sum, "g": greedy, "n": tokens}       or
//   {"k": key, "i": ids, "r": reason}                    and a check sum "c".
//
// The identity is all that a response depends on beside the request: the
// model's digest and the program's (a rebuilt program asks again). The key is a
// digest of the suite's name and version and of the request. A line whose check
// sum is wrong (a kill while it was written, a damaged disk) is not used, and
// counted.

#ifndef LT2_EVALS_LM_RESPONSE_CACHE_H_
#define LT2_EVALS_LM_RESPONSE_CACHE_H_

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "evals/lm/language_model.h"

namespace lt2::evals {

struct CachedResponse {
  // A log-likelihood, or a generation (`reason` is not empty).
  double sum = 0;
  bool is_greedy = false;
  int64_t tokens = 0;
  std::vector<int32_t> ids;
  std::string reason;
};

class ResponseCache {
 public:
  // "" for `directory`: in memory only.
  static absl::StatusOr<std::unique_ptr<ResponseCache>> Open(
      const std::string& directory, const std::string& identity);
  ~ResponseCache();
  ResponseCache(const ResponseCache&) = delete;
  ResponseCache& operator=(const ResponseCache&) = delete;

  // nullptr if there is none.
  const CachedResponse* Find(const std::string& key) const;
  absl::Status Add(const std::string& key, CachedResponse response);

  const std::string& path() const { return path_; }
  int64_t size() const { return static_cast<int64_t>(responses_.size()); }
  int64_t damaged_lines() const { return damaged_; }

 private:
  ResponseCache() = default;
  void ReadLine(absl::string_view line);
  std::string path_;
  int fd_ = -1;
  int64_t damaged_ = 0;
  std::unordered_map<std::string, CachedResponse> responses_;
};

// A digest of the running program's file: the build that computed a response.
std::string ProgramDigest();

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_RESPONSE_CACHE_H_

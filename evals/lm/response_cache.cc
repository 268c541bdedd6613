#include "evals/lm/response_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_split.h"
#include "evals/lm/documents.h"
#include "model/io/atomic_file.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {
namespace {

// Of a line without its check sum.
std::string CheckSum(const nlohmann::json& line) {
  return Digest(line.dump()).substr(0, 8);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ResponseCache>> ResponseCache::Open(
    const std::string& directory, const std::string& identity) {
  auto cache = std::unique_ptr<ResponseCache>(new ResponseCache());
  if (directory.empty()) return cache;
  LT2_RETURN_IF_ERROR(model::MakeFolder(directory));
  cache->path_ = absl::StrCat(directory, "/", Digest(identity), ".jsonl");
  bool torn = false;
  std::error_code error;
  if (std::filesystem::exists(cache->path_, error)) {
    LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(cache->path_));
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      if (!line.empty()) cache->ReadLine(line);
    }
    torn = !text.empty() && text.back() != '\n';
  }
  cache->fd_ = open(cache->path_.c_str(),
                    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  // A line that was cut off must not join the next one.
  if (cache->fd_ < 0 || (torn && write(cache->fd_, "\n", 1) != 1)) {
    return absl::PermissionDeniedError(
        absl::StrCat("--cache: cannot write ", cache->path_, ": ",
                     std::strerror(errno), "; give another folder"));
  }
  return cache;
}

ResponseCache::~ResponseCache() {
  if (fd_ >= 0) close(fd_);
}

void ResponseCache::ReadLine(absl::string_view text) {
  nlohmann::json line =
      nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (line.is_object() && line.contains("c") && line["c"].is_string()) {
    const std::string sum = line["c"];
    line.erase("c");
    if (sum == CheckSum(line)) {
      // What has its check sum was written by Add.
      CachedResponse response;
      if (line.contains("i")) {
        response.ids = line["i"].get<std::vector<int32_t>>();
        response.reason = line["r"];
      } else {
        response.sum = line["s"];
        response.is_greedy = line["g"];
        response.tokens = line["n"];
      }
      responses_[line["k"]] = std::move(response);
      return;
    }
  }
  ++damaged_;
}

const CachedResponse* ResponseCache::Find(const std::string& key) const {
  const auto found = responses_.find(key);
  return found == responses_.end() ? nullptr : &found->second;
}

absl::Status ResponseCache::Add(const std::string& key,
                                CachedResponse response) {
  // JSON has no NaN; and what is not finite is an error of the run anyway.
  if (fd_ >= 0 && std::isfinite(response.sum)) {
    nlohmann::json line = {{"k", key}};
    if (response.reason.empty()) {
      line["s"] = response.sum;
      line["g"] = response.is_greedy;
      line["n"] = response.tokens;
    } else {
      line["i"] = response.ids;
      line["r"] = response.reason;
    }
    line["c"] = CheckSum(line);
    const std::string text = line.dump() + "\n";
    if (write(fd_, text.data(), text.size()) !=
        static_cast<ssize_t>(text.size())) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "cannot write ", path_, ": ", std::strerror(errno),
          "; free space, or give --cache= another folder, and run again"));
    }
  }
  responses_[key] = std::move(response);
  return absl::OkStatus();
}

std::string ProgramDigest() {
  static const auto* digest = [] {
    const auto program = model::ReadFile("/proc/self/exe");
    return new std::string(program.ok() ? Digest(*program) : "unknown");
  }();
  return *digest;
}

}  // namespace lt2::evals

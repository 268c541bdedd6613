// Builds benchmarks of commits, apart from the tree that the user works in.
//
//   CACHE/worktree             a git worktree that goes from commit to commit
//   CACHE/bazel, CACHE/disk    its Bazel's output base and disk cache
//   CACHE/programs/COMMIT-HASH/NAME   the programs built (HASH: of the flags)
//   CACHE/programs/.../TESTS.green    tests that passed on this build
//   CACHE/log.txt              what git and Bazel said
//
// One worktree for all commits makes building the next one incremental. Paths
// of programs have the same length for all commits, as the length of the
// command line moves the stack, and with it times. What was built stays: a
// second comparison does not build again. The cache may be deleted at any time
// (and `git worktree prune` then forgets the worktree).

#ifndef LT2_TOOLS_TRACKING_CHECKOUT_H_
#define LT2_TOOLS_TRACKING_CHECKOUT_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/status.h"

namespace lt2::tools {

struct CheckoutOptions {
  std::string repository = ".";  // a folder inside it
  std::string cache;             // absolute; is made
  std::vector<std::string> bazel_flags;
  std::function<void(const std::string&)> tell;  // a line for people
};

// "A..B" or "A,B,...", as git names commits, each as its 40 digits. With
// `range`, A..B is every commit after A up to B, oldest first, not the two.
absl::StatusOr<std::vector<std::string>> ResolveCommits(
    const std::string& repository, const std::string& text, bool range);

class Checkout {
 public:
  // Takes the cache for itself: a second user of the same cache is an error.
  static absl::StatusOr<std::unique_ptr<Checkout>> Open(
      const CheckoutOptions& options);
  ~Checkout();
  Checkout(const Checkout&) = delete;
  Checkout& operator=(const Checkout&) = delete;

  // Builds `targets` ("//kernels/norm:norm_benchmark") of a commit, after
  // `tests` (patterns of targets) have passed on it. Paths of the programs, ""
  // for a target that this commit's BUILD file does not have.
  absl::StatusOr<std::vector<std::string>> Build(
      const std::string& commit, const std::vector<std::string>& targets,
      const std::vector<std::string>& tests);

 private:
  Checkout(CheckoutOptions options, int lock)
      : options_(std::move(options)), lock_(lock) {}
  absl::Status SwitchTo(const std::string& commit);
  absl::Status Bazel(const std::string& verb,
                     const std::vector<std::string>& arguments);
  absl::StatusOr<bool> HasTarget(const std::string& commit,
                                 const std::string& target);
  void Tell(const std::string& line) const;

  const CheckoutOptions options_;
  const int lock_;
  std::string at_;  // commit of the worktree
};

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_CHECKOUT_H_

#include "tools/tracking/checkout.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kernels/core/hash.h"
#include "model/io/atomic_file.h"
#include "tools/tracking/run_program.h"
#include "tools/tracking/suite.h"

namespace lt2::tools {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> Git(const std::string& directory,
                             std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"git", "-C", directory});
  return arguments;
}

absl::StatusOr<std::string> GitOutput(const std::string& directory,
                                      std::vector<std::string> arguments) {
  LT2_ASSIGN_OR_RETURN(const std::string output,
                       OutputOf(Git(directory, std::move(arguments))));
  return std::string(absl::StripAsciiWhitespace(output));
}

absl::StatusOr<std::string> ResolveCommit(const std::string& repository,
                                          const std::string& name) {
  auto commit =
      GitOutput(repository, {"rev-parse", "--verify", "--end-of-options",
                             absl::StrCat(name, "^{commit}")});
  if (!commit.ok() || commit->size() != 40) {
    return InvalidArgument("'", name, "' is no commit of ", repository);
  }
  return commit;
}

// The .git that a tree's commits are in; "" if it is no tree of git's (any
// more: its repository may have been deleted).
std::string GitFolder(const std::string& tree) {
  const auto folder = GitOutput(
      tree, {"rev-parse", "--path-format=absolute", "--git-common-dir"});
  std::error_code error;
  return folder.ok() ? fs::canonical(*folder, error).string() : "";
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ResolveCommits(
    const std::string& repository, const std::string& text, bool range) {
  const size_t dots = text.find("..");
  if (dots == std::string::npos) {
    std::vector<std::string> commits;
    for (absl::string_view name : absl::StrSplit(text, ',')) {
      LT2_ASSIGN_OR_RETURN(const std::string commit,
                           ResolveCommit(repository, std::string(name)));
      commits.push_back(commit);
    }
    return commits;
  }
  LT2_ASSIGN_OR_RETURN(const std::string first,
                       ResolveCommit(repository, text.substr(0, dots)));
  LT2_ASSIGN_OR_RETURN(const std::string last,
                       ResolveCommit(repository, text.substr(dots + 2)));
  if (!range) return std::vector<std::string>{first, last};
  LT2_ASSIGN_OR_RETURN(
      const std::string list,
      GitOutput(repository, {"rev-list", "--reverse", "--first-parent",
                             absl::StrCat(first, "..", last)}));
  std::vector<std::string> commits =
      absl::StrSplit(list, '\n', absl::SkipEmpty());
  if (commits.empty()) return InvalidArgument(text, ": no commits");
  return commits;
}

absl::StatusOr<std::unique_ptr<Checkout>> Checkout::Open(
    const CheckoutOptions& options) {
  CheckoutOptions mine = options;
  LT2_ASSIGN_OR_RETURN(
      mine.repository,
      GitOutput(options.repository, {"rev-parse", "--show-toplevel"}));
  std::error_code error;
  fs::create_directories(options.cache + "/programs", error);
  if (error) return InvalidArgument(options.cache, ": ", error.message());
  const std::string path = options.cache + "/lock";
  const int lock = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
    if (lock >= 0) close(lock);
    return absl::FailedPreconditionError(absl::StrCat(
        options.cache, " is in use by another track; give another --cache"));
  }
  std::unique_ptr<Checkout> checkout(new Checkout(mine, lock));
  const std::string tree = options.cache + "/worktree";
  const std::string log = options.cache + "/log.txt";
  fs::remove(log, error);
  // A cache may have served another clone before.
  if (!fs::exists(tree + "/.git", error) ||
      GitFolder(tree) != GitFolder(mine.repository)) {
    fs::remove_all(tree, error);
    LT2_RETURN_IF_ERROR(
        RunProgram(Git(mine.repository, {"worktree", "prune"}), log));
    LT2_RETURN_IF_ERROR(
        RunProgram(Git(mine.repository,
                       {"worktree", "add", "--detach", "--no-checkout", tree}),
                   log));
  }
  return checkout;
}

Checkout::~Checkout() { close(lock_); }

void Checkout::Tell(const std::string& line) const {
  if (options_.tell) options_.tell(line);
}

absl::Status Checkout::SwitchTo(const std::string& commit) {
  if (at_ == commit) return absl::OkStatus();
  const std::string tree = options_.cache + "/worktree";
  LT2_RETURN_IF_ERROR(
      RunProgram(Git(tree, {"checkout", "--force", "--detach", commit}),
                 options_.cache + "/log.txt"));
  at_ = commit;
  return absl::OkStatus();
}

absl::Status Checkout::Bazel(const std::string& verb,
                             const std::vector<std::string>& arguments) {
  const std::string tree = options_.cache + "/worktree";
  std::vector<std::string> command = {
      "env",
      "-C",
      tree,
      "./bazelw",
      absl::StrCat("--output_base=", options_.cache, "/bazel"),
      verb};
  command.push_back(absl::StrCat("--disk_cache=", options_.cache, "/disk"));
  command.insert(command.end(), options_.bazel_flags.begin(),
                 options_.bazel_flags.end());
  command.push_back("--symlink_prefix=/");
  command.push_back("--color=no");
  command.insert(command.end(), arguments.begin(), arguments.end());
  return RunProgram(command, options_.cache + "/log.txt");
}

absl::StatusOr<bool> Checkout::HasTarget(const std::string& commit,
                                         const std::string& target) {
  LT2_ASSIGN_OR_RETURN(const auto parts, SplitTarget(target));
  const auto build =
      GitOutput(options_.repository,
                {"show", absl::StrCat(commit, ":", parts.first, "/BUILD")});
  if (absl::IsCancelled(build.status())) return build.status();
  return build.ok() &&
         absl::StrContains(*build, absl::StrCat("\"", parts.second, "\""));
}

absl::StatusOr<std::vector<std::string>> Checkout::Build(
    const std::string& commit, const std::vector<std::string>& targets,
    const std::vector<std::string>& tests) {
  const std::string flags =
      absl::StrFormat("%016x", Fnv1a(absl::StrJoin(options_.bazel_flags, " ")));
  const std::string folder =
      absl::StrCat(options_.cache, "/programs/", commit, "-", flags);
  std::error_code error;
  fs::create_directories(folder, error);
  std::vector<std::string> paths, present, missing;
  for (const std::string& target : targets) {
    LT2_ASSIGN_OR_RETURN(const bool has, HasTarget(commit, target));
    LT2_ASSIGN_OR_RETURN(const auto parts, SplitTarget(target));
    const std::string path = absl::StrCat(
        folder, "/", absl::StrJoin(absl::StrSplit(parts.first, '/'), "."), ".",
        parts.second);
    paths.push_back(has ? path : "");
    if (!has) continue;
    present.push_back(target);
    if (!fs::exists(path, error)) missing.push_back(target);
  }
  // A package that is not there yet has no tests either.
  std::vector<std::string> patterns;
  for (const std::string& test : tests) {
    const std::string package = test.substr(0, test.rfind(':'));
    const bool known = std::any_of(
        present.begin(), present.end(), [&](const std::string& target) {
          return absl::StartsWith(target, package + ":");
        });
    const bool derived = absl::EndsWith(test, ":all");
    if (known || !derived) patterns.push_back(test);
  }
  const std::string green = absl::StrFormat(
      "%s/%016x.green", folder, Fnv1a(absl::StrJoin(patterns, " ")));
  const std::string name = commit.substr(0, 12);
  if (!patterns.empty() && !fs::exists(green, error)) {
    Tell(absl::StrCat(name, ": testing ", absl::StrJoin(patterns, " ")));
    LT2_RETURN_IF_ERROR(SwitchTo(commit));
    std::vector<std::string> arguments = {"--build_tests_only"};
    arguments.insert(arguments.end(), patterns.begin(), patterns.end());
    const absl::Status status = Bazel("test", arguments);
    if (absl::IsCancelled(status)) return status;
    if (!status.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(
          name, ": the tests are not green, so no time is measured: ",
          status.message()));
    }
    LT2_RETURN_IF_ERROR(model::WriteFileAtomically(
        green, absl::StrJoin(patterns, "\n") + "\n"));
  }
  if (missing.empty()) return paths;
  Tell(absl::StrCat(name, ": building ", absl::StrJoin(missing, " ")));
  LT2_RETURN_IF_ERROR(SwitchTo(commit));
  const absl::Status status = Bazel("build", missing);
  if (!status.ok()) return Annotate(status, name);
  std::vector<std::string> info = {
      "env",
      "-C",
      options_.cache + "/worktree",
      "./bazelw",
      absl::StrCat("--output_base=", options_.cache, "/bazel"),
      "info"};
  info.insert(info.end(), options_.bazel_flags.begin(),
              options_.bazel_flags.end());
  info.push_back("bazel-bin");
  LT2_ASSIGN_OR_RETURN(const std::string output, OutputOf(info));
  std::string bin;  // Among Bazel's messages, the line that is a path.
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    if (absl::StartsWith(line, "/")) bin = std::string(line);
  }
  if (bin.empty()) return absl::InternalError("bazelw info: " + output);
  for (size_t i = 0; i < targets.size(); ++i) {
    if (paths[i].empty() || fs::exists(paths[i], error)) continue;
    LT2_ASSIGN_OR_RETURN(const auto parts, SplitTarget(targets[i]));
    const std::string built =
        absl::StrCat(bin, "/", parts.first, "/", parts.second);
    const std::string temporary = paths[i] + ".tmp";
    fs::copy_file(built, temporary, fs::copy_options::overwrite_existing,
                  error);
    if (!error) fs::rename(temporary, paths[i], error);
    if (error) {
      return absl::InternalError(
          absl::StrCat("copying ", built, ": ", error.message()));
    }
  }
  return paths;
}

}  // namespace lt2::tools

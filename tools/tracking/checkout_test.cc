#include "tools/tracking/checkout.h"

#include <stdlib.h>
#include <unistd.h>

#include <fstream>

#include "gtest/gtest.h"
#include "model/io/atomic_file.h"
#include "tools/tracking/run_program.h"
#include "tools/tracking/suite.h"

namespace lt2::tools {
namespace {

// A repository whose ./bazelw is a script: "builds" by copying, and fails tests
// in a commit that has a file `red`. Counts its calls.
class CheckoutTest : public testing::Test {
 protected:
  void SetUp() override {
    if (system("git --version >/dev/null 2>&1") != 0) {
      GTEST_SKIP() << "git is not installed";
    }
    folder_ = testing::TempDir() + "/checkout" + std::to_string(getpid());
    Shell("rm -rf " + folder_ + "; mkdir -p " + folder_ + "/repo/a/b");
    Shell("git init -q");
    Write("bazelw", R"(#!/bin/sh
echo "$2" >> ")" + folder_ +
                        R"(/calls"
case "$2" in
test) [ ! -e red ] || { echo "1 test FAILED"; exit 3; } ;;
build) mkdir -p out/a/b && cp program out/a/b/bench ;;
info) echo "INFO: noise" >&2; echo "$PWD/out" ;;
esac
)");
    Shell("chmod +x bazelw");
    Write("a/keep", "");
    Write("a/b/BUILD", "cc_binary(name = \"bench\")\n");
    Write("program", "first\n");
    first_ = Commit();
    Write("program", "second\n");
    second_ = Commit();
    Write("red", "");
    red_ = Commit();
    Shell("git rm -q red a/b/BUILD");
    none_ = Commit();
  }
  void Shell(const std::string& command) {
    const std::string line = "cd " + folder_ + "/repo 2>/dev/null; " + command;
    ASSERT_EQ(system(line.c_str()), 0) << command;
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/repo/" + name) << text;
  }
  std::string Commit() {
    Shell("git add -A && git -c user.name=n -c user.email=e commit -q -m m");
    return (*ResolveCommits(folder_ + "/repo", "HEAD", false))[0];
  }
  std::string Calls() {
    const auto calls = model::ReadFile(folder_ + "/calls");
    return calls.ok() ? *calls : "";
  }
  std::unique_ptr<Checkout> Open() {
    CheckoutOptions options;
    options.repository = folder_ + "/repo/a";
    options.cache = folder_ + "/cache";
    auto checkout = Checkout::Open(options);
    EXPECT_TRUE(checkout.ok()) << checkout.status();
    return *std::move(checkout);
  }

  std::string folder_, first_, second_, red_, none_;
};

TEST_F(CheckoutTest, BuildsCommitsOnceAfterTheirTests) {
  const auto checkout = Open();
  const auto a = checkout->Build(first_, {"//a/b:bench"}, {"//a/b:all"});
  const auto b = checkout->Build(second_, {"//a/b:bench"}, {"//a/b:all"});
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(*model::ReadFile((*a)[0]), "first\n");
  EXPECT_EQ(*model::ReadFile((*b)[0]), "second\n");
  EXPECT_EQ((*a)[0].size(), (*b)[0].size());
  EXPECT_EQ(Calls(), "test\nbuild\ninfo\ntest\nbuild\ninfo\n");
  ASSERT_TRUE(checkout->Build(first_, {"//a/b:bench"}, {"//a/b:all"}).ok());
  EXPECT_EQ(Calls(), "test\nbuild\ninfo\ntest\nbuild\ninfo\n");
  // The user's tree is as it was.
  Shell("test -z \"$(git status --porcelain)\"");
}

TEST_F(CheckoutTest, RedTestsStopIt) {
  const auto checkout = Open();
  const auto built = checkout->Build(red_, {"//a/b:bench"}, {"//a/b:all"});
  ASSERT_FALSE(built.ok());
  EXPECT_NE(built.status().message().find("not green"), std::string::npos);
  EXPECT_NE(built.status().message().find("1 test FAILED"), std::string::npos)
      << built.status();
  EXPECT_TRUE(checkout->Build(red_, {"//a/b:bench"}, {}).ok());
}

TEST_F(CheckoutTest, ATargetThatIsNotThereYetHasNoProgram) {
  const auto checkout = Open();
  const auto built = checkout->Build(none_, {"//a/b:bench"}, {"//a/b:all"});
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(*built, std::vector<std::string>{""});
  EXPECT_EQ(Calls(), "");
}

TEST_F(CheckoutTest, ACacheHasOneUser) {
  const auto checkout = Open();
  CheckoutOptions options;
  options.repository = folder_ + "/repo";
  options.cache = folder_ + "/cache";
  EXPECT_NE(Checkout::Open(options).status().message().find("in use"),
            std::string::npos);
}

TEST_F(CheckoutTest, ACacheMayServeAnotherClone) {
  ASSERT_TRUE(Open()->Build(first_, {"//a/b:bench"}, {}).ok());
  // One that is beside it, and one that comes when the one before is deleted.
  std::string last = "repo";
  for (const std::string clone : {"second", "third"}) {
    Shell("git clone -q ../" + last + " ../" + clone + " && git -C ../" +
          clone +
          " -c user.name=n -c user.email=e commit -q --allow-empty -m m");
    if (clone == "third") Shell("rm -rf ../" + last);
    CheckoutOptions options;
    options.repository = folder_ + "/" + clone;
    options.cache = folder_ + "/cache";
    const auto commit = ResolveCommits(options.repository, "HEAD", false);
    ASSERT_TRUE(commit.ok()) << commit.status();
    auto checkout = Checkout::Open(options);
    ASSERT_TRUE(checkout.ok()) << checkout.status();
    const auto built = (*checkout)->Build((*commit)[0], {}, {"//a/b:bench"});
    EXPECT_TRUE(built.ok()) << built.status();
    last = clone;
  }
}

TEST_F(CheckoutTest, CommitsAreResolved) {
  const std::string repo = folder_ + "/repo";
  const auto two = ResolveCommits(repo, "HEAD~3..HEAD", false);
  EXPECT_EQ(*two, (std::vector<std::string>{first_, none_}));
  const auto range = ResolveCommits(repo, "HEAD~3..HEAD", true);
  EXPECT_EQ(*range, (std::vector<std::string>{second_, red_, none_}));
  EXPECT_EQ(ResolveCommits(repo, "HEAD,HEAD~1", true)->size(), 2u);
  for (const char* bad : {"nonsense", "HEAD..HEAD", "", "--all", "HEAD~9"}) {
    EXPECT_FALSE(ResolveCommits(repo, bad, true).ok()) << bad;
  }
}

TEST(RunProgramTest, ErrorsNameTheCommandAndItsLastWords) {
  const std::string log =
      testing::TempDir() + "/run" + std::to_string(getpid());
  EXPECT_TRUE(RunProgram({"true"}, log).ok());
  const absl::Status status =
      RunProgram({"sh", "-c", "echo first; echo last; exit 7"}, log);
  for (const char* part : {"sh -c", "exit code 7", ", last", log.c_str()}) {
    EXPECT_NE(status.message().find(part), std::string::npos) << status;
  }
  EXPECT_EQ(*OutputOf({"sh", "-c", "echo $X; echo y >&2"}), "\ny\n");
  EXPECT_FALSE(RunProgram({"no-such-program"}, log).ok());
}

TEST(SuiteTest, IsStrict) {
  const auto suite = ParseSuite(
      R"({"schema_version":1,"rounds":9,"benchmarks":[{"target":"//a:b","filter":"x"},{"target":"//a:c"}]})",
      "f");
  ASSERT_TRUE(suite.ok()) << suite.status();
  EXPECT_EQ(suite->rounds, 9);
  EXPECT_EQ(suite->entries[0].filter, "x");
  EXPECT_EQ(TestsOf(*suite, ""), std::vector<std::string>{"//a:all"});
  EXPECT_EQ(TestsOf(*suite, "//c:d,//e:f").size(), 2u);
  EXPECT_TRUE(TestsOf(*suite, "none").empty());
  for (
      const char* bad :
      {"", "[]", R"({"schema_version":1,"benchmarks":[]})",
       R"({"schema_version":2,"benchmarks":[{"target":"//a:b"}]})",
       R"({"schema_version":1,"benchmarks":[{"target":"a"}]})",
       R"({"schema_version":1,"benchmarks":[{"target":"//a/..."}]})",
       R"({"schema_version":1,"benchmarks":[{"traget":"//a:b"}]})",
       R"({"schema_version":1,"rounds":65,"benchmarks":[{"target":"//a:b"}]})"}) {
    EXPECT_FALSE(ParseSuite(bad, "f").ok()) << bad;
  }
  EXPECT_EQ(SplitTarget("//a/b")->second, "b");
}

}  // namespace
}  // namespace lt2::tools

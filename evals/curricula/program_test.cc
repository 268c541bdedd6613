// The program //evals:curriculum as a user calls it.

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "model/io/atomic_file.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {
namespace {

std::string Temp(const std::string& name) {
  return std::string(std::getenv("TEST_TMPDIR")) + "/" + name;
}

// Its exit code; its output goes to Temp("output").
int Call(const std::string& arguments) {
  const int status = std::system(absl::StrCat("evals/curriculum ", arguments,
                                              " >", Temp("output"), " 2>&1")
                                     .c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string Output() { return *model::ReadFile(Temp("output")); }

nlohmann::json ResultsOf(const std::string& folder) {
  const auto text = model::ReadFile(Temp(folder) + "/results.json");
  EXPECT_TRUE(text.ok()) << text.status();
  return nlohmann::json::parse(text.ok() ? *text : "{}");
}

TEST(Program, PartsOfTwoMachinesAreMerged) {
  ASSERT_EQ(Call("--preset=smoke --only=full --seeds=1 --out=" + Temp("a")), 0)
      << Output();
  ASSERT_EQ(
      Call("--preset=smoke --only='gdn-*T1-s1' --jobs=1 --out=" + Temp("b")), 0)
      << Output();
  ASSERT_EQ(Call(absl::StrCat("--merge=", Temp("a"), ",", Temp("b"),
                              " --out=", Temp("c"))),
            0)
      << Output();
  const nlohmann::json merged = ResultsOf("c");
  EXPECT_EQ(merged["schema_version"], 1);
  ASSERT_EQ(merged["runs"].size(), 4u);
  for (const auto& run : merged["runs"]) EXPECT_EQ(run["status"], "done");
  EXPECT_NE(Output().find("4 runs: 4 done"), std::string::npos) << Output();
  const auto markdown = model::ReadFile(Temp("c") + "/results.md");
  ASSERT_TRUE(markdown.ok());
  EXPECT_NE(markdown->find("| gdn"), std::string::npos);
}

TEST(Program, CtrlCSavesAndTheSameCommandContinues) {
  // Long enough to be interrupted for sure.
  const std::string patch =
      "--patch={\"train\":{\"steps\":300,"
      "\"advance_at\":1.0}}";
  const std::string out = "--out=" + Temp("interrupted");
  const pid_t child = fork();
  if (child == 0) {
    if (freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
    execl("evals/curriculum", "evals/curriculum", "--preset=smoke",
          "--only=full-T1-s1", patch.c_str(), out.c_str(), nullptr);
    _exit(127);
  }
  const std::string log = Temp("interrupted") + "/runs/full-T1-s1/log.jsonl";
  for (int i = 0; i < 30000; ++i) {
    const auto text = model::ReadFile(log);
    if (text.ok() && !text->empty()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  kill(child, SIGINT);
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_EQ(ResultsOf("interrupted")["runs"][0]["status"], "partial");
  ASSERT_EQ(Call(absl::StrCat("--preset=smoke --only=full-T1-s1 '", patch, "' ",
                              out)),
            0)
      << Output();
  const nlohmann::json run = ResultsOf("interrupted")["runs"][0];
  EXPECT_EQ(run["status"], "done");
  EXPECT_EQ(run["steps"], 300);
  EXPECT_EQ(run["sessions"], 2);
  // Without the patch it is another experiment.
  EXPECT_EQ(Call("--preset=smoke --only=full-T1-s1 " + out), 1);
  EXPECT_NE(Output().find("choose another --out"), std::string::npos)
      << Output();
}

// Killed without warning, on a machine that is taken away, say: the folder
// tells what there is, and nothing is trained to find out.
TEST(Program, AKilledProgramsFolderCanBeReported) {
  const std::string out = "--out=" + Temp("killed");
  const pid_t child = fork();
  if (child == 0) {
    if (freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
    execl("evals/curriculum", "evals/curriculum", "--preset=smoke",
          "--only=full-T1-s1",
          "--patch={\"train\":{\"steps\":100000,\"advance_at\":1.0}}",
          out.c_str(), nullptr);
    _exit(127);
  }
  const std::string run = Temp("killed") + "/runs/full-T1-s1";
  for (int i = 0; i < 30000; ++i) {
    const auto text = model::ReadFile(run + "/log.jsonl");
    if (text.ok() && !text->empty()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  const std::string report = "--preset=smoke --report " + out;
  EXPECT_EQ(Call(report), 1);
  EXPECT_NE(Output().find("of another preset or patch"), std::string::npos);
  ASSERT_EQ(Call(report + " '--patch={\"train\":{\"steps\":100000,"
                          "\"advance_at\":1.0}}'"),
            0)
      << Output();
  const nlohmann::json runs = ResultsOf("killed")["runs"];
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0]["status"], "partial");
  EXPECT_GT(runs[0]["steps"], 0);
  EXPECT_EQ(runs[0]["sessions"], 1);
  EXPECT_NE(runs[0]["machine"], "");
}

TEST(Program, MistakesAreErrors) {
  EXPECT_EQ(Call(""), 1);
  EXPECT_NE(Output().find("--preset is missing"), std::string::npos);
  EXPECT_EQ(Call("--preset=smokey --out=" + Temp("x")), 1);
  EXPECT_NE(Output().find("smokey.json"), std::string::npos) << Output();
  EXPECT_EQ(Call("--preset=smoke --only=gnd --out=" + Temp("x")), 1);
  EXPECT_NE(Output().find("select none of the 12 runs"), std::string::npos);
  EXPECT_EQ(Call("--preset=smoke --device=tpu --out=" + Temp("x")), 1);
  EXPECT_EQ(Call("--preset=smoke --dry_run --only=gdn --seeds=2"), 0);
  EXPECT_EQ(Output(), "gdn-T2-s2\ngdn-neg-T2-s2\ngdn-T1-s2\ngdn-neg-T1-s2\n");
}

}  // namespace
}  // namespace lt2::evals

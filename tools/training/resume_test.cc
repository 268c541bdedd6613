// Kills //tools:train with SIGKILL at random moments, resumes it each time, and
// compares its final weights and log with those of a run left alone.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/core/philox.h"
#include "model/io/atomic_file.h"
#include "nlohmann/json.hpp"

namespace lt2::tools {
namespace {

const char kConfig[] = R"({
  "name": "killed",
  "model": {"dim": 32, "n_layers": 2, "n_heads": 2, "loop_count": 2,
            "layer_pattern": "interleaved:1:1:gdn:full", "multiple_of": 16,
            "gdn": {"key_dim": 32, "expand_v": 1}},
  "data": {"curriculum": [{"task": "program", "bits": 8, "swaps": 4},
                          {"task": "program", "bits": 8, "swaps": 8}]},
  "train": {"steps": 60, "batch": 4, "batch_tokens": 200, "lr": 0.003, "warmup": 5,
            "checkpoint_every": 2, "eval_every": 7, "eval_examples": 8,
            "confirm_examples": 16, "test_examples": 9, "advance_at": 1,
            "stage_advance_at": [0.4, 0.4]},
  "test": [{"task": "program", "bits": 8, "swaps": 2},
           {"task": "program", "bits": 8, "swaps": 16}]
})";

std::string Temp(const std::string& name) {
  return std::string(std::getenv("TEST_TMPDIR")) + "/" + name;
}

pid_t Start(const std::string& out, bool resume) {
  const pid_t child = fork();
  if (child != 0) return child;
  const std::string config = "--config=" + Temp("config.json");
  const std::string folder = "--out=" + out;
  const std::string again = resume ? "--resume" : "--noresume";
  if (freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
  execl("tools/train", "tools/train", config.c_str(), folder.c_str(),
        again.c_str(), "--threads=1", nullptr);
  _exit(127);
}

int WaitFor(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

// The log without what depends on the clock.
std::vector<nlohmann::json> Log(const std::string& out) {
  std::vector<nlohmann::json> lines;
  const std::string text = *model::ReadFile(out + "/log.jsonl");
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = text.find('\n', begin);
    nlohmann::json line =
        nlohmann::json::parse(text.substr(begin, end - begin));
    line.erase("tokens_per_second");
    lines.push_back(line);
    begin = end + 1;
  }
  return lines;
}

TEST(Resume, KilledAtRandomMomentsReachesTheSameBits) {
  ASSERT_TRUE(model::WriteFileAtomically(Temp("config.json"), kConfig).ok());
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(WaitFor(Start(Temp("alone"), false)), 0);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  Philox rng(getpid(), 0);
  int kills = 0;
  for (int attempt = 0;; ++attempt) {
    ASSERT_LT(attempt, 200) << "no progress";
    const pid_t child = Start(Temp("killed"), attempt > 0);
    // After the first few, give each more time, so that the run ends.
    const double patience = seconds * (0.1 + 0.02 * attempt);
    std::this_thread::sleep_for(
        std::chrono::duration<double>(patience * rng.Uniform()));
    if (kill(child, SIGKILL) == 0) ++kills;
    const int status = WaitFor(child);
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      break;
    }
  }
  for (const char* file :
       {"last/model.safetensors", "last/optimizer.safetensors",
        "last/state.json", "final/model.safetensors"}) {
    EXPECT_TRUE(*model::ReadFile(Temp("alone") + "/" + file) ==
                *model::ReadFile(Temp("killed") + "/" + file))
        << file;
  }
  EXPECT_EQ(Log(Temp("killed")), Log(Temp("alone")));
  EXPECT_GT(kills, 3);

  // The log tells confirmations, solved stages and tests.
  int confirmed = 0, solved = 0, tests = 0;
  for (const nlohmann::json& line : Log(Temp("alone"))) {
    confirmed += line.contains("confirming") && line["examples"] == 16;
    solved += line.contains("solved");
    tests += line.contains("test") && line["examples"] == 9;
  }
  EXPECT_GE(confirmed, 1);
  EXPECT_GE(solved, 1);
  EXPECT_EQ(tests, 2);
}

// A run with "init" starts from another's weights, with its own optimizer.
TEST(Init, StartsFromTheWeightsOfACheckpoint) {
  nlohmann::json config = nlohmann::json::parse(kConfig);
  config["train"]["steps"] = 5;
  const auto run = [&](const std::string& out) {
    EXPECT_TRUE(
        model::WriteFileAtomically(Temp("config.json"), config.dump()).ok());
    return WEXITSTATUS(WaitFor(Start(Temp(out), false)));
  };
  const auto weights = [](const std::string& out) {
    return *model::ReadFile(Temp(out) + "/last/model.safetensors");
  };
  ASSERT_EQ(run("first"), 0);
  config["init"] = Temp("first") + "/last";
  ASSERT_EQ(run("second"), 0);
  EXPECT_NE(weights("second"), weights("first"));
  EXPECT_LT(Log(Temp("second"))[0]["loss"], Log(Temp("first"))[0]["loss"]);
  config["train"]["lr"] = 0;  // no step changes anything
  ASSERT_EQ(run("third"), 0);
  EXPECT_EQ(weights("third"), weights("first"));
  // Where it came from is in the checkpoint's configuration.
  const auto kept = nlohmann::json::parse(
      *model::ReadFile(Temp("third") + "/final/config.json"));
  EXPECT_EQ(kept["init"], Temp("first") + "/last");
  // Weights of another shape are an error.
  config["model"]["dim"] = 48;
  config["model"]["gdn"]["key_dim"] = 48;
  EXPECT_EQ(run("fourth"), 1);
}

TEST(Resume, InterruptSavesACheckpoint) {
  ASSERT_TRUE(model::WriteFileAtomically(Temp("config.json"), kConfig).ok());
  const std::string out = Temp("interrupted");
  const pid_t child = Start(out, false);
  while (!model::ReadFile(out + "/log.jsonl").ok() ||
         model::ReadFile(out + "/log.jsonl")->empty()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  kill(child, SIGINT);
  const int status = WaitFor(child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  const auto state =
      nlohmann::json::parse(*model::ReadFile(out + "/last/state.json"));
  EXPECT_EQ(state["step"], Log(out).back()["step"]);
}

}  // namespace
}  // namespace lt2::tools

// The leaderboard end to end, on checkpoints of tiny untrained models.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "evals/ranking/report.h"
#include "evals/ranking/run.h"
#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/looped_model.h"
#include "model/training/checkpoint.h"

namespace lt2::evals {
namespace {

using nlohmann::json;

constexpr char kModel[] = "model.safetensors";

void MakeFolder(const std::string& path) {
  LT2_CHECK(mkdir(path.c_str(), 0777) == 0 || errno == EEXIST, path);
}

void Export(const std::string& folder, int64_t vocab, const char* layers,
            int64_t loops, bool negative, uint64_t seed) {
  const json model = {
      {"vocab_size", vocab},
      {"dim", 16},
      {"n_layers", 2},
      {"n_heads", 2},
      {"loop_count", loops},
      {"layer_pattern", layers},
      {"multiple_of", 16},
      {"gdn",
       {{"key_dim", 16}, {"expand_v", 1}, {"allow_neg_eigval", negative}}}};
  const auto config = model::ModelConfig::FromJson(model, "model");
  LT2_CHECK(config.ok(), config.status().ToString());
  auto ctx = testing::CpuContext();
  const auto made = model::LoopedModel::Create(*ctx, *config, seed, false);
  LT2_CHECK(made.ok(), made.status().ToString());
  LT2_CHECK_OK(model::ExportCheckpoint(
      folder, {{"name", folder}, {"model", config->ToJson()}}, **made,
      DType::kBF16));
}

class Ranking : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* base = std::getenv("TEST_TMPDIR");
    root_ = absl::StrCat(
        base == nullptr ? "/tmp" : base, "/checkpoints.",
        ::testing::UnitTest::GetInstance()->current_test_info()->name());
    MakeFolder(root_);
    for (const char* family : {"parity", "text"}) {
      MakeFolder(absl::StrCat(root_, "/", family));
    }
    Export(root_ + "/parity/gdn", 3, "gdn", 1, true, 1);
    Export(root_ + "/parity/full", 3, "full", 2, false, 2);
    Export(root_ + "/text/gdn", 256, "gdn", 1, false, 3);
  }

  // All checkpoints on eight examples of each column.
  LeaderboardOptions Options() const {
    LeaderboardOptions options;
    options.checkpoints = root_;
    options.sample = 8;
    options.sample_seed = 1;
    return options;
  }

  static std::vector<Row> MustRun(const LeaderboardOptions& options) {
    auto rows = RunLeaderboard(options, [](int64_t, int64_t) {});
    LT2_CHECK(rows.ok(), rows.status().ToString());
    return *std::move(rows);
  }

  static std::string ErrorOf(const LeaderboardOptions& options) {
    const auto rows = RunLeaderboard(options, [](int64_t, int64_t) {});
    return std::string(rows.status().message());
  }

  static std::vector<std::string> Names(const std::vector<Row>& rows) {
    std::vector<std::string> names;
    for (const Row& row : rows) {
      names.push_back(absl::StrCat(row.column, ":", row.model, ":", row.loops));
    }
    return names;
  }

  static std::vector<int64_t> Examples(const Row& row) {
    std::vector<int64_t> indices;
    for (const ItemScore& item : row.items) indices.push_back(item.index);
    return indices;
  }

  std::string root_;
};

// What does not depend on the clock or the machine.
json Result(const std::vector<Row>& rows) {
  json report = JsonReport(rows, RunInfo());
  for (json& row : report["rows"]) row.erase("seconds");
  return report;
}

TEST_F(Ranking, RowsInOrderOfColumnsThenModels) {
  LeaderboardOptions options = Options();
  std::vector<std::pair<int64_t, int64_t>> progress;
  const auto rows = RunLeaderboard(options, [&](int64_t done, int64_t n) {
    progress.push_back({done, n});
  });
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(Names(*rows), (std::vector<std::string>{
                              "parity:full:2", "parity:gdn:1", "text:gdn:1"}));
  EXPECT_EQ(progress,
            (std::vector<std::pair<int64_t, int64_t>>{{1, 3}, {2, 3}, {3, 3}}));
  for (const Row& row : *rows) {
    EXPECT_LE(row.low, row.value) << row.column;
    EXPECT_GE(row.high, row.value) << row.column;
    EXPECT_EQ(row.folder, absl::StrCat(root_, "/", row.column, "/", row.model));
    EXPECT_EQ(row.items.size(), 8u);
    EXPECT_GT(row.parameters, 0);
    EXPECT_GT(row.flops_per_token, 0);
    EXPECT_GT(row.state_bytes, 0);
    EXPECT_EQ(row.model_digest.size(), 16u);
    EXPECT_FALSE(row.data_digest.empty());
  }
  EXPECT_EQ((*rows)[0].write_strength, "-");
  EXPECT_EQ((*rows)[1].write_strength, "(0,2)");
  EXPECT_EQ((*rows)[2].write_strength, "(0,1)");
  EXPECT_NE((*rows)[0].model_digest, (*rows)[1].model_digest);
  EXPECT_EQ((*rows)[0].data_digest, (*rows)[1].data_digest);
  // Bytes of an untrained model cost about 8 bits.
  EXPECT_EQ((*rows)[2].metric, Metric::kBitsPerByte);
  EXPECT_NEAR((*rows)[2].value, 8, 2);
}

TEST_F(Ranking, ModelsAndColumnsCanBeChosen) {
  LeaderboardOptions options = Options();
  options.models = {"gdn"};
  EXPECT_EQ(Names(MustRun(options)),
            (std::vector<std::string>{"parity:gdn:1", "text:gdn:1"}));
  options.columns = {"text"};
  EXPECT_EQ(Names(MustRun(options)), (std::vector<std::string>{"text:gdn:1"}));
}

TEST_F(Ranking, SampleIsAFunctionOfItsSeed) {
  LeaderboardOptions options = Options();
  options.columns = {"parity"};
  const std::vector<Row> first = MustRun(options), again = MustRun(options);
  EXPECT_EQ(Result(first), Result(again));
  const std::vector<int64_t> examples = Examples(first[0]);
  EXPECT_EQ(std::set<int64_t>(examples.begin(), examples.end()).size(), 8u);
  EXPECT_TRUE(std::is_sorted(examples.begin(), examples.end()));
  EXPECT_EQ(Examples(first[1]), examples) << "models see the same examples";
  EXPECT_TRUE(first[0].partial);
  options.sample_seed = 2;
  EXPECT_NE(Examples(MustRun(options)[0]), examples);
  EXPECT_NE(TextReport(first, {}).find("8 PARTIAL"), std::string::npos);
}

TEST_F(Ranking, AllExamplesAreNotPartial) {
  LeaderboardOptions options = Options();
  options.columns = {"parity"};
  options.models = {"gdn"};
  options.sample = 0;
  const std::vector<Row> all = MustRun(options);
  ASSERT_GT(all[0].items.size(), 8u);
  EXPECT_FALSE(all[0].partial);
  EXPECT_EQ(TextReport(all, {}).find("PARTIAL"), std::string::npos);
  // A sample's scores are those of the full evaluation.
  options.sample = 8;
  const std::vector<Row> sampled = MustRun(options);
  for (const ItemScore& item : sampled[0].items) {
    EXPECT_EQ(item.nll, all[0].items[item.index].nll) << item.index;
  }
}

TEST_F(Ranking, LoopsOverrideIsNamed) {
  LeaderboardOptions options = Options();
  options.columns = {"parity"};
  options.loops = {1, 2};
  const std::vector<Row> rows = MustRun(options);
  EXPECT_EQ(Names(rows),
            (std::vector<std::string>{"parity:full:1", "parity:full:2",
                                      "parity:gdn:1", "parity:gdn:2"}));
  EXPECT_EQ(rows[3].trained_loops, 1);
  EXPECT_GT(rows[3].flops_per_token, rows[2].flops_per_token);
  EXPECT_NE(rows[3].items[0].nll, rows[2].items[0].nll);
  const std::string text = TextReport(rows, {});
  for (const char* label : {" full@1 ", " gdn@2 ", " full ", " gdn "}) {
    EXPECT_NE(text.find(label), std::string::npos) << label << "\n" << text;
  }
  EXPECT_EQ(text.find("full@2"), std::string::npos);
}

TEST_F(Ranking, SameForOneAndTwoThreads) {
  LeaderboardOptions options = Options();
  options.loops = {1, 2};
  const json one = Result(MustRun(options));
  options.threads = 2;
  EXPECT_EQ(Result(MustRun(options)), one);
}

TEST_F(Ranking, UnknownNamesAreErrorsThatListTheKnown) {
  LeaderboardOptions options = Options();
  options.models = {"gdn", "gnd"};
  EXPECT_EQ(ErrorOf(options), absl::StrCat("--models: no model 'gnd' in ",
                                           root_, "; there are: full, gdn"));
  options = Options();
  options.columns = {"party"};
  const std::string error = ErrorOf(options);
  EXPECT_EQ(error.find("--tasks: no column 'party'; there are: "), 0u) << error;
  for (const TaskColumn& column : Columns()) {
    EXPECT_NE(error.find(column.name), std::string::npos) << column.name;
  }
}

TEST_F(Ranking, NoCheckpointsIsAnErrorThatNamesTheFolder) {
  LeaderboardOptions options = Options();
  options.checkpoints = root_ + "/nowhere";
  EXPECT_NE(ErrorOf(options).find(options.checkpoints), std::string::npos);
  options = Options();
  options.columns = {"books"};
  EXPECT_EQ(ErrorOf(options), "--tasks: column 'books' needs --data_dir");
}

TEST_F(Ranking, DamagedCheckpointIsAnErrorThatNamesItsFolder) {
  const std::string folder = root_ + "/parity/gdn";
  const std::string config = folder + "/config.json";
  const auto error = [&] {
    const std::string message = ErrorOf(Options());
    EXPECT_NE(message.find(folder), std::string::npos) << message;
    return message;
  };
  // A tensor cut short.
  struct stat info;
  ASSERT_EQ(stat((folder + "/" + kModel).c_str(), &info), 0);
  ASSERT_EQ(truncate((folder + "/" + kModel).c_str(), info.st_size - 1), 0);
  error();
  // The weights of another model.
  Export(folder, 4, "gdn", 1, true, 1);
  std::ofstream(config) << json{
      {"model", {{"vocab_size", 3}, {"dim", 16}, {"n_heads", 2}}}};
  error();
  // A configuration with a misspelt key, then one that is no JSON, then none.
  std::ofstream(config) << R"({"model": {"vocab_size": 3, "dmi": 16}})";
  EXPECT_NE(error().find("dmi"), std::string::npos);
  std::ofstream(config) << R"({"model": )";
  error();
  ASSERT_EQ(unlink(config.c_str()), 0);
  error();
  // A model of too few tokens for its task.
  Export(folder, 2, "gdn", 1, true, 1);
  EXPECT_NE(error().find("vocabulary 2"), std::string::npos);
}

TEST(Columns, HaveUniqueNamesAndValidTasks) {
  std::set<std::string> names;
  for (const TaskColumn& column : Columns()) {
    EXPECT_TRUE(names.insert(column.name).second) << column.name;
    EXPECT_GT(column.examples, 0) << column.name;
    EXPECT_FALSE(column.title.empty()) << column.name;
    if (column.needs_data_dir) continue;
    const auto task = tasks::CreateTask(column.spec);
    ASSERT_TRUE(task.ok()) << column.name << ": " << task.status();
    EXPECT_EQ((*task)->spec()["task"], column.spec["task"]);
  }
}

}  // namespace
}  // namespace lt2::evals

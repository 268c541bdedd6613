#include "bench/scaling/run.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "bench/scaling/green.h"
#include "bench/scaling/report.h"
#include "gtest/gtest.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"
#include "model/mixers/mixer.h"

namespace lt2::bench {
namespace {

using nlohmann::json;

std::set<std::string> Keys(const json& object) {
  std::set<std::string> keys;
  for (const auto& item : object.items()) keys.insert(item.key());
  return keys;
}

std::string NewFolder() {
  std::string path = absl::StrCat(testing::TempDir(), "/scaling_XXXXXX");
  LT2_CHECK(mkdtemp(path.data()) != nullptr);
  return path;
}

Preset Tiny() {
  auto preset = MakePreset("tiny");
  LT2_CHECK_OK(preset.status());
  return *preset;
}

// Times by law: full quadratic, all else linear, both times T.
Results Synthetic() {
  Results results;
  results.preset = Tiny();
  results.device = "cpu";
  results.processor = "a processor";
  results.build = "g++ 1";
  RunInfo run;
  run.command = "bazel run //bench:scaling";
  run.seconds = 2;
  run.ceilings.flops_per_s = 1e9;
  run.ceilings.bytes_per_s = 1e9;
  run.ceilings.gemm = "matrices";
  run.ceilings.copy = "memcpy";
  results.runs.push_back(run);
  for (const Cell& cell : CellsOf(results.preset)) {
    Row row;
    row.cell = cell;
    const double n = static_cast<double>(cell.length);
    const double seconds = 1e-3 * (cell.mixer == "full" ? n * n / 20 : n) *
                           static_cast<double>(cell.loops);
    row.samples = {seconds, 0.9 * seconds, 1.1 * seconds};
    row.process_medians = {seconds};
    row.flops = cell.length * cell.loops * 1000;
    results.rows[cell.Key()] = row;
  }
  return results;
}

TEST(Presets, EveryMixerOfTheRegistryHasAModel) {
  for (const char* name : {"cpu", "paper", "peers", "tiny"}) {
    const auto preset = MakePreset(name);
    ASSERT_TRUE(preset.ok());
    for (const std::string& mixer : model::MixerNames()) {
      EXPECT_TRUE(ConfigOf(*preset, mixer).ok()) << name << " " << mixer;
    }
    for (const std::string& mixer : preset->mixers) {
      const auto config = ConfigOf(*preset, mixer);
      ASSERT_TRUE(config.ok()) << config.status();
      EXPECT_EQ(config->loop_count, preset->loops.back());
    }
  }
  EXPECT_FALSE(MakePreset("other").ok());
  EXPECT_FALSE(ConfigOf(Tiny(), "gnd").ok());
  EXPECT_FALSE(ConfigOf(Tiny(), "gdn+gdn+gdn").ok());
}

TEST(Presets, HybridsHaveLayersOfBothInTurn) {
  const auto config = ConfigOf(Tiny(), "gdn+dsa");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->LayerTypes(1), (std::vector<std::string>{"gdn", "dsa"}));
}

TEST(Grid, EachCellOnceOperatorsWithoutLoopsAndTiersFirst) {
  auto preset = MakePreset("paper");
  ASSERT_TRUE(preset.ok());
  const std::vector<Cell> cells = CellsOf(*preset);
  std::set<std::string> keys;
  for (const Cell& cell : cells) {
    keys.insert(cell.Key());
    if (!OfOperator(cell.phase)) continue;
    EXPECT_EQ(cell.loops, 1);
    EXPECT_EQ(cell.mixer.find('+'), std::string::npos);
  }
  EXPECT_EQ(keys.size(), cells.size());
  // 6 single mixers x 9 lengths x 4 batches x 2; 8 x 9 x 4 T x 4 x 3.
  EXPECT_EQ(cells.size(), 6u * 9 * 4 * 2 + 8u * 9 * 4 * 4 * 3);
  size_t tier = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    size_t mine = 0;
    while (mine < preset->tiers.size() && !preset->tiers[mine].Has(cells[i])) {
      ++mine;
    }
    EXPECT_GE(mine, tier);
    tier = mine;
    // A decode row follows its prefill, whose state it needs.
    if (cells[i].phase == Phase::kDecode) {
      ASSERT_GT(i, 0u);
      EXPECT_EQ(cells[i - 1].phase, Phase::kPrefill);
      EXPECT_EQ(cells[i - 1].length, cells[i].length);
    }
  }
}

TEST(Results, FitsAndCrossoversOfKnownLaws) {
  const Results results = Synthetic();
  int lengths = 0, loops = 0;
  for (const Exponent& e : Exponents(results)) {
    const double expected = e.variable == "loops" ? 1
                            : e.mixer == "full"   ? 2
                                                  : 1;
    EXPECT_NEAR(e.law.exponent, expected, 1e-9) << e.mixer;
    EXPECT_NEAR(e.flops.exponent, 1, 1e-9);
    ++(e.variable == "loops" ? loops : lengths);
    EXPECT_TRUE(e.variable == "length" || e.fixed == 32);
  }
  // Three models with two T each and two operators, each in two phases.
  EXPECT_EQ(lengths, 3 * 3 * 2 + 2 * 2);
  EXPECT_EQ(loops, 3 * 3);
  const auto crossovers = Crossovers(results);
  EXPECT_EQ(crossovers.size(), 3u * 3 * 2 + 2);
  for (const CrossoverRow& c : crossovers) {
    if (c.against != "full") {
      EXPECT_EQ(c.crossover.outcome, Crossover::kAlways);  // a tie
      continue;
    }
    EXPECT_EQ(c.crossover.outcome, Crossover::kReached);
    EXPECT_NEAR(c.crossover.x, 20, 1e-9);
  }
}

TEST(Results, APairIsShownInTheDirectionOfTheFasterOne) {
  Results results = Synthetic();
  std::reverse(results.preset.mixers.begin(), results.preset.mixers.end());
  for (const CrossoverRow& c : Crossovers(results)) {
    EXPECT_NE(c.mixer, "full");
  }
}

TEST(Results, FrontierNamesTheLongestAndTheFirstThatDidNotFit) {
  Results results = Synthetic();
  Row& row = results.rows[Cell{"gdn", 32, 2, 1, Phase::kDecode}.Key()];
  row.samples.clear();
  row.status = Row::kOutOfMemory;
  results.rows.erase(Cell{"full", 32, 2, 1, Phase::kDecode}.Key());
  for (const FrontierRow& f : Frontiers(results)) {
    const bool here = f.phase == Phase::kDecode && f.loops == 2;
    const bool failed = here && f.mixer == "gdn";
    const bool missing = here && f.mixer == "full";
    EXPECT_EQ(f.longest, failed || missing ? 16 : 32) << f.mixer;
    EXPECT_EQ(f.out_of_memory, failed ? 32 : 0) << f.mixer;
    EXPECT_EQ(f.untried, missing) << f.mixer;
  }
}

TEST(Results, JsonKeysArePinned) {
  const json file = ToJson(Synthetic());
  EXPECT_EQ(file["schema_version"], 2);
  EXPECT_EQ(Keys(file),
            (std::set<std::string>{"schema_version", "program", "preset",
                                   "grid", "machine", "models", "runs", "rows",
                                   "exponents", "crossovers", "frontiers"}));
  EXPECT_EQ(Keys(file["grid"]),
            (std::set<std::string>{"mixers", "lengths", "loops", "batches",
                                   "model"}));
  EXPECT_EQ(Keys(file["machine"]),
            (std::set<std::string>{"device", "processor", "threads",
                                   "cuda_driver", "clock", "build"}));
  EXPECT_EQ(Keys(file["runs"][0]),
            (std::set<std::string>{"command", "seconds", "load_average",
                                   "ceilings"}));
  EXPECT_EQ(Keys(file["runs"][0]["ceilings"]),
            (std::set<std::string>{"tflops_per_s", "gbytes_per_s", "gemm",
                                   "copy", "clock_mhz"}));
  EXPECT_EQ(Keys(file["rows"][0]), (std::set<std::string>{"mixer",
                                                          "length",
                                                          "loops",
                                                          "phase",
                                                          "batch",
                                                          "status",
                                                          "message",
                                                          "run",
                                                          "samples_s",
                                                          "stopped",
                                                          "process_medians_s",
                                                          "calls_per_sample",
                                                          "wall_s",
                                                          "clock_mhz",
                                                          "flops",
                                                          "state_bytes",
                                                          "moved_bytes",
                                                          "peak_bytes",
                                                          "median_s",
                                                          "low_s",
                                                          "high_s",
                                                          "coverage",
                                                          "tokens_per_s",
                                                          "tflops_per_s",
                                                          "gbytes_per_s",
                                                          "flops_share",
                                                          "bytes_share"}));
  EXPECT_EQ(Keys(file["exponents"][0]),
            (std::set<std::string>{"variable", "mixer", "phase", "batch",
                                   "loops", "seconds", "flops"}));
  EXPECT_EQ(Keys(file["exponents"][0]["seconds"]),
            (std::set<std::string>{"exponent", "low", "high", "points"}));
  EXPECT_EQ(
      Keys(file["crossovers"][0]),
      (std::set<std::string>{"mixer", "against", "phase", "loops", "batch",
                             "outcome", "length", "ratio_at_largest"}));
  EXPECT_EQ(Keys(file["frontiers"][0]),
            (std::set<std::string>{"mixer", "phase", "loops", "batch",
                                   "longest", "out_of_memory", "untried"}));
}

TEST(Results, RatesAreOfTheMedian) {
  Results results = Synthetic();
  const json row = ToJson(results)["rows"][0];
  EXPECT_EQ(row["mixer"], "full");
  const double seconds = 1e-3 * 64 / 20;
  EXPECT_NEAR(row["median_s"].get<double>(), seconds, 1e-15);
  EXPECT_NEAR(row["tokens_per_s"].get<double>(), 8 / seconds, 1e-6);
  EXPECT_NEAR(row["tflops_per_s"].get<double>(), 8000 / seconds / 1e12, 1e-15);
  EXPECT_NEAR(row["flops_share"].get<double>(), 8000 / seconds / 1e9, 1e-12);
  EXPECT_TRUE(row["gbytes_per_s"].is_null());
  EXPECT_TRUE(row["bytes_share"].is_null());
}

TEST(Results, SeveralProcessesCountByTheirMedians) {
  Row row;
  row.samples = {1, 2, 3};
  row.process_medians = {2};
  EXPECT_EQ(MedianSeconds(row), 2);
  row.process_medians = {4, 5, 6};
  EXPECT_EQ(MedianSeconds(row), 5);
  EXPECT_NEAR(IntervalOf(row)->coverage, 0.75, 1e-12);
}

TEST(Results, RowsComeBackAndOthersAreRefused) {
  const Results results = Synthetic();
  const json file = ToJson(results);
  Results empty = results;
  empty.rows.clear();
  empty.runs.clear();
  Results again = empty;
  ASSERT_TRUE(TakeRows(file, false, &again).ok());
  EXPECT_TRUE(ToJson(again) == file);
  EXPECT_TRUE(json::parse(ToText(file)) == file);
  // And without knowing of what they are.
  const auto alone = ResultsFromJson(file);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(ToMarkdown(*alone), ToMarkdown(results));

  json wrong = file;
  wrong["machine"]["processor"] = "another";
  EXPECT_FALSE(TakeRows(wrong, false, &again).ok());
  wrong = file;
  wrong["models"]["gdn"]["dim"] = 64;
  EXPECT_FALSE(TakeRows(wrong, false, &again).ok());
  wrong = file;
  wrong["schema_version"] = 1;
  EXPECT_FALSE(TakeRows(wrong, false, &again).ok());
  wrong = file;
  wrong["rows"][0]["samples_s"] = {0.1, -1};
  EXPECT_FALSE(TakeRows(wrong, false, &again).ok());
  EXPECT_FALSE(TakeRows(json::array(), false, &again).ok());
  for (const char* key : {"rows", "runs", "grid", "machine", "models"}) {
    wrong = file;
    wrong.erase(key);
    EXPECT_FALSE(TakeRows(wrong, false, &again).ok()) << key;
    EXPECT_FALSE(ResultsFromJson(wrong).ok()) << key;
  }
  wrong = file;
  wrong["grid"]["lengths"] = json::array();
  EXPECT_FALSE(ResultsFromJson(wrong).ok());

  // What failed is tried again, unless it should not be.
  json failed = file;
  failed["rows"][0]["status"] = "error";
  Results rest = empty;
  ASSERT_TRUE(TakeRows(failed, false, &rest).ok());
  EXPECT_EQ(rest.rows.size() + 1, results.rows.size());
  Results all = empty;
  ASSERT_TRUE(TakeRows(failed, true, &all).ok());
  EXPECT_EQ(all.rows.size(), results.rows.size());
}

TEST(Report, NamesRowsWithoutATime) {
  Results results = Synthetic();
  const Cell cell{"gdn", 32, 2, 1, Phase::kTrain};
  Row& row = results.rows[cell.Key()];
  row.samples.clear();
  row.status = Row::kOutOfMemory;
  EXPECT_NE(ToMarkdown(results).find("OOM"), std::string::npos);
  EXPECT_NE(ToMarkdown(results).find("1 out of memory"), std::string::npos);
  results.rows.erase(cell.Key());
  EXPECT_NE(ToMarkdown(results).find("pending"), std::string::npos);
  EXPECT_NE(ToMarkdown(results).find("## Pending cells"), std::string::npos);
  EXPECT_EQ(Figures(results).size(), 5u);
}

TEST(Report, ShortNumbers) {
  EXPECT_EQ(ShortSeconds(0.00123), "1.23 ms");
  EXPECT_EQ(ShortSeconds(12.34), "12.3 s");
  EXPECT_EQ(ShortBytes(123456), "123 kB");
  EXPECT_EQ(ShortBytes(12), "12.0 B");
}

TEST(Measurer, RowsThatWouldTakeTooLongAreNotRun) {
  Preset preset = Tiny();
  preset.call_seconds = 0;
  const auto measurer = Measurer::Create(preset, 1);
  ASSERT_TRUE(measurer.ok());
  std::map<std::string, Row> rows;
  for (int64_t length : {8, 16, 32}) {
    const Cell cell{"gdn", length, 1, 1, Phase::kPrefill};
    const auto row = (*measurer)->Measure(cell, rows);
    ASSERT_TRUE(row.ok());
    // Nothing foretells the first.
    EXPECT_EQ(row->status, length == 8 ? Row::kOk : Row::kOverTime);
    rows[cell.Key()] = *row;
  }
  const auto decode =
      (*measurer)->Measure({"gdn", 32, 1, 1, Phase::kDecode}, rows);
  ASSERT_TRUE(decode.ok());
  EXPECT_EQ(decode->status, Row::kOverTime);
}

TEST(Measurer, OutOfMemoryIsARowAndTheNextRowRuns) {
  Preset preset = Tiny();
  const auto measurer = Measurer::Create(preset, 1, /*memory_limit=*/4 << 20);
  ASSERT_TRUE(measurer.ok());
  std::map<std::string, Row> rows;
  const Cell large{"full", 1 << 14, 1, 1, Phase::kTrain};
  const auto none = (*measurer)->Measure(large, rows);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->status, Row::kOutOfMemory) << none->message;
  EXPECT_FALSE(none->message.empty());
  const auto small =
      (*measurer)->Measure({"full", 8, 1, 1, Phase::kTrain}, rows);
  ASSERT_TRUE(small.ok());
  EXPECT_EQ(small->status, Row::kOk) << small->message;
  EXPECT_GT(small->peak_bytes, 0);
}

TEST(RunPreset, MeasuresEverythingThenOnlyWhatIsMissing) {
  const Preset preset = Tiny();
  RunOptions options;
  options.out = NewFolder();
  options.command = "bazel run //bench:scaling -- --preset=tiny";
  const int cells = static_cast<int>(CellsOf(preset).size());
  const auto first = RunPreset(preset, options);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->measured, cells);
  EXPECT_EQ(first->taken, 0);
  EXPECT_EQ(first->pending, 0);

  const std::string path = options.out + "/scaling.json";
  const auto text = model::ReadFile(path);
  ASSERT_TRUE(text.ok());
  auto file = ParseJson(*text, path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(static_cast<int>((*file)["rows"].size()), cells);
  for (const json& row : (*file)["rows"]) {
    EXPECT_EQ(row["status"], "ok") << row.dump();
    EXPECT_GT(row["tokens_per_s"].get<double>(), 0);
    EXPECT_GT(row["tflops_per_s"].get<double>(), 0);
    EXPECT_GT(row["flops_share"].get<double>(), 0);
    EXPECT_GT(row["peak_bytes"].get<int64_t>(), 0);
    EXPECT_EQ(row["gbytes_per_s"].is_null(), row["phase"] == "train");
    EXPECT_EQ(row["state_bytes"].get<int64_t>() > 0,
              row["phase"] == "prefill" || row["phase"] == "decode");
  }
  for (const char* name : {"/scaling.md", "/scaling.json"}) {
    EXPECT_EQ(access((options.out + name).c_str(), F_OK), 0) << name;
  }
  if (first->notes.empty()) {
    EXPECT_EQ(access((options.out + "/time_by_length.svg").c_str(), F_OK), 0);
  }

  const auto second = RunPreset(preset, options);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->measured, 0);
  EXPECT_EQ(second->taken, cells);
  EXPECT_TRUE(RenderFolder(options.out).ok());
  EXPECT_EQ(*model::ReadFile(path), *text);  // rendering changes no result

  // An interrupted run, a decode row without its prefill among what is left.
  json kept = json::array();
  for (size_t i = 0; i < (*file)["rows"].size(); ++i) {
    if (i % 5 != 2) kept.push_back((*file)["rows"][i]);
  }
  const int missing = cells - static_cast<int>(kept.size());
  (*file)["rows"] = kept;
  ASSERT_TRUE(model::WriteFileAtomically(path, file->dump()).ok());
  const auto third = RunPreset(preset, options);
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ(third->measured, missing);
  EXPECT_EQ(third->taken, cells - missing);
}

TEST(RunPreset, AnotherProcessAddsAMedianToEachRow) {
  Preset preset = Tiny();
  preset.mixers = {"gdn"};
  preset.lengths = {8};
  preset.loops = {1};
  preset.processes = 2;
  RunOptions options;
  options.out = NewFolder();
  const int cells = static_cast<int>(CellsOf(preset).size());
  for (int run = 0; run < 3; ++run) {
    const auto summary = RunPreset(preset, options);
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_EQ(summary->measured, run < 2 ? cells : 0);
    const json file =
        json::parse(*model::ReadFile(options.out + "/scaling.json"));
    EXPECT_EQ(file["runs"].size(), std::min(run + 1, 2));
    for (const json& row : file["rows"]) {
      EXPECT_EQ(row["process_medians_s"].size(), std::min(run + 1, 2));
      EXPECT_EQ(row["run"], std::min(run, 1));
    }
  }
}

TEST(Measurer, WhatComputesSomethingElseIsNotTimed) {
  auto ctx = *Context::Create(Device::kCPU);
  const Preset preset = Tiny();
  auto model =
      *model::LoopedModel::Create(*ctx, *ConfigOf(preset, "gdn"), 1, false);
  EXPECT_TRUE(CheckModel(*model, false).ok());
  model::Parameter* norm = nullptr;
  for (model::Parameter* p : model->parameters()) {
    if (p->name == "norm.weight") norm = p;
  }
  ASSERT_NE(norm, nullptr);
  norm->value.data<float>()[0] = std::nanf("");
  const absl::Status red = CheckModel(*model, false);
  EXPECT_FALSE(red.ok());
  EXPECT_NE(red.message().find("not timed"), std::string::npos);
}

TEST(RunPreset, StopsWhenItsTimeIsOver) {
  Preset preset = Tiny();
  preset.total_seconds = 0;
  RunOptions options;
  options.out = NewFolder();
  const auto summary = RunPreset(preset, options);
  ASSERT_TRUE(summary.ok());
  EXPECT_EQ(summary->measured, 0);
  EXPECT_EQ(summary->pending, static_cast<int>(CellsOf(preset).size()));
}

}  // namespace
}  // namespace lt2::bench

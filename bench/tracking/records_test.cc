#include "bench/tracking/records.h"

#include <cmath>

#include "bench/tracking/google_benchmark.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace lt2::bench {
namespace {

Record Example() {
  Record record;
  record.suite = "gemm_benchmark";
  record.benchmark = "BM_Gemm";
  record.parameters = {{"m", "64"}, {"k", "32"}};
  record.metric = "real_time";
  record.unit = "ns";
  record.machine = {{"cpu", "x"}};
  record.build = {{"compiler", "gcc"}};
  record.commit = "abc";
  record.time = "2026-11-23T13:00:00Z";
  record.samples = {1.5, 2, std::nan("")};
  return record;
}

constexpr char kLine[] =
    R"({"schema_version":1,"suite":"gemm_benchmark","benchmark":"BM_Gemm",)"
    R"("parameters":{"k":"32","m":"64"},"metric":"real_time","unit":"ns",)"
    R"("higher_is_better":false,"machine":{"cpu":"x"},)"
    R"("build":{"compiler":"gcc"},"data":"","commit":"abc",)"
    R"("time":"2026-11-23T13:00:00Z","sampling":"process",)"
    R"("samples":[1.5,2.0,null]})";

TEST(Records, AreWrittenAsPinnedAndReadBack) {
  EXPECT_EQ(RecordLine(Example()), kLine);
  const auto records = ParseRecords(std::string(kLine) + "\n" + kLine, "f");
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_EQ(records->size(), 2u);
  EXPECT_EQ((*records)[0].Key(), Example().Key());
  EXPECT_EQ(RecordLine((*records)[1]), kLine);
  EXPECT_TRUE(std::isnan((*records)[0].samples[2]));
  EXPECT_TRUE(ParseRecords("", "f")->empty());
}

TEST(Records, KeyHasAllThatKeepsResultsApart) {
  const std::string key = Example().Key();
  const auto differs = [&](auto change) {
    Record record = Example();
    change(record);
    EXPECT_NE(record.Key(), key);
  };
  differs([](Record& r) { r.suite = "x"; });
  differs([](Record& r) { r.benchmark = "x"; });
  differs([](Record& r) { r.parameters["heads"] = "4"; });
  differs([](Record& r) { r.parameters["m"] = "65"; });
  differs([](Record& r) { r.metric = "cpu_time"; });
  differs([](Record& r) { r.machine["driver"] = "1"; });
  differs([](Record& r) { r.build["flags"] = "-O3"; });
  differs([](Record& r) { r.data = "digest"; });
  Record later = Example();
  later.commit = "def";
  later.time = "later";
  later.samples = {};
  EXPECT_EQ(later.Key(), key);
  EXPECT_EQ(later.Name(), "gemm_benchmark/BM_Gemm k:32 m:64 [real_time]");
}

TEST(Records, ThatAreWrongAreErrorsWithTheirPlace) {
  const auto error = [](const std::string& from, const std::string& to) {
    std::string line = kLine;
    const size_t at = line.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    line.replace(at, from.size(), to);
    const auto records =
        ParseRecords(std::string(kLine) + "\n" + line, "h.jsonl");
    EXPECT_FALSE(records.ok()) << line;
    const std::string message(records.status().message());
    EXPECT_NE(message.find("h.jsonl:2"), std::string::npos) << message;
  };
  error("\"schema_version\":1", "\"schema_version\":2");
  error("\"commit\":\"abc\",", "");
  error("\"commit\":", "\"comit\":");
  error("\"commit\":\"abc\"", "\"commit\":\"abc\",\"more\":1");
  error("\"commit\":\"abc\"", "\"commit\":\"abc\",\"commit\":\"abc\"");
  error("[1.5,2.0,null]", "[1.5,NaN]");
  error("[1.5,2.0,null]", "[\"1.5\"]");
  error("[1.5,2.0,null]", "1.5");
  error("{\"cpu\":\"x\"}", "{\"cpu\":1}");
  error("\"process\"", "\"sample\"");
  error("\"BM_Gemm\"", "\"\"");
  error("}", "");
  EXPECT_FALSE(ParseRecords(std::string(kLine) + "\n\n", "f").ok());
}

TEST(History, IsOfOneMachine) {
  Record other = Example();
  other.machine["cpu"] = "y";
  const std::string text =
      RecordLine(Example()) + "\n" + RecordLine(other) + "\n";
  EXPECT_TRUE(ParseRecords(text, "f").ok());
  const auto history = ParseHistory(text, "f");
  ASSERT_FALSE(history.ok());
  EXPECT_EQ(history.status().message().substr(0, 4), "f:2:");
}

TEST(Merge, AppendsProcessesOfOneKey) {
  Record other = Example();
  other.parameters["m"] = "1";
  const auto merged = MergeProcesses({Example(), other, Example()});
  ASSERT_TRUE(merged.ok()) << merged.status();
  ASSERT_EQ(merged->size(), 2u);
  EXPECT_EQ((*merged)[0].samples.size(), 6u);
  EXPECT_EQ((*merged)[1].samples.size(), 3u);
  Record later = Example();
  later.commit = "def";
  EXPECT_FALSE(MergeProcesses({Example(), later}).ok());
  Record other_unit = Example();
  other_unit.unit = "us";
  EXPECT_FALSE(MergeProcesses({Example(), other_unit}).ok());
}

constexpr char kGoogle[] = R"({
  "context": {"date": "2026-11-23T13:00:00+00:00", "num_cpus": 2,
    "executable": "/x/bin/gemm_benchmark", "library_build_type": "release",
    "caches": []},
  "benchmarks": [
    {"name": "cuda/forward/batch:16/2048/8/min_time:0.100/real_time",
     "run_name": "cuda/forward/batch:16/2048/8/min_time:0.100/real_time",
     "run_type": "iteration", "repetition_index": 0, "iterations": 9,
     "real_time": 3.0, "cpu_time": 2.5, "time_unit": "ns", "FLOP/s": 1e9},
    {"name": "cuda/forward/batch:16/2048/8/min_time:0.100/real_time",
     "run_name": "cuda/forward/batch:16/2048/8/min_time:0.100/real_time",
     "run_type": "iteration", "repetition_index": 1, "iterations": 9,
     "real_time": 5.0, "cpu_time": 4.5, "time_unit": "ns", "FLOP/s": 2e9},
    {"name": "cuda/forward/batch:16/2048/8/min_time:0.100/real_time_mean",
     "run_name": "cuda/forward/batch:16/2048/8/min_time:0.100/real_time",
     "run_type": "aggregate", "aggregate_name": "mean", "real_time": 4.0,
     "cpu_time": 3.5, "time_unit": "ns"},
    {"name": "BM_Failed", "run_name": "BM_Failed", "run_type": "iteration",
     "error_occurred": true, "error_message": "no device"}
  ]})";

TEST(GoogleBenchmark, BecomesRecords) {
  GoogleBenchmarkOptions options;
  options.commit = "abc";
  options.machine = {{"gpu", "H200"}};
  EXPECT_TRUE(LooksLikeGoogleBenchmark(kGoogle));
  EXPECT_FALSE(LooksLikeGoogleBenchmark(kLine));
  const auto records = ParseGoogleBenchmark(kGoogle, "g", options);
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_EQ(records->size(), 2u);
  const Record& r = (*records)[0];
  EXPECT_EQ(r.suite, "gemm_benchmark");
  EXPECT_EQ(r.benchmark, "cuda/forward");
  EXPECT_EQ(r.parameters,
            (std::map<std::string, std::string>{
                {"batch", "16"}, {"arg0", "2048"}, {"arg1", "8"}}));
  EXPECT_EQ(r.unit, "ns");
  EXPECT_FALSE(r.higher_is_better);
  EXPECT_EQ(r.samples, std::vector<double>{4});
  EXPECT_EQ(r.machine.at("num_cpus"), "2");
  EXPECT_EQ(r.machine.at("gpu"), "H200");
  EXPECT_EQ(r.build.at("library_build_type"), "release");
  EXPECT_TRUE(std::isnan((*records)[1].samples.at(0)));
}

TEST(GoogleBenchmark, RepetitionsAndCountersOnRequest) {
  GoogleBenchmarkOptions options;
  options.metric = "FLOP/s";
  options.sampling = Sampling::kRepetition;
  const auto records = ParseGoogleBenchmark(kGoogle, "g", options);
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_TRUE((*records)[0].higher_is_better);
  EXPECT_EQ((*records)[0].samples, (std::vector<double>{1e9, 2e9}));
  EXPECT_EQ((*records)[0].unit, "");
  options.metric = "none";
  EXPECT_FALSE(ParseGoogleBenchmark(kGoogle, "g", options).ok());
}

TEST(GoogleBenchmark, WrongFilesAreErrors) {
  for (const char* text :
       {"", "[]", "{}", R"({"context":{},"benchmarks":{}})",
        R"({"context":{},"benchmarks":[1]})",
        R"({"context":{},"benchmarks":[{"name":"a","real_time":NaN}]})",
        R"({"context":{},"benchmarks":[{"name":"a","real_time":"1"}]})",
        R"({"context":{},"benchmarks":[{"name":"","real_time":1}]})",
        R"({"context":{},"benchmarks":[{"name":"a/m:1/m:2","real_time":1}]})",
        R"({"context":{"date":1},"benchmarks":[]})"}) {
    EXPECT_FALSE(ParseGoogleBenchmark(text, "g", {}).ok()) << text;
  }
}

}  // namespace
}  // namespace lt2::bench

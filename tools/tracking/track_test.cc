#include "tools/tracking/track.h"

#include <unistd.h>

#include <cmath>

#include "bench/tracking/machine.h"
#include "bench/tracking/records.h"
#include "gtest/gtest.h"
#include "kernels/core/philox.h"
#include "model/io/atomic_file.h"
#include "nlohmann/json.hpp"
#include "tools/tracking/report.h"

namespace lt2::tools {
namespace {

using bench::Record;

Record Measured(double level, uint64_t stream, int rounds = 7) {
  Philox rng(8, stream);
  Record record;
  record.suite = "s";
  record.benchmark = "a<b>";
  record.metric = "real_time";
  record.unit = "ns";
  record.machine = {{"cpu", "x"}};
  record.commit = "c" + std::to_string(stream);
  for (int i = 0; i < rounds; ++i) {
    record.samples.push_back(level * std::exp(0.003 * rng.Normal()));
  }
  return record;
}

std::string Write(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + "/" + name;
  LT2_CHECK_OK(model::WriteFileAtomically(path, text));
  return path;
}

std::string Write(const std::string& name, const std::vector<Record>& records) {
  std::string text;
  for (const Record& record : records) text += RecordLine(record) + "\n";
  return Write(name, text);
}

int Code(const std::vector<std::string>& arguments,
         const TrackOptions& options = {}, std::string* out = nullptr) {
  std::string text;
  const auto code = Track(arguments, options, &text);
  if (out != nullptr) {
    *out = code.ok() ? text : std::string(code.status().message());
  }
  return code.ok() ? *code : 2;
}

TEST(Track, CompareHasTheDocumentedExitCodes) {
  const std::string base = Write("base", {Measured(100, 1)});
  EXPECT_EQ(Code({"compare", base, Write("same", {Measured(100, 2)})}), 0);
  EXPECT_EQ(Code({"compare", base, Write("slow", {Measured(103, 3)})}), 1);
  EXPECT_EQ(Code({"compare", base, Write("fast", {Measured(97, 4)})}), 0);
  EXPECT_EQ(Code({"compare", base, Write("none", std::string())}), 2);
  EXPECT_EQ(Code({"compare", base, Write("bad", std::string("{}\n"))}), 2);
  EXPECT_EQ(Code({"compare", base, "/nonexistent"}), 2);
  EXPECT_EQ(Code({"compare", base, Write("few", {Measured(103, 5, 3)})}), 3);
  EXPECT_EQ(Code({"compare", base}), 2);
  EXPECT_EQ(Code({}), 2);
  TrackOptions wide;
  wide.floor = 0.1;
  EXPECT_EQ(Code({"compare", base, Write("slow", {Measured(103, 3)})}, wide),
            0);
}

TEST(Track, GateHasTheDocumentedExitCodes) {
  std::vector<Record> history;
  for (int i = 0; i < 40; ++i) history.push_back(Measured(100, 100 + i));
  TrackOptions options;
  options.history = Write("history", history);
  const std::string slow = Write("slow", {Measured(103, 3)});
  EXPECT_EQ(Code({"gate", Write("same", {Measured(100, 2)})}, options), 0);
  EXPECT_EQ(Code({"gate", slow}, options), 3);
  EXPECT_EQ(Code({"gate", slow}), 2);
  options.confirm = Write("again", {Measured(103, 4)});
  EXPECT_EQ(Code({"gate", slow}, options), 1);
  options.confirm = Write("not", {Measured(100, 5)});
  EXPECT_EQ(Code({"gate", slow}, options), 3);
}

TEST(Track, SeriesNamesTheFirstBadCommit) {
  std::vector<Record> history;
  for (int i = 0; i < 40; ++i) {
    history.push_back(Measured(i < 25 ? 100 : 104, 100 + i));
  }
  std::string out;
  EXPECT_EQ(Code({"series", Write("history", history)}, {}, &out), 1) << out;
  EXPECT_NE(out.find("c125"), std::string::npos) << out;
  EXPECT_NE(out.find("c124"), std::string::npos) << out;
  EXPECT_NE(out.find("WORSE"), std::string::npos) << out;
  history.resize(25);
  EXPECT_EQ(Code({"series", Write("history", history)}, {}, &out), 0) << out;
}

TEST(Track, TakesProcessesOfGoogleBenchmark) {
  const auto side = [](const std::string& name, double factor) {
    std::string files;
    for (int i = 0; i < 7; ++i) {
      const std::string time = std::to_string(factor * (1000 + i));
      files += (i == 0 ? "" : ",") +
               Write(name + std::to_string(i),
                     "{\"context\":{\"num_cpus\":2},\n\"benchmarks\":[{"
                     "\"name\":\"BM_X/8\",\"real_time\":" +
                         time + ",\"time_unit\":\"ns\"}]}");
    }
    return files;
  };
  const std::string base = side("base", 1), slow = side("slow", 1.05);
  EXPECT_EQ(Code({"compare", base, base}), 0);
  EXPECT_EQ(Code({"compare", base, slow}), 1);
}

TEST(Track, RecordAppendsToTheHistoryOfOneMachine) {
  TrackOptions options;
  options.history =
      testing::TempDir() + "/new_history" + std::to_string(getpid());
  const std::string first = Write("first", {Measured(100, 1)});
  const std::string second = Write("second", {Measured(100, 2)});
  std::string out;
  EXPECT_EQ(Code({"record", first}, options, &out), 0) << out;
  EXPECT_EQ(Code({"record", second}, options, &out), 0) << out;
  EXPECT_EQ(*model::ReadFile(options.history),
            *model::ReadFile(first) + *model::ReadFile(second));
  // Another machine, no commit, nothing: refused, and nothing is written.
  Record other = Measured(100, 3), nameless = other;
  other.machine["cpu"] = "y";
  nameless.commit = "";
  EXPECT_EQ(Code({"record", Write("other", {other})}, options), 2);
  EXPECT_EQ(Code({"record", Write("nameless", {nameless})}, options), 2);
  EXPECT_EQ(Code({"record", Write("none", std::string())}, options), 2);
  EXPECT_EQ(Code({"record", first}), 2);
  EXPECT_EQ(*model::ReadFile(options.history),
            *model::ReadFile(first) + *model::ReadFile(second));
}

TEST(Track, MachineOfGoogleBenchmarksFilesIsGiven) {
  TrackOptions options;
  options.history =
      testing::TempDir() + "/google_history" + std::to_string(getpid());
  options.commit = "abc";
  options.machine = "cpu=x,gpu=y";
  const std::string file =
      Write("google", std::string("{\"context\":{},\n\"benchmarks\":[{"
                                  "\"name\":\"a\",\"real_time\":1}]}"));
  std::string out;
  EXPECT_EQ(Code({"record", file}, options, &out), 0) << out;
  EXPECT_NE(model::ReadFile(options.history)
                ->find(R"("machine":{"cpu":"x","gpu":"y"})"),
            std::string::npos);
  options.machine = "cpu";
  EXPECT_EQ(Code({"record", file}, options), 2);
}

TEST(Track, MachineOfThisHostIsDetectedAndOfOthersNamed) {
  const auto file = [](const std::string& host) {
    return Write("of_" + host, "{\"context\":{\"host_name\":\"" + host +
                                   "\"},\n\"benchmarks\":[{\"name\":\"a\","
                                   "\"real_time\":1}]}");
  };
  TrackOptions options;
  options.commit = "abc";
  const std::string here = bench::HostName();
  for (const std::string& host : {here, here + "x"}) {
    options.history = testing::TempDir() + "/history_of_" + host;
    unlink(options.history.c_str());
    std::string out;
    EXPECT_EQ(Code({"record", file(host)}, options, &out), 0) << out;
    const auto history =
        bench::ParseHistory(*model::ReadFile(options.history), "");
    ASSERT_TRUE(history.ok());
    const bench::MachineClass expected =
        host == here ? bench::DetectMachine()
                     : bench::MachineClass{{"host", host}};
    EXPECT_EQ((*history)[0].machine, expected);
  }
  std::string out;
  EXPECT_EQ(Code({"machine"}, {}, &out), 0);
  EXPECT_NE(out.find("cores="), std::string::npos);
}

TEST(Track, ReportWritesAPage) {
  std::vector<Record> history;
  for (int i = 0; i < 40; ++i) {
    history.push_back(Measured(i < 20 ? 100 : 104, 600 + i));
  }
  const std::string path = Write("reported", history);
  TrackOptions options;
  EXPECT_EQ(Code({"report", path}, options), 2);
  options.html = testing::TempDir() + "/page.html";
  options.markdown = testing::TempDir() + "/page.md";
  std::string out;
  EXPECT_EQ(Code({"report", path}, options, &out), 1) << out;
  EXPECT_NE(model::ReadFile(options.html)->find("WORSE"), std::string::npos);
  EXPECT_NE(model::ReadFile(options.markdown)->find("WORSE"),
            std::string::npos);
}

// Constant samples, so that every number is known.
bench::Report Pinned() {
  Record base = Measured(1, 1), slow = base, gone = base;
  base.samples.assign(7, 100.0);
  slow.samples.assign(7, 110.0);
  gone.benchmark = "gone";
  const auto report = bench::CompareRecords({base, gone}, {slow}, {});
  EXPECT_TRUE(report.ok());
  return *report;
}

TEST(Reports, JUnitIsAsPinned) {
  EXPECT_EQ(ReportJUnit(Pinned()),
            R"(<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="track" tests="2" failures="1" errors="1" skipped="0">
  <testcase classname="s" name="s/a&lt;b&gt; [real_time]"><failure message="SLOWER +10.00 % [+10.00, +10.00], floor 1.0 %"/></testcase>
  <testcase classname="s" name="s/gone [real_time]"><error message="VANISHED: not in head"/></testcase>
</testsuite>
)");
}

// Floats cut to six digits, which no mathematical library changes.
nlohmann::ordered_json Cut(nlohmann::ordered_json json) {
  if (json.is_structured()) {
    for (auto& value : json) value = Cut(value);
  } else if (json.is_number_float()) {
    json = std::round(1e6 * json.get<double>()) / 1e6;
  }
  return json;
}

// The schema: a change here is a new kTrackSchemaVersion.
TEST(Reports, JsonIsAsPinned) {
  EXPECT_EQ(
      Cut(ReportJson(Pinned())).dump(),
      R"({"schema_version":1,"exit_code":1,"rows":[)"
      R"({"name":"s/a<b> [real_time]","label":"SLOWER","outcome":"JUDGED",)"
      R"("reason":"","suite":"s","benchmark":"a<b>","parameters":{},)"
      R"("metric":"real_time","unit":"ns","higher_is_better":false,)"
      R"("base":100.0,"head":110.0,"cost":{"method":"mann_whitney",)"
      R"("change":0.1,"low":0.1,"high":0.1,"confidence":0.982517,)"
      R"("floor":0.01,"detectable":0.01,"rounds":7},"p_slower":0.000291,)"
      R"("p_faster":1.0,"hint":false,"implausible":false,)"
      R"("confirmed":false},)"
      R"({"name":"s/gone [real_time]","label":"VANISHED",)"
      R"("outcome":"VANISHED","reason":"not in head","suite":"s",)"
      R"("benchmark":"gone","parameters":{},"metric":"real_time",)"
      R"("unit":"ns","higher_is_better":false,"base":null,"head":null,)"
      R"("cost":null,"p_slower":null,"p_faster":null,"hint":false,)"
      R"("implausible":false,"confirmed":false}],"families":[]})");
}

TEST(Reports, JsonAndTextSayTheSame) {
  const auto json = ReportJson(Pinned());
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["exit_code"], 1);
  ASSERT_EQ(json["rows"].size(), 2u);
  const auto& row = json["rows"][0];
  EXPECT_EQ(row["label"], "SLOWER");
  EXPECT_NEAR(row["cost"]["change"].get<double>(), 0.1, 1e-12);
  EXPECT_EQ(row["cost"]["method"], "mann_whitney");
  EXPECT_EQ(row["cost"]["rounds"], 7);
  EXPECT_EQ(json["rows"][1]["label"], "VANISHED");
  EXPECT_TRUE(json["rows"][1]["cost"].is_null());
  EXPECT_TRUE(json["rows"][1]["base"].is_null());
  const std::string text = ReportText(Pinned(), false);
  EXPECT_NE(text.find("SLOWER"), std::string::npos) << text;
  EXPECT_NE(text.find("+10.00 %"), std::string::npos) << text;
  EXPECT_NE(text.find("VANISHED s/gone"), std::string::npos) << text;
  EXPECT_NE(text.find("2 rows, 0 the same."), std::string::npos) << text;
}

TEST(Reports, FilesAreWritten) {
  TrackOptions options;
  options.json = testing::TempDir() + "/out.json";
  options.xml = testing::TempDir() + "/out.xml";
  const std::string base = Write("base", {Measured(100, 1)});
  EXPECT_EQ(Code({"compare", base, base}, options), 0);
  const auto json = model::ReadFile(options.json);
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(nlohmann::json::parse(*json)["rows"][0]["label"], "SAME");
  EXPECT_TRUE(model::ReadFile(options.xml).ok());
}

}  // namespace
}  // namespace lt2::tools

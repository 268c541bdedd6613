#include "tools/exact/compare.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace lt2::tools {
namespace {

Record Kernels() {
  return {{"kernels",
           {{{"toolkit", "13.0.88"}},
            {{"a.cu A", {{"registers", 96}, {"stack_bytes", 0}}},
             {"a.cu B", {{"registers", 40}}},
             {"b.cu C", {{"registers", 50}, {"digest", "aa"}}}}}}};
}

// The section "kernels", compared.
SectionVerdict Verdict(const Record& pinned, const Measured& measured) {
  for (const SectionVerdict& verdict : Compare(pinned, measured)) {
    if (verdict.section == "kernels") return verdict;
  }
  ADD_FAILURE() << "no verdict";
  return {};
}
SectionVerdict Verdict(const Record& now) {
  Measured measured;
  measured.record = now;
  return Verdict(Kernels(), measured);
}

TEST(Compare, EqualIsTheSame) {
  const SectionVerdict verdict = Verdict(Kernels());
  EXPECT_EQ(verdict.outcome, SectionVerdict::kSame);
  EXPECT_EQ(verdict.quantities, 5u);
  EXPECT_EQ(VerdictText(verdict), "kernels: 5 quantities, all as pinned\n");
}

TEST(Compare, ChangedQuantitiesAreShownOldAndNewWorstFirst) {
  Record now = Kernels();
  auto& entries = now["kernels"].entries;
  entries["a.cu A"] = {{"registers", 128}, {"stack_bytes", 24}};
  entries["a.cu B"]["registers"] = 32;
  entries["b.cu C"]["registers"] = 51;
  const SectionVerdict verdict = Verdict(now);
  EXPECT_EQ(verdict.outcome, SectionVerdict::kDiffers);
  EXPECT_EQ(VerdictText(verdict),
            "kernels: 4 DIFFERENCES in 3 entries (5 quantities pinned)\n"
            "entry   quantity     pinned  now     change\n"
            "------  -----------  ------  ---  ---------\n"
            "a.cu A  stack_bytes       0   24  from zero\n"
            "        registers        96  128    +33.3 %\n"
            "b.cu C  registers        50   51     +2.0 %\n"
            "a.cu B  registers        40   32    -20.0 %\n"
            "If this is meant, accept it and say why in the commit:\n"
            "  ./bazelw run //tools/exact -- --accept\n");
}

TEST(Compare, ADigestThatMovedComesBeforeAnyNumber) {
  Record now = Kernels();
  now["kernels"].entries["b.cu C"]["digest"] = "ab";
  now["kernels"].entries["a.cu A"]["registers"] = 255;
  const SectionVerdict verdict = Verdict(now);
  ASSERT_EQ(verdict.differences.size(), 2u);
  EXPECT_EQ(verdict.differences[0].kind, Difference::kChanged);
  EXPECT_EQ(verdict.differences[0].pinned.ToString(), "aa");
  EXPECT_EQ(verdict.differences[0].now.ToString(), "ab");
}

TEST(Compare, ANumberThatBecameATextHasChanged) {
  Record now = Kernels();
  now["kernels"].entries["a.cu B"]["registers"] = "40";
  const SectionVerdict verdict = Verdict(now);
  ASSERT_EQ(verdict.differences.size(), 1u);
  EXPECT_EQ(verdict.differences[0].kind, Difference::kChanged);
}

TEST(Compare, VanishedEntriesAndQuantitiesFail) {
  Record now = Kernels();
  now["kernels"].entries.erase("a.cu B");
  now["kernels"].entries["b.cu C"].erase("digest");
  const SectionVerdict verdict = Verdict(now);
  EXPECT_EQ(verdict.outcome, SectionVerdict::kDiffers);
  ASSERT_EQ(verdict.differences.size(), 2u);
  for (const Difference& d : verdict.differences) {
    EXPECT_EQ(d.kind, Difference::kVanished);
    EXPECT_EQ(d.Change(), "vanished");
  }
}

TEST(Compare, NewEntriesAndQuantitiesFail) {
  Record now = Kernels();
  now["kernels"].entries["c.cu D"]["registers"] = 8;
  now["kernels"].entries["b.cu C"]["spills"] = int64_t{0};
  const SectionVerdict verdict = Verdict(now);
  EXPECT_EQ(verdict.outcome, SectionVerdict::kDiffers);
  ASSERT_EQ(verdict.differences.size(), 2u);
  for (const Difference& d : verdict.differences) {
    EXPECT_EQ(d.kind, Difference::kNew);
  }
  EXPECT_EQ(verdict.differences[0].quantity, "spills");
  EXPECT_EQ(verdict.differences[1].quantity, "(all of it)");
}

TEST(Compare, ASectionThatIsJustNotThereHasVanished) {
  const SectionVerdict verdict = Verdict(Record());
  EXPECT_EQ(verdict.outcome, SectionVerdict::kDiffers);
  EXPECT_EQ(verdict.differences.size(), 3u);  // entries
}

TEST(Compare, SkipsVisiblyWhatItCannotCompare) {
  Measured unavailable;
  unavailable.unavailable["kernels"] = "no CUDA toolkit";
  SectionVerdict verdict = Verdict(Kernels(), unavailable);
  EXPECT_EQ(verdict.outcome, SectionVerdict::kSkipped);
  EXPECT_EQ(VerdictText(verdict), "kernels: SKIPPED, no CUDA toolkit\n");

  Record other = Kernels();
  other["kernels"].environment["toolkit"] = "13.1.5";
  other["kernels"].entries["a.cu A"]["registers"] = 7;
  verdict = Verdict(other);
  EXPECT_EQ(verdict.outcome, SectionVerdict::kSkipped);
  EXPECT_EQ(VerdictText(verdict),
            "kernels: SKIPPED, pinned with toolkit 13.0.88; here it is toolkit "
            "13.1.5\n");

  Measured measured;
  measured.record = Kernels();
  verdict = Verdict(Record(), measured);
  EXPECT_EQ(verdict.outcome, SectionVerdict::kSkipped);
  EXPECT_EQ(verdict.why, "nothing is pinned yet");
}

TEST(Compare, LongListsSayHowMuchIsLeftOut) {
  Record now = Kernels();
  for (int i = 0; i < 100; ++i) {
    now["kernels"].entries["d.cu " + std::to_string(i)]["registers"] = i;
  }
  const std::string text = VerdictText(Verdict(now), 10);
  EXPECT_TRUE(absl::StrContains(text, "... and 90 more")) << text;
  EXPECT_TRUE(absl::StrContains(text, "100 DIFFERENCES in 100 entries"));
}

TEST(Accepted, TakesWhatWasMeasuredAndKeepsTheRest) {
  Record pinned = Kernels();
  pinned["bits"].entries["x"]["logits"] = "12";
  Measured measured;
  measured.record["bits"].entries["y"]["logits"] = "34";
  measured.unavailable["kernels"] = "no CUDA toolkit";
  const Record accepted = Accepted(pinned, measured);
  EXPECT_EQ(accepted.at("bits").entries.count("x"), 0u);
  EXPECT_EQ(accepted.at("bits").entries.count("y"), 1u);
  EXPECT_EQ(accepted.at("kernels").entries.size(), 3u);
  for (const SectionVerdict& verdict : Compare(accepted, measured)) {
    EXPECT_NE(verdict.outcome, SectionVerdict::kDiffers) << verdict.section;
  }
}

TEST(RecordFile, OneQuantityALine) {
  const Record record = {{"bits", {{{"libc", "2.36"}}, {{"x", {{"n", 5}}}}}}};
  const std::string text = RecordJson(record);
  EXPECT_EQ(
      text,
      "{\n \"schema_version\": 1,\n \"sections\": {\n  \"bits\": {\n"
      "   \"entries\": {\n    \"x\": {\n     \"n\": 5\n    }\n   },\n"
      "   \"environment\": {\n    \"libc\": \"2.36\"\n   }\n  }\n }\n}\n");
  const auto read = ParseRecord(text, "test");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(RecordJson(*read), text);
}

TEST(RecordFile, EveryQuantitySurvives) {
  const std::string text = RecordJson(Kernels());
  const auto read = ParseRecord(text, "test");
  ASSERT_TRUE(read.ok()) << read.status();
  Measured measured;
  measured.record = *read;
  EXPECT_EQ(Verdict(Kernels(), measured).outcome, SectionVerdict::kSame);
}

// What is wrong, and a part of the message that says where.
TEST(RecordFile, RefusesWhatItDoesNotKnow) {
  const auto with = [](const std::string& entries) {
    return R"({"schema_version":1,"sections":{"bits":{"environment":{},)"
           R"("entries":)" +
           entries + "}}}";
  };
  ASSERT_TRUE(ParseRecord(with(R"({"x":{"n":1}})"), "f").ok());
  const std::pair<std::string, const char*> bad[] = {
      {"", "f"},
      {"{", "f"},
      {"[]", "expected an object"},
      {R"({"schema_version":2,"sections":{}})", "schema_version is 2"},
      {R"({"schema_version":"1","sections":{}})", "schema_version"},
      {R"({"sections":{}})", "no key 'schema_version'"},
      {R"({"schema_version":1})", "no key 'sections'"},
      {R"({"schema_version":1,"sections":{},"x":1})", "unknown key 'x'"},
      {R"({"schema_version":1,"sections":{"speed":{}}})", "unknown section"},
      {R"({"schema_version":1,"sections":{"bits":{"entries":{}}}})",
       "no key 'environment'"},
      {R"({"schema_version":1,"sections":{"bits":{"entries":{},)"
       R"("environment":{"libc":2}}}})",
       "environment.libc"},
      {with(R"({"x":{"n":NaN}})"), "f"},
      {with(R"({"x":{"n":1e999}})"), "f"},
      {with(R"({"x":{"n":1.5}})"), "entries.x.n: expected an integer"},
      {with(R"({"x":{"n":18446744073709551615}})"), "entries.x.n"},
      {with(R"({"x":{"n":null}})"), "entries.x.n"},
      {with(R"({"x":{"n":[1]}})"), "entries.x.n"},
      {with(R"({"x":{"n":1,"n":2}})"), "n"},
      {with(R"({"x":{}})"), "at least one quantity"},
      {with(R"({"x":5})"), "entries.x"},
      {with("[]"), "entries"},
  };
  for (const auto& [text, message] : bad) {
    const auto read = ParseRecord(text, "f");
    EXPECT_FALSE(read.ok()) << text;
    EXPECT_TRUE(absl::StrContains(read.status().message(), message))
        << text << "\n  " << read.status();
  }
}

}  // namespace
}  // namespace lt2::tools

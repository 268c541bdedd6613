#include "kernels/core/json/json_reader.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace lt2 {
namespace {

using nlohmann::json;

std::string Message(const absl::Status& status) {
  EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status));
  return std::string(status.message());
}

TEST(JsonReader, ReadsEveryKind) {
  const json config = json::parse(R"({
      "i": -3, "f": 2, "b": true, "s": "text", "e": "gdn",
      "is": [1, 2], "fs": [0.5, 1], "ss": ["a"], "any": [1, "a"],
      "o": {"x": 1}, "os": [{"x": 2}, {"x": 3}]})");
  JsonReader reader(config);
  EXPECT_EQ(reader.Int("i", 0, -5, 5), -3);
  EXPECT_EQ(reader.Float("f", 0), 2.0);
  EXPECT_TRUE(reader.Bool("b", false));
  EXPECT_EQ(reader.String("s", ""), "text");
  enum class Mixer { kAttention, kGdn };
  EXPECT_EQ(reader.Enum<Mixer>(
                "e", Mixer::kAttention,
                {{"gdn", Mixer::kGdn}, {"attention", Mixer::kAttention}}),
            Mixer::kGdn);
  EXPECT_EQ(reader.Ints("is"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(reader.Floats("fs"), (std::vector<double>{0.5, 1}));
  EXPECT_EQ(reader.Strings("ss"), (std::vector<std::string>{"a"}));
  EXPECT_EQ(reader.Array("any").size(), 2);
  EXPECT_EQ(reader.Object("o").Int("x", 0), 1);
  EXPECT_EQ(reader.Objects("os")[1].Int("x", 0), 3);
  // The first of "os" has been asked for nothing.
  EXPECT_EQ(Message(reader.Finish()),
            "os.0.x: unknown key; no keys are known here");
  reader.Objects("os")[0].Int("x", 0);
  EXPECT_EQ(Message(reader.Finish()), "");
}

TEST(JsonReader, AbsentKeysTakeTheirDefaults) {
  const json config = json::object();
  JsonReader reader(config, "model");
  EXPECT_EQ(reader.Int("i", 7, 10, 20), 7);  // defaults are not checked
  EXPECT_EQ(reader.Float("f", 0.5), 0.5);
  EXPECT_TRUE(reader.Bool("b", true));
  EXPECT_EQ(reader.String("s", "d"), "d");
  EXPECT_EQ(reader.Enum("e", "a", {"a", "b"}), "a");
  EXPECT_TRUE(reader.Ints("is").empty());
  EXPECT_EQ(reader.Object("o").Object("p").Int("x", 3), 3);
  EXPECT_FALSE(reader.Has("i"));
  EXPECT_EQ(Message(reader.Finish()), "");
  reader.Require({"i", "s"});
  EXPECT_EQ(Message(reader.Finish()), "model.i: required, but missing");
}

TEST(JsonReader, ErrorsHavePathValueAndExpectation) {
  const auto error = [](const char* text, auto read) {
    const json config = json::parse(text);
    JsonReader reader(config);
    JsonReader model = reader.Object("m");
    read(model);
    return Message(reader.Finish());
  };
  const auto heads = [](JsonReader& r) { r.Int("heads", 1, 1, 1024); };
  EXPECT_EQ(error(R"({"m":{"heads":-3}})", heads),
            "m.heads: expected an integer in [1, 1024], got -3");
  EXPECT_EQ(error(R"({"m":{"heads":4.0}})", heads),
            "m.heads: expected an integer in [1, 1024], got 4.0");
  EXPECT_EQ(error(R"({"m":{"heads":18446744073709551615}})", heads),
            "m.heads: expected an integer in [1, 1024], got "
            "18446744073709551615");
  EXPECT_EQ(error(R"({"m":{"heads":null}})", heads),
            "m.heads: expected an integer in [1, 1024], got null");
  EXPECT_EQ(error(R"({"m":{"heads":"4"}})", heads),
            "m.heads: expected an integer in [1, 1024], got '4'");
  EXPECT_EQ(error(R"({"m":{"n":18446744073709551615}})",
                  [](JsonReader& r) { r.Int("n", 0); }),
            "m.n: expected an integer >= 0, got 18446744073709551615");
  EXPECT_EQ(error(R"({"m":{"lr":2}})",
                  [](JsonReader& r) { r.Float("lr", 0, 0, 1.5); }),
            "m.lr: expected a number in [0.0, 1.5], got 2");
  EXPECT_EQ(
      error(R"({"m":{"b":1}})", [](JsonReader& r) { r.Bool("b", false); }),
      "m.b: expected true or false, got 1");
  EXPECT_EQ(
      error(R"({"m":{"s":[]}})", [](JsonReader& r) { r.String("s", ""); }),
      "m.s: expected a string, got an array");
  EXPECT_EQ(error(R"({"m":{"e":"c"}})",
                  [](JsonReader& r) {
                    r.Enum("e", "a", {"a", "b"});
                  }),
            "m.e: expected one of 'a', 'b', got 'c'");
  EXPECT_EQ(error(R"({"m":{"a":[1,-1]}})", [](JsonReader& r) { r.Ints("a"); }),
            "m.a.1: expected an integer >= 0, got -1");
  EXPECT_EQ(
      error(R"({"m":{"a":[{},3]}})", [](JsonReader& r) { r.Objects("a"); }),
      "m.a.1: expected an object, got 3");
  EXPECT_EQ(error(R"({"m":[]})", heads), "m: expected an object, got an array");
}

TEST(JsonReader, NonFiniteNumbersOfAProgramAreErrorsToo) {
  const json config = {{"x", std::numeric_limits<double>::quiet_NaN()}};
  JsonReader reader(config);
  reader.Float("x", 0);
  EXPECT_EQ(Message(reader.Finish()), "x: expected a number, got NaN");
}

TEST(JsonReader, TheFirstErrorIsKept) {
  const json config = json::parse(R"({"a":-1,"b":-1,"c":1})");
  JsonReader reader(config);
  reader.Int("b", 0);
  reader.Int("a", 0);
  reader.Fail("c", "too late");
  EXPECT_TRUE(absl::StartsWith(Message(reader.Finish()), "b: "));
  EXPECT_TRUE(absl::StartsWith(Message(reader.status()), "b: "));
}

TEST(JsonReader, UnknownKeysAreNamedWithTheirNeighbours) {
  const json config = json::parse(R"({"model":{"loop_cuont":4}})");
  JsonReader reader(config);
  JsonReader model = reader.Object("model");
  model.Int("loop_count", 1);
  model.Int("heads", 1);
  const std::string expected =
      "model.loop_cuont: unknown key; did you mean 'loop_count'?";
  EXPECT_EQ(Message(reader.Finish()), expected);
  EXPECT_EQ(Message(model.Finish()), expected);
  const json other = json::parse(R"({"zebra":4})");
  JsonReader far(other);
  far.Int("loop_count", 1);
  far.Int("heads", 1);
  EXPECT_EQ(Message(far.Finish()),
            "zebra: unknown key; known keys: heads, loop_count");
  const json huge = {{std::string(1 << 20, 'x'), 1}};
  JsonReader hostile(huge);
  hostile.Int("x", 0);
  EXPECT_LT(Message(hostile.Finish()).size(), 300);
}

TEST(JsonReader, NotAnObjectIsAnError) {
  const json config = 3;
  JsonReader reader(config);
  EXPECT_EQ(reader.Int("x", 2), 2);
  EXPECT_EQ(Message(reader.Finish()),
            "configuration: expected an object, got 3");
}

TEST(ApplyOverride, SetsValuesOfEveryKind) {
  json config = json::parse(R"({"model":{"loop_count":1,"layers":[{"k":1}]}})");
  for (const char* assignment :
       {"model.loop_count=4", "model.mixer=gdn", "model.name=\"4\"",
        "model.layers.0.k=2.5", "model.list=[1,2]", "seed=a=b",
        "empty=", "model.flag=true"}) {
    ASSERT_TRUE(ApplyOverride(assignment, &config).ok()) << assignment;
  }
  EXPECT_EQ(config, json::parse(R"({"model":{"loop_count":4,"mixer":"gdn",
      "name":"4","layers":[{"k":2.5}],"list":[1,2],"flag":true},
      "seed":"a=b","empty":""})"));
}

TEST(ApplyOverride, ErrorsNameThePathAndChangeNothing) {
  const json before = json::parse(R"({"model":{"n":1,"layers":[1,2]}})");
  json config = before;
  const auto error = [&](absl::string_view assignment) {
    const std::string message = Message(ApplyOverride(assignment, &config));
    EXPECT_EQ(config, before) << assignment;
    return message;
  };
  EXPECT_EQ(error("model.n"), "--set 'model.n': expected path.to.key=value");
  EXPECT_NE(error("=3"), "");
  EXPECT_NE(error("model..n=3"), "");
  EXPECT_NE(error(".=3"), "");
  EXPECT_EQ(error("mdel.n.k=3"), "--set mdel.n.k: there is no mdel");
  EXPECT_EQ(error("model.n.k=3"),
            "--set model.n.k: model.n is 1, not an object");
  EXPECT_EQ(error("model.layers.2=3"),
            "--set model.layers.2: model.layers is an array of 2 elements, "
            "'2' is none of them");
  EXPECT_NE(error("model.layers.-1=3"), "");
  EXPECT_NE(error("model.new={\"a\":1,\"a\":2}"), "");
  EXPECT_NE(error("model.new=[1"), "");
  EXPECT_NE(error("model.new=\xff"), "");
}

}  // namespace
}  // namespace lt2

#include "model/io/safetensors.h"

#include <unistd.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/io/atomic_file.h"

namespace lt2::model {
namespace {

using lt2::testing::CpuContext;

std::string FileOf(absl::string_view header, absl::string_view data = "") {
  const uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return absl::StrCat(bytes, header, data);
}

std::string Entry(absl::string_view dtype, absl::string_view shape,
                  absl::string_view offsets) {
  return absl::StrCat("{\"dtype\":\"", dtype, "\",\"shape\":[", shape,
                      "],\"data_offsets\":[", offsets, "]}");
}

std::string Path(absl::string_view name) {
  return absl::StrCat(::testing::TempDir(), "/", getpid(), ".", name);
}

absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string ErrorOf(absl::string_view bytes) {
  const auto file = SafetensorsFile::Parse(bytes, "w.safetensors");
  if (file.ok()) return "";
  EXPECT_TRUE(absl::StartsWith(file.status().message(), "w.safetensors: "));
  EXPECT_LT(file.status().message().size(), 500);
  return file.status().ToString();
}

TEST(Safetensors, ReadsBackWhatWasWritten) {
  auto ctx = CpuContext();
  const std::vector<float> floats = {1, -2.5f, 3e-40f, INFINITY, 0, 7};
  const std::vector<int32_t> ints = {-1, 2};
  const std::vector<BFloat16> halves = {ToBFloat16(1.5f)};
  std::vector<SafetensorsEntry> entries(4);
  entries[0].name = "b.\xC3\xA9\"\n";
  entries[0].tensor = *ctx->FromHost<float>(floats, {2, 3});
  entries[1].name = "a";
  entries[1].tensor = *ctx->FromHost<int32_t>(ints, {2});
  entries[2].name = "scalar";
  entries[2].tensor = *ctx->FromHost<BFloat16>(halves, {});
  entries[3].name = "raw";
  entries[3].dtype = SafetensorsDType::kI8;
  entries[3].shape = {1, 1, 1, 1, 1, 3, 1};
  entries[3].bytes = Bytes("xyz");
  const std::map<std::string, std::string> metadata = {{"format", "lt2"},
                                                       {"k\"", "v\n"}};
  const std::string path = Path("round.safetensors");
  ASSERT_TRUE(WriteSafetensors(*ctx, path, entries, metadata).ok());
  const std::string bytes = *ReadFile(path);
  ASSERT_TRUE(WriteSafetensors(*ctx, path, entries, metadata).ok());
  EXPECT_EQ(*ReadFile(path), bytes) << "the same input, other bytes";

  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->metadata(), metadata);
  ASSERT_EQ(file->tensors().size(), 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(file->tensors()[i].name, entries[i].name);
  }
  EXPECT_EQ((bytes.size() - (24 + 8 + 2 + 3)) % 8, 0) << "alignment of data";
  EXPECT_EQ(
      *ctx->ToHost<float>(*file->Load(*ctx, entries[0].name, DType::kF32)),
      floats);
  EXPECT_EQ(*ctx->ToHost<int32_t>(*file->Load(*ctx, "a", DType::kI32)), ints);
  const Tensor scalar = *file->Load(*ctx, "scalar", DType::kF32);
  EXPECT_EQ(scalar.shape(), Shape());
  EXPECT_EQ(*ctx->ToHost<float>(scalar), (std::vector<float>{1.5f}));
  EXPECT_EQ(std::string(file->Data("raw")->begin(), file->Data("raw")->end()),
            "xyz");
}

TEST(Safetensors, WrittenBytesAreTheFormat) {
  auto ctx = CpuContext();
  std::vector<SafetensorsEntry> entries(1);
  entries[0].name = "x";
  entries[0].tensor =
      *ctx->FromHost<uint8_t>(std::vector<uint8_t>{65, 66}, {2});
  const std::string path = Path("golden.safetensors");
  ASSERT_TRUE(WriteSafetensors(*ctx, path, entries, {{"a", "b"}}).ok());
  EXPECT_EQ(*ReadFile(path), FileOf("{\"__metadata__\":{\"a\":\"b\"},\"x\":" +
                                        Entry("U8", "2", "0,2") + "}  ",
                                    "AB"));
}

TEST(Safetensors, AnEmptyFileOfTensorsIsFine) {
  auto ctx = CpuContext();
  const std::string path = Path("empty.safetensors");
  ASSERT_TRUE(WriteSafetensors(*ctx, path, {}).ok());
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->tensors().empty());
  EXPECT_TRUE(absl::IsNotFound(file->Data("x").status()));
}

TEST(Safetensors, TensorsOutliveTheObjectTheyWereFoundBy) {
  absl::Span<const uint8_t> data;
  SafetensorsFile copy = [&] {
    auto file = SafetensorsFile::Parse(
        FileOf("{\"x\":" + Entry("U8", "1", "0,1") + "}", "A"));
    data = *file->Data("x");
    return *file;
  }();
  EXPECT_EQ(data[0], 'A');
  EXPECT_EQ(copy.tensors()[0].name, "x");
}

TEST(Safetensors, TheHeaderMayListTensorsInAnyOrder) {
  const auto file = SafetensorsFile::Parse(
      FileOf("{\"b\":" + Entry("U8", "2", "1,3") +
                 ",\"a\":" + Entry("U8", "1", "0,1") +
                 ",\"empty\":" + Entry("F32", "0,3", "1,1") + "}  ",
             "abc"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors()[0].name, "a");
  EXPECT_EQ(file->tensors()[1].name, "empty");
  EXPECT_EQ(file->tensors()[2].name, "b");
  EXPECT_EQ((*file->Data("b"))[0], 'b');
}

TEST(Safetensors, ConvertsEveryHalfAndRoundsToBFloat16) {
  std::string halves;
  for (int i = 0; i < 65536; ++i) {
    halves += static_cast<char>(i & 255);
    halves += static_cast<char>(i >> 8);
  }
  const auto file = SafetensorsFile::Parse(
      FileOf("{\"h\":" + Entry("F16", "65536", "0,131072") + "}", halves));
  ASSERT_TRUE(file.ok()) << file.status();
  auto ctx = CpuContext();
  const std::vector<float> floats =
      *ctx->ToHost<float>(*file->Load(*ctx, "h", DType::kF32));
  const std::vector<BFloat16> rounded =
      *ctx->ToHost<BFloat16>(*file->Load(*ctx, "h", DType::kBF16));
  for (int i = 0; i < 65536; ++i) {
    // By the definition: (-1)^s 2^(e-15) (1 + f/1024).
    const int e = (i >> 10) & 31, f = i & 1023;
    double value = e == 0 ? std::ldexp(f, -24) : std::ldexp(1024 + f, e - 25);
    if (e == 31) value = f == 0 ? INFINITY : NAN;
    if (i & 0x8000) value = -value;
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(floats[i])) << i;
    } else {
      EXPECT_EQ(floats[i], value) << i;
      EXPECT_EQ(std::signbit(floats[i]), std::signbit(value)) << i;
    }
    EXPECT_EQ(rounded[i].bits, ToBFloat16(floats[i]).bits) << i;
  }
}

TEST(Safetensors, LoadsAtAnyAddressAndRefusesWhatATensorCannotHold) {
  const std::string header = "{\"u\":" + Entry("U8", "1", "0,1") +
                             ",\"f\":" + Entry("F32", "1", "1,5") +
                             ",\"d\":" + Entry("F64", "1", "5,13") +
                             ",\"r\":" + Entry("U8", "1,1,1,1,1,1", "13,14") +
                             "}";
  std::string data(14, 'u');
  const float one = 1.0f;
  std::memcpy(&data[1], &one, 4);
  const auto file = SafetensorsFile::Parse(FileOf(header, data), "w");
  ASSERT_TRUE(file.ok()) << file.status();
  auto ctx = CpuContext();
  EXPECT_EQ(*ctx->ToHost<float>(*file->Load(*ctx, "f", DType::kF32)),
            std::vector<float>{1});
  EXPECT_EQ(file->Load(*ctx, "d", DType::kF32).status().message(),
            "w: tensor 'd' F64[1] cannot be loaded as f32");
  EXPECT_EQ(file->Load(*ctx, "f", DType::kI32).status().message(),
            "w: tensor 'f' F32[1] cannot be loaded as i32");
  EXPECT_EQ(file->Load(*ctx, "r", DType::kU8).status().message(),
            "w: tensor 'r' U8[1, 1, 1, 1, 1, 1] has rank 6, at most 5 can be "
            "loaded");
  EXPECT_TRUE(absl::IsNotFound(file->Load(*ctx, "x", DType::kU8).status()));
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const std::string bytes =
      FileOf("{\"a\":" + Entry("F32", "2", "0,8") + "}", "12345678");
  ASSERT_EQ(ErrorOf(bytes), "");
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string error = ErrorOf(bytes.substr(0, size));
    EXPECT_TRUE(absl::StartsWith(error, "DATA_LOSS")) << size << error;
  }
  EXPECT_TRUE(absl::StrContains(
      ErrorOf(bytes + "9"), "1 bytes after the last tensor, which ends at 8"));
}

TEST(Safetensors, MalformedHeadersAreErrorsThatSayWhat) {
  const auto one = [](absl::string_view entry) {
    return ErrorOf(FileOf(absl::StrCat("{\"a\":", entry, "}"), "x"));
  };
  const auto has = [](const std::string& error, absl::string_view what) {
    return absl::StrContains(error, what)
               ? ::testing::AssertionSuccess()
               : ::testing::AssertionFailure() << error << "\nlacks " << what;
  };
  EXPECT_EQ(one(Entry("U8", "1", "0,1")), "");
  EXPECT_TRUE(has(one(Entry("U9", "1", "0,1")),
                  "header: tensor 'a': unknown dtype 'U9'"));
  EXPECT_TRUE(has(one(Entry("U8", "-1", "0,1")),
                  "shape: expected an integer in [0, 2^63 - 1], got -1"));
  EXPECT_TRUE(has(one(Entry("U8", "1.0", "0,1")), "got '1.0'"));
  EXPECT_TRUE(has(one(Entry("U8", "1", "0,1e0")), "data_offsets: expected"));
  EXPECT_TRUE(has(one(Entry("U8", "9223372036854775808", "0,1")), "got 92233"));
  EXPECT_TRUE(has(one(Entry("U8", "99999999999999999999", "0,1")), "got '99"));
  EXPECT_TRUE(has(one(Entry("U8", "1e999", "0,1")), "1e999"));
  EXPECT_TRUE(has(one(Entry("U8", "4294967296,4294967296", "0,1")),
                  "does not fit 63 bits"));
  EXPECT_TRUE(has(one(Entry("F32", "4611686018427387904,0", "0,0")),
                  "does not fit 63 bits"));
  EXPECT_TRUE(has(one(Entry("U8", "2", "0,1")),
                  "data_offsets [0, 1), but 'a' U8[2] has 2 bytes"));
  EXPECT_TRUE(has(one(Entry("U8", "1", "1,0")), "data_offsets [1, 0)"));
  EXPECT_TRUE(has(one(Entry("U8", "1", "1,2")), "past the end of"));
  EXPECT_TRUE(has(one(Entry("U8", "1", "0")), "fewer than two data_offsets"));
  EXPECT_TRUE(
      has(one(Entry("U8", "1", "0,1,2")), "more than two data_offsets"));
  EXPECT_TRUE(has(one(Entry("U8", "[1]", "0,1")), "got an array"));
  EXPECT_TRUE(has(one("{\"dtype\":\"U8\",\"shape\":[1]}"), "no data_offsets"));
  EXPECT_TRUE(has(one("{\"dtype\":1}"), "dtype: expected a string, got 1"));
  EXPECT_TRUE(has(one("{\"shape\":\"x\"}"), "an array of integers, got 'x'"));
  EXPECT_TRUE(has(one("{\"x\":1}"), "tensor 'a': unknown key 'x'"));
  EXPECT_TRUE(has(one("{\"shape\":[],\"shape\":[]}"), "duplicate key 'shape'"));
  EXPECT_TRUE(has(one("3"), "'a': expected an object, got 3"));
  EXPECT_TRUE(
      has(one(Entry("U8", "1", "0,1") + ",\"a\":" + Entry("U8", "1", "0,1")),
          "duplicate name 'a'"));
  EXPECT_TRUE(
      has(one(Entry("U8", "1", "0,1") + ",\"b\":" + Entry("U8", "1", "0,1")),
          "'b' U8[1] starts at byte 0 of the data, inside"));
  EXPECT_TRUE(has(ErrorOf(FileOf("{\"__metadata__\":{\"a\":1}}")),
                  "__metadata__.'a': expected a string, got 1"));
  EXPECT_TRUE(has(ErrorOf(FileOf("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}")),
                  "duplicate metadata key 'a'"));
  EXPECT_TRUE(has(ErrorOf(FileOf("[]")), "does not start with '{'"));
  EXPECT_TRUE(has(ErrorOf(FileOf("")), "does not start with '{'"));
  EXPECT_TRUE(has(ErrorOf(FileOf(absl::string_view("{}\0", 3))), "NUL byte"));
  EXPECT_NE(ErrorOf(FileOf("{\"\xff\":{}}")), "");
  EXPECT_NE(ErrorOf(FileOf("{} x")), "");
}

TEST(Safetensors, HostileSizesAndNestingAreErrors) {
  std::string huge(8, '\xff');
  EXPECT_TRUE(absl::StrContains(ErrorOf(huge), "18446744073709551615 bytes"));
  std::string deep = "{\"a\":";
  deep += std::string(1000000, '[');
  EXPECT_NE(ErrorOf(FileOf(deep)), "");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_NE(ErrorOf(FileOf(objects)), "");
  std::string rank = "1";
  for (int i = 0; i < 100000; ++i) rank += ",1";
  EXPECT_TRUE(absl::StrContains(
      ErrorOf(FileOf("{\"a\":" + Entry("U8", rank, "0,1") + "}", "x")),
      "rank above 32"));
  EXPECT_NE(ErrorOf(FileOf("{\"" + std::string(1000000, 'n') + "\":1}")), "");
}

TEST(Safetensors, FilesThatAreNoneAreErrors) {
  EXPECT_TRUE(absl::IsNotFound(SafetensorsFile::Open("/nope").status()));
  EXPECT_FALSE(SafetensorsFile::Open(::testing::TempDir()).ok());
  EXPECT_FALSE(SafetensorsFile::Open("/dev/zero").ok());
  const std::string path = Path("zero.safetensors");
  ASSERT_TRUE(WriteFileAtomically(path, "").ok());
  EXPECT_TRUE(absl::IsDataLoss(SafetensorsFile::Open(path).status()));
}

TEST(Safetensors, TheWriterRefusesWhatCouldNotBeRead) {
  auto ctx = CpuContext();
  const std::string path = Path("refused.safetensors");
  const auto error =
      [&](const std::vector<SafetensorsEntry>& entries,
          const std::map<std::string, std::string>& metadata = {}) {
        const absl::Status status =
            WriteSafetensors(*ctx, path, entries, metadata);
        EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
        EXPECT_FALSE(ReadFile(path).ok());
      };
  SafetensorsEntry good;
  good.name = "a";
  good.dtype = SafetensorsDType::kU8;
  good.shape = {1};
  good.bytes = Bytes("x");
  error({good, good});
  SafetensorsEntry bad = good;
  bad.name = "__metadata__";
  error({bad});
  bad.name = "\xff";
  error({bad});
  bad = good;
  bad.shape = {2};
  error({bad});
  bad.shape = {-1};
  error({bad});
  bad.shape = {int64_t{1} << 62, 4};
  error({bad});
  error({good}, {{"k", "\xff"}});
  EXPECT_TRUE(WriteSafetensors(*ctx, path, {good}).ok());
}

}  // namespace
}  // namespace lt2::model

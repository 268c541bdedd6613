#include "kernels/core/golden.h"

#include <cstring>
#include <fstream>

#include "gtest/gtest.h"

namespace lt2 {
namespace {

std::string Write(const std::string& name, const std::string& header,
                  const std::string& bytes) {
  const std::string path = ::testing::TempDir() + "/" + name;
  std::ofstream out(path, std::ios::binary);
  const uint64_t length = header.size();
  char prefix[sizeof(length)];
  std::memcpy(prefix, &length, sizeof(length));
  out.write(prefix, sizeof(prefix));
  out << header << bytes;
  return path;
}

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

TEST(ReadGolden, ReadsTensorsAndMetadata) {
  const std::string path =
      Write("good.safetensors",
            R"({"__metadata__":{"op":"test","scale":"0.25"},)"
            R"("x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
            R"("i_idx":{"dtype":"I64","shape":[2],"data_offsets":[16,32]},)"
            R"("b":{"dtype":"BF16","shape":[1],"data_offsets":[32,34]},)"
            R"("none":{"dtype":"F32","shape":[0,3],"data_offsets":[34,34]}})",
            Bytes<float>({1, -2, 0.5f, 4}) + Bytes<int64_t>({-1, 7}) +
                Bytes<uint16_t>({0x3fc0}));
  const auto golden = ReadGolden(path);
  ASSERT_TRUE(golden.ok()) << golden.status();
  EXPECT_EQ(golden->size(), 4u);
  EXPECT_EQ(golden->at("x").shape, (Shape{2, 2}));
  EXPECT_EQ(golden->at("x").values, (std::vector<double>{1, -2, 0.5, 4}));
  EXPECT_EQ(golden->at("i_idx").values, (std::vector<double>{-1, 7}));
  EXPECT_EQ(golden->at("b").values, (std::vector<double>{1.5}));
  EXPECT_TRUE(golden->at("none").values.empty());
  const auto metadata = ReadGoldenMetadata(path);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  EXPECT_EQ(metadata->at("scale"), "0.25");
  const auto files = GoldenFiles(::testing::TempDir(), "good");
  ASSERT_FALSE(files.empty());
}

TEST(ReadGolden, DamagedFilesAreErrors) {
  EXPECT_EQ(ReadGolden("/no/such/file").status().code(),
            absl::StatusCode::kNotFound);
  const std::string bad[] = {
      R"(not json)",
      R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,16]}})",
      R"({"x":{"dtype":"F32","shape":[4],"data_offsets":[4,20]}})",
      R"({"x":{"dtype":"F12","shape":[4],"data_offsets":[0,16]}})",
      R"({"x":{"dtype":"F32","shape":[4]}})",
      R"({"x":7})"};
  for (const std::string& header : bad) {
    const std::string path =
        Write("bad.safetensors", header, std::string(16, '\0'));
    EXPECT_EQ(ReadGolden(path).status().code(), absl::StatusCode::kDataLoss)
        << header;
  }
}

}  // namespace
}  // namespace lt2

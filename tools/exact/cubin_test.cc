#include "tools/exact/cubin.h"

#include <fstream>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace lt2::tools {
namespace {

std::string manifest_path;

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

template <typename T>
void Put(std::string* bytes, T value) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(value));
}
template <typename T>
void PutAt(std::string* bytes, size_t at, T value) {
  bytes->replace(at, sizeof(value), reinterpret_cast<const char*>(&value),
                 sizeof(value));
}

struct Part {
  std::string name;
  std::string bytes;
  uint64_t no_bits = 0;  // size of a section that has no bytes in the file
};

// An ELF file of these sections.
std::string Elf(std::vector<Part> parts) {
  parts.insert(parts.begin(), {"", ""});
  std::string names;
  std::vector<uint32_t> name_at;
  parts.push_back({".shstrtab", ""});
  for (const Part& p : parts) {
    name_at.push_back(static_cast<uint32_t>(names.size()));
    names += p.name + '\0';
  }
  parts.back().bytes = names;
  std::string elf(64, '\0');
  elf.replace(0, 6,
              std::string("\x7f"
                          "ELF\x02\x01",
                          6));
  std::vector<uint64_t> at;
  for (const Part& p : parts) {
    at.push_back(elf.size());
    elf += p.bytes;
  }
  PutAt<uint64_t>(&elf, 0x28, elf.size());
  PutAt<uint16_t>(&elf, 0x3a, 64);
  PutAt<uint16_t>(&elf, 0x3c, static_cast<uint16_t>(parts.size()));
  PutAt<uint16_t>(&elf, 0x3e, static_cast<uint16_t>(parts.size() - 1));
  for (size_t i = 0; i < parts.size(); ++i) {
    std::string header;
    Put<uint32_t>(&header, name_at[i]);
    Put<uint32_t>(&header, i == 0 ? 0 : parts[i].no_bits > 0 ? 8 : 1);
    Put<uint64_t>(&header, 0);
    Put<uint64_t>(&header, 0);
    Put<uint64_t>(&header, at[i]);
    Put<uint64_t>(&header, parts[i].no_bits > 0 ? parts[i].no_bits
                                                : parts[i].bytes.size());
    header.resize(64);
    elf += header;
  }
  return elf;
}

std::string Instruction(uint64_t opcode, uint64_t size_code) {
  std::string bytes;
  Put<uint64_t>(&bytes, opcode | 0xabc0000000001000);
  Put<uint64_t>(&bytes, (size_code << 9) | 0x100000);
  return bytes;
}

// nvcc's object with one kernel, symbol 1, made by hand.
std::string Object(bool compressed = false) {
  std::string info;
  const std::pair<uint8_t, uint32_t> attributes[] = {
      {0x2f, 40}, {0x11, 16}, {0x12, 24}};
  for (const auto& [name, value] : attributes) {
    info += {'\x04', static_cast<char>(name), '\x08', '\0'};
    Put<uint32_t>(&info, 1);
    Put<uint32_t>(&info, value);
  }
  info += std::string("\x03\x1b\xff\x00", 4);  // an attribute without a size
  std::string symbols(48, '\0');
  PutAt<uint32_t>(&symbols, 24, 1);
  const std::string code = Instruction(0x387, 4) + Instruction(0x387, 6) +
                           Instruction(0x983, 5) + Instruction(0x986, 6) +
                           Instruction(0x388, 6);
  const std::string elf = Elf(
      {{".strtab", std::string("\0_Z1Kv\0", 7)},
       {".symtab", symbols},
       {".note.nv.tkinfo",
        std::string("ptxas\0Cuda, release 13.0, V13.0.88\0x -arch sm_90a -m "
                    "64\0",
                    56)},
       {".nv.info", info},
       {".text._Z1Kv", code},
       {".nv.shared._Z1Kv", "", 1152}});
  std::string entries;
  for (uint16_t kind : {2, 1}) {
    const std::string payload = kind == 1    ? "ptx"
                                : compressed ? "\x28\xb5\x2f\xfd"
                                             : elf;
    Put<uint16_t>(&entries, kind);
    Put<uint16_t>(&entries, 0x101);
    Put<uint32_t>(&entries, 64);
    Put<uint64_t>(&entries, payload.size());
    entries += std::string(48, '\0') + payload;
  }
  std::string fat;
  Put<uint32_t>(&fat, 0xBA55ED50);
  Put<uint16_t>(&fat, 1);
  Put<uint16_t>(&fat, 16);
  Put<uint64_t>(&fat, entries.size());
  return Elf({{".text", "x86"}, {".nv_fatbin", fat + entries}});
}

TEST(ReadObject, FindsEveryNumber) {
  const auto cubins = ReadObject(Object(), "test.o");
  ASSERT_TRUE(cubins.ok()) << cubins.status();
  ASSERT_EQ(cubins->size(), 1u);
  const Cubin& cubin = (*cubins)[0];
  EXPECT_EQ(cubin.toolkit, "13.0.88");
  EXPECT_EQ(cubin.arch, "sm_90a");
  ASSERT_EQ(cubin.kernels.size(), 1u);
  const KernelResources& kernel = cubin.kernels[0];
  EXPECT_EQ(kernel.symbol, "_Z1Kv");
  EXPECT_EQ(kernel.registers, 40);
  EXPECT_EQ(kernel.stack_bytes, 24);  // not the frame alone
  EXPECT_EQ(kernel.shared_bytes, 1152);
  EXPECT_EQ(kernel.local_store_bytes, 4 + 16);
  EXPECT_EQ(kernel.local_load_bytes, 8);
}

TEST(ReadObject, WithoutGpuCodeIsEmpty) {
  const auto cubins = ReadObject(Elf({{".text", "x86"}}), "test.o");
  ASSERT_TRUE(cubins.ok()) << cubins.status();
  EXPECT_TRUE(cubins->empty());
}

TEST(ReadObject, CompressedCodeSaysWhatToDo) {
  const auto cubins = ReadObject(Object(/*compressed=*/true), "test.o");
  EXPECT_TRUE(absl::IsUnimplemented(cubins.status())) << cubins.status();
  EXPECT_TRUE(absl::StrContains(cubins.status().message(), "--compress-mode"));
}

TEST(ReadObject, DamageIsAnErrorAndNeverACrash) {
  EXPECT_FALSE(ReadObject("", "test.o").ok());
  EXPECT_FALSE(ReadObject("not an object", "test.o").ok());
  const std::string object = Object();
  for (size_t n = 0; n < object.size(); ++n) {
    // The last headers that fit decide: a cut file has lost its section table.
    EXPECT_FALSE(ReadObject(object.substr(0, n), "test.o").ok()) << n;
  }
  // Any byte may be anything; what comes back does not matter.
  for (size_t at = 0; at < object.size(); ++at) {
    for (int value : {0, 1, 0x7f, 0x80, 0xff}) {
      std::string damaged = object;
      damaged[at] = static_cast<char>(value);
      (void)ReadObject(damaged, "test.o");
    }
  }
}

// The names of nvcc 13.0, one file compiled twice: hashes of the file's path
// and contents are part of the mangled name.
TEST(KernelName, IsTheSameAfterEveryCompilation) {
  const char* once =
      "_ZN3lt27kernels45_GLOBAL__N__5aeb61d1_12_norm_cuda_cu_"
      "d411539317NormForwardKernelIfLi256ELi1EEEvNS1_13ForwardParamsIT_EE";
  const char* again =
      "_ZN3lt27kernels45_GLOBAL__N__00000000_12_norm_cuda_cu_"
      "1111111117NormForwardKernelIfLi256ELi1EEEvNS1_13ForwardParamsIT_EE";
  EXPECT_EQ(KernelName(once), "NormForwardKernel<float, 256, 1>");
  EXPECT_EQ(KernelName(again), KernelName(once));
  EXPECT_EQ(KernelSignature(again), KernelSignature(once));
  EXPECT_EQ(KernelSignature(once),
            "void NormForwardKernel<float, 256, 1>(ForwardParams<float>)");
}

TEST(KernelName, OfPlainAndForeignSymbols) {
  EXPECT_EQ(KernelName("_Z6KernelPfl"), "Kernel");
  EXPECT_EQ(KernelName("plain_c"), "plain_c");
  EXPECT_EQ(KernelName("_Z3MapI4PairIfS0_IiiEEEvT_"),
            "Map<Pair<float, Pair<int, int> > >");
}

// A kernel that has to spill is seen to, and its twin that need not is not.
TEST(ReadObject, ADeliberateSpillIsReported) {
  const std::string list = ReadAll(manifest_path);
  if (list.empty()) GTEST_SKIP() << "this build has no CUDA toolkit";
  const std::string path = list.substr(0, list.find('\n'));
  const auto cubins = ReadObject(ReadAll(path), path);
  ASSERT_TRUE(cubins.ok()) << cubins.status();
  ASSERT_EQ(cubins->size(), 1u);
  EXPECT_EQ((*cubins)[0].arch, "sm_90a");
  std::map<std::string, KernelResources> kernels;
  for (const KernelResources& kernel : (*cubins)[0].kernels) {
    kernels[KernelName(kernel.symbol)] = kernel;
  }
  ASSERT_EQ(kernels.size(), 2u);
  const KernelResources& roomy = kernels.at("fixture::RoomyKernel<float>");
  const KernelResources& spilling =
      kernels.at("fixture::SpillingKernel<float>");
  EXPECT_EQ(spilling.registers, 32);
  EXPECT_GT(spilling.stack_bytes, 0);
  EXPECT_GE(spilling.local_store_bytes, spilling.stack_bytes);
  EXPECT_GT(spilling.local_load_bytes, 0);
  EXPECT_GT(roomy.registers, 64);
  EXPECT_EQ(roomy.stack_bytes, 0);
  EXPECT_EQ(roomy.local_store_bytes, 0);
  EXPECT_EQ(roomy.local_load_bytes, 0);
  EXPECT_GE(roomy.shared_bytes, 384);
  if ((*cubins)[0].toolkit == "13.0.88") {
    // What `ptxas -v` of this release printed.
    EXPECT_EQ(spilling.stack_bytes, 272);
    EXPECT_EQ(spilling.local_store_bytes, 520);
    EXPECT_EQ(spilling.local_load_bytes, 548);
    EXPECT_EQ(roomy.registers, 72);
  }
}

}  // namespace
}  // namespace lt2::tools

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (argc == 2) lt2::tools::manifest_path = argv[1];
  return RUN_ALL_TESTS();
}

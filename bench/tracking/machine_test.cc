#include "bench/tracking/machine.h"

#include "gtest/gtest.h"

namespace lt2::bench {
namespace {

TEST(Machine, CpuOfX86) {
  const MachineClass facts = CpuFacts(
      "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 143\n"
      "model name\t: Some CPU: 2\nstepping\t: 8\n\nprocessor\t: 1\n"
      "model name\t: Some CPU: 2\n",
      "performance\n");
  const MachineClass expected = {{"cpu", "Some CPU: 2"},
                                 {"cpu_id", "6-143-8"},
                                 {"cores", "2"},
                                 {"governor", "performance"}};
  EXPECT_EQ(facts, expected);
}

TEST(Machine, CpuOfArmHasNoName) {
  const MachineClass facts = CpuFacts(
      "processor\t: 0\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\n"
      "CPU part\t: 0xd0c\nCPU revision\t: 1\n",
      "");
  const MachineClass expected = {{"cpu_id", "0x41-0xd0c-0x3-1"},
                                 {"cores", "1"}};
  EXPECT_EQ(facts, expected);
}

TEST(Machine, SystemWithoutPatchLevel) {
  const MachineClass facts = SystemFacts(
      "NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n", "6.1.0-28-amd64");
  const MachineClass expected = {{"os", "debian 12"}, {"kernel", "6.1"}};
  EXPECT_EQ(facts, expected);
  EXPECT_EQ(SystemFacts("ID=arch\n", "").at("os"), "arch");
}

TEST(Machine, GpusAreCounted) {
  const auto facts = GpuFacts(
      "NVIDIA H200, 570.86.15, 700.00\nNVIDIA H200, 570.86.15, 700.00");
  ASSERT_TRUE(facts.ok());
  const MachineClass expected = {{"gpu", "NVIDIA H200"},
                                 {"gpus", "2"},
                                 {"driver", "570.86.15"},
                                 {"power", "700.00"}};
  EXPECT_EQ(*facts, expected);
  EXPECT_TRUE(GpuFacts("")->empty());
  EXPECT_FALSE(GpuFacts("No devices were found").ok());
}

TEST(Machine, GarbageIsNoMachine) {
  EXPECT_TRUE(CpuFacts("", "").empty());
  EXPECT_TRUE(CpuFacts(std::string("\0:\n:::\xff", 7), "").empty());
  EXPECT_TRUE(SystemFacts("", "").empty());
}

TEST(Machine, ThisOneIsDetected) {
  const MachineClass machine = DetectMachine();
  EXPECT_EQ(machine, DetectMachine());
  EXPECT_GE(std::stoi(machine.at("cores")), 1) << MachineText(machine);
  EXPECT_FALSE(HostName().empty());
}

}  // namespace
}  // namespace lt2::bench

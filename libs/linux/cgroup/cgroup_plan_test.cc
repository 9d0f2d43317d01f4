// The parts of the drivers that need no kernel.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/linux/cgroup/cgroup_v2_driver.h"
#include "libs/linux/cgroup/device_filter.h"
#include "libs/linux/cgroup/limit_rules.h"

namespace darse::cgroup {
namespace {

using testing::ElementsAre;

TEST(HierarchiesTest, HybridHostsHaveBoth) {
  Hierarchies found = ParseMountInfo(
      "30 20 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup "
      "rw,cpu,cpuacct\n"
      "31 20 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
      "32 20 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
      "33 20 0:29 / /proc rw - proc proc rw\n");
  EXPECT_EQ(found.v1.at("cpu"), "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(found.v1.at("cpuacct"), "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(found.v1.at("name=systemd"), "/sys/fs/cgroup/systemd");
  EXPECT_EQ(found.v2, "/sys/fs/cgroup/unified");
}

TEST(NormalizePathTest, TakesSlashesOffAndRefusesDots) {
  EXPECT_EQ(*NormalizePath("/darse//ab12/"), "darse/ab12");
  EXPECT_FALSE(NormalizePath("/").ok());
  EXPECT_FALSE(NormalizePath("a/../b").ok());
}

TEST(PlanV2Test, ConvertsFromV1sScales) {
  absl::StatusOr<std::vector<V2Setting>> plan = PlanV2({.memory_bytes = 100,
                                                        .memory_and_swap_bytes = 300,
                                                        .cpu_shares = 1024,
                                                        .cpu_quota_us = 50'000,
                                                        .pids_max = -1});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(*plan,
              ElementsAre(V2Setting{"memory.swap.max", "200"}, V2Setting{"memory.max", "100"},
                          V2Setting{"cpu.weight", "39"}, V2Setting{"cpu.max", "50000 100000"},
                          V2Setting{"pids.max", "max"}));
  EXPECT_FALSE(PlanV2({.memory_bytes = 300, .memory_and_swap_bytes = 100}).ok());
  EXPECT_FALSE(PlanV2({.network_class = 5}).ok());
}

TEST(PlanV2Test, WeightsOfDevicesAndRdma) {
  absl::StatusOr<std::vector<V2Setting>> plan =
      PlanV2({.block_weights = {{.major = 8, .minor = 16, .weight = 200}},
              .rdma = {{"mlx4_0", {.handles = 2, .objects = std::nullopt}}, {"hfi1", {3, 4}}}});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(*plan, ElementsAre(V2Setting{"io.bfq.weight", "8:16 200"},
                                 V2Setting{"rdma.max", "hfi1 hca_handle=3 hca_object=4"},
                                 V2Setting{"rdma.max", "mlx4_0 hca_handle=2 hca_object=max"}));
  EXPECT_FALSE(PlanV2({.block_leaf_weight = 100}).ok());
}

TEST(LimitRulesTest, AMemoryLimitBelowWhatIsUsedIsRefusedOnlyIfAsked) {
  EXPECT_TRUE(CheckMemoryInUse({.memory_bytes = 10}, 20).ok());
  EXPECT_TRUE(CheckMemoryInUse({.memory_bytes = 20, .memory_check_before_update = true}, 20).ok());
  EXPECT_TRUE(CheckMemoryInUse({.memory_bytes = -1, .memory_check_before_update = true}, 20).ok());
  EXPECT_FALSE(CheckMemoryInUse({.memory_bytes = 10, .memory_check_before_update = true}, 20).ok());
}

// Runs the program as the kernel would; only the instructions that CompileDeviceFilter makes.
bool Allows(const std::vector<bpf_insn>& program, uint32_t type, uint32_t access, uint32_t major,
            uint32_t minor) {
  uint32_t context[3] = {access << 16 | type, major, minor};
  uint32_t reg[11] = {};
  for (size_t at = 0; at < program.size(); ++at) {
    const bpf_insn& now = program[at];
    uint32_t operand =
        BPF_SRC(now.code) == BPF_X ? reg[now.src_reg] : static_cast<uint32_t>(now.imm);
    switch (BPF_CLASS(now.code)) {
      case BPF_LDX:
        reg[now.dst_reg] = context[now.off / 4];
        break;
      case BPF_ALU:
      case BPF_ALU64:
        if (BPF_OP(now.code) == BPF_MOV) reg[now.dst_reg] = operand;
        if (BPF_OP(now.code) == BPF_AND) reg[now.dst_reg] &= operand;
        if (BPF_OP(now.code) == BPF_RSH) reg[now.dst_reg] >>= operand;
        break;
      case BPF_JMP32: {
        bool equal = reg[now.dst_reg] == operand;
        if (equal == (BPF_OP(now.code) == BPF_JEQ)) at += static_cast<size_t>(now.off);
        break;
      }
      case BPF_JMP:
        return reg[0] != 0;
    }
  }
  ADD_FAILURE() << "ran off the end";
  return false;
}

TEST(DeviceFilterTest, TheLastRuleThatMatchesDecides) {
  std::vector<bpf_insn> program = CompileDeviceFilter({
      {.allow = false},
      {.allow = true, .type = 'c', .read = false, .write = false, .make_node = true},
      {.allow = true, .type = 'c', .major = 1, .minor = 3},
      {.allow = true, .type = 'b', .major = 8, .read = true, .write = false, .make_node = false},
      {.allow = false, .type = 'b', .major = 8, .minor = 1},
  });
  constexpr uint32_t kBlock = BPF_DEVCG_DEV_BLOCK, kChar = BPF_DEVCG_DEV_CHAR;
  constexpr uint32_t kMake = BPF_DEVCG_ACC_MKNOD, kRead = BPF_DEVCG_ACC_READ,
                     kWrite = BPF_DEVCG_ACC_WRITE;
  EXPECT_TRUE(Allows(program, kChar, kRead | kWrite, 1, 3));
  EXPECT_TRUE(Allows(program, kChar, kMake, 99, 1));
  EXPECT_FALSE(Allows(program, kChar, kRead, 99, 1));
  EXPECT_FALSE(Allows(program, kChar, kRead | kMake, 99, 1));
  EXPECT_TRUE(Allows(program, kBlock, kRead, 8, 0));
  EXPECT_FALSE(Allows(program, kBlock, kWrite, 8, 0));
  EXPECT_FALSE(Allows(program, kBlock, kRead, 8, 1));
  EXPECT_FALSE(Allows(program, kBlock, kRead, 7, 0));
  EXPECT_TRUE(Allows(CompileDeviceFilter({{.allow = true}}), kBlock, kWrite, 8, 0));
  EXPECT_FALSE(Allows(CompileDeviceFilter({}), kChar, kRead, 1, 3));
}

}  // namespace
}  // namespace darse::cgroup

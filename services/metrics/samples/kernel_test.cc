#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "libs/os/files.h"
#include "services/metrics/samples/cgroup_reader.h"
#include "services/metrics/samples/host_reader.h"
#include "services/metrics/samples/kernel_text.h"

namespace darse::metrics {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(KernelTextTest, NumbersMaxAndUnlimited) {
  EXPECT_EQ(ParseNumber("123\n"), 123u);
  EXPECT_EQ(ParseNumber("max\n"), 0u);
  EXPECT_EQ(ParseNumber("9223372036854771712\n"), 0u);
  EXPECT_EQ(ParseNumber("-1\n"), 0u);
  EXPECT_EQ(ParseNumber(""), 0u);
}

TEST(KernelTextTest, PressureIsReadAndMayBeMissing) {
  auto pressure = ParsePressure(
      "some avg10=1.50 avg60=0.02 avg300=0.00 total=123\n"
      "full avg10=0.25 avg60=0.00 avg300=0.00 total=12\n");
  ASSERT_TRUE(pressure.has_value());
  EXPECT_EQ(*pressure, (PressureTotals{1.5, 0.25}));
  EXPECT_EQ(ParsePressure(""), std::nullopt);
}

TEST(KernelTextTest, BlockBytesOfBothVersions) {
  EXPECT_EQ(ParseBlkio("254:0 Read 10\n254:0 Write 20\n254:0 Sync 30\n8:0 Read 1\nTotal 61\n"),
            (ReadWrite{11, 20}));
  EXPECT_EQ(ParseIoStat("254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0\n8:0 rbytes=1\n"),
            (ReadWrite{11, 20}));
}

TEST(KernelTextTest, DisksThatCountAreSummed) {
  EXPECT_EQ(ParseDiskstats(" 254 0 vda 140 17 1000 134 50 36 200 37 0 2 1 1\n"
                           " 254 1 vda1 140 17 999 134 50 36 99 37 0 2 1 1\n",
                           [](absl::string_view device) { return device == "vda"; }),
            (ReadWrite{512'000, 102'400}));
}

TEST(KernelTextTest, InterfacesAlsoWithoutASpaceAfterTheColon) {
  EXPECT_THAT(
      ParseNetDev("Inter-|   Receive |  Transmit\n face |bytes packets\n"
                  "    lo: 1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n"
                  "veth12:100 0 0 0 0 0 0 0 200 0 0 0 0 0 0 0\n"),
      ElementsAre(Pair("lo", InterfaceBytes{1, 2}), Pair("veth12", InterfaceBytes{100, 200})));
}

TEST(KernelTextTest, IdleAndIowaitAreNotBusy) {
  EXPECT_THAT(ParseCpuTicks("cpu  10 1 20 100 5 1 1 2 0 0\ncpu0 5 0 10 50 2 0 0 1 0 0\nintr 5\n"),
              ElementsAre(CpuTicks{35, 140}, CpuTicks{16, 68}));
}

TEST(KernelTextTest, LoadAverages) {
  EXPECT_THAT(ParseLoad("0.52 0.58 0.59 1/345 12345\n"), ElementsAre(0.52, 0.58, 0.59));
}

TEST(CgroupMountsTest, V1AndHybridAndV2AreToldApart) {
  CgroupMounts hybrid = FindCgroupMounts(
      "30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
      "31 29 0:27 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory\n"
      "32 29 0:28 / /sys/fs/cgroup/unified rw shared:11 - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(hybrid.cpu, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(hybrid.cpuacct, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(hybrid.memory, "/sys/fs/cgroup/memory");
  EXPECT_EQ(hybrid.unified, "/sys/fs/cgroup/unified");
  CgroupMounts v2 =
      FindCgroupMounts("35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(v2.unified, "/sys/fs/cgroup");
  EXPECT_EQ(v2.cpuacct, "");
}

class FakeTreeTest : public testing::Test {
 protected:
  FakeTreeTest() {
    char name[] = "/tmp/darse-kernel-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~FakeTreeTest() override { RemoveTree(directory_).IgnoreError(); }
  void Write(const std::string& path, absl::string_view text) {
    std::string full = JoinPath(directory_, path);
    MakeDirectories(full.substr(0, full.rfind('/'))).IgnoreError();
    ASSERT_TRUE(WriteFileVolatile(full, text).ok());
  }
  std::string directory_;
};

TEST_F(FakeTreeTest, AV1CgroupIsReadWhole) {
  CgroupMounts mounts{.cpu = directory_ + "/cpu",
                      .cpuacct = directory_ + "/cpuacct",
                      .memory = directory_ + "/memory",
                      .blkio = directory_ + "/blkio",
                      .pids = directory_ + "/pids"};
  Write("cpuacct/d/a/cpuacct.usage", "5000000000\n");
  Write("cpu/d/a/cpu.stat", "nr_periods 10\nnr_throttled 4\nthrottled_time 5\n");
  Write("cpu/d/a/cpu.cfs_quota_us", "150000\n");
  Write("cpu/d/a/cpu.cfs_period_us", "100000\n");
  Write("memory/d/a/memory.usage_in_bytes", "1000000\n");
  Write("memory/d/a/memory.stat",
        "cache 1\ninactive_file 1\ntotal_inactive_file 400000\ntotal_swap 7\n");
  Write("memory/d/a/memory.limit_in_bytes", "2000000\n");
  Write("memory/d/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
  Write("blkio/d/a/blkio.throttle.io_service_bytes_recursive",
        "8:0 Read 1\n8:0 Write 2\nTotal 3\n");
  Write("pids/d/a/pids.current", "9\n");
  Write("pids/d/a/pids.max", "max\n");
  auto counters = CgroupReader::ForPath(mounts, "/d/a")->Read();
  ASSERT_TRUE(counters.ok()) << counters.status();
  EXPECT_EQ(counters->cpu_usage_ns, 5'000'000'000u);
  EXPECT_EQ(counters->cpu_periods, 10u);
  EXPECT_EQ(counters->cpu_throttled_periods, 4u);
  EXPECT_EQ(counters->cpu_limit_millicores, 1500u);
  EXPECT_EQ(counters->memory_working_set_bytes, 600'000u);
  EXPECT_EQ(counters->memory_swap_bytes, 7u);
  EXPECT_EQ(counters->memory_limit_bytes, 2'000'000u);
  EXPECT_EQ(counters->oom_kills, 3u);
  EXPECT_EQ(counters->block, (ReadWrite{1, 2}));
  EXPECT_EQ(counters->pids, 9u);
  EXPECT_EQ(counters->pids_limit, 0u);
}

TEST_F(FakeTreeTest, AV2CgroupIsReadWhole) {
  CgroupMounts mounts{.unified = directory_};
  Write("d/a/cpu.stat", "usage_usec 5000000\nuser_usec 1\nnr_periods 10\nnr_throttled 4\n");
  Write("d/a/cpu.max", "150000 100000\n");
  Write("d/a/memory.current", "1000000\n");
  Write("d/a/memory.stat", "anon 1\ninactive_file 400000\n");
  Write("d/a/memory.max", "2000000\n");
  Write("d/a/memory.events", "low 0\noom 1\noom_kill 3\n");
  Write("d/a/memory.swap.current", "7\n");
  Write("d/a/io.stat", "8:0 rbytes=1 wbytes=2\n");
  Write("d/a/pids.current", "9\n");
  Write("d/a/pids.max", "20\n");
  Write("d/a/memory.pressure", "some avg10=2.00 avg60=0 avg300=0 total=0\n");
  auto counters = CgroupReader::ForPath(mounts, "d/a")->Read();
  ASSERT_TRUE(counters.ok()) << counters.status();
  EXPECT_EQ(counters->cpu_usage_ns, 5'000'000'000u);
  EXPECT_EQ(counters->cpu_limit_millicores, 1500u);
  EXPECT_EQ(counters->memory_working_set_bytes, 600'000u);
  EXPECT_EQ(counters->memory_limit_bytes, 2'000'000u);
  EXPECT_EQ(counters->memory_swap_bytes, 7u);
  EXPECT_EQ(counters->oom_kills, 3u);
  EXPECT_EQ(counters->block, (ReadWrite{1, 2}));
  EXPECT_EQ(counters->pids_limit, 20u);
  ASSERT_TRUE(counters->memory_pressure.has_value());
  EXPECT_EQ(counters->memory_pressure->some_avg10, 2.0);
  EXPECT_FALSE(counters->cpu_pressure.has_value());
}

TEST_F(FakeTreeTest, AMissingCgroupIsNotFoundAndFoundWhenItIsThere) {
  auto reader = CgroupReader::ForPath({.unified = directory_}, "late");
  EXPECT_EQ(reader->Read().status().code(), absl::StatusCode::kNotFound);
  Write("late/cpu.stat", "usage_usec 1\n");
  EXPECT_TRUE(reader->Read().ok());
}

TEST_F(FakeTreeTest, UplinksAndWholeDisksAreCountedOnce) {
  Write("proc/net/dev",
        "eth0: 10 0 0 0 0 0 0 0 20 0\nveth1: 5 0 0 0 0 0 0 0 6 0\nlo: 1 0 0 0 0 0 0 0 1 0\n");
  Write("proc/diskstats",
        "8 0 sda 0 0 2 0 0 0 4 0\n8 1 sda1 0 0 2 0 0 0 4 0\n7 0 loop0 0 0 9 0 0 0 9 0\n");
  Write("sys/class/net/eth0/device", "");
  Write("sys/class/net/veth1/mtu", "");
  Write("sys/block/sda/device", "");
  Write("sys/block/loop0/size", "");
  HostReader reader(directory_ + "/proc", directory_ + "/sys", directory_);
  HostCounters host = reader.Read();
  EXPECT_EQ(host.network, (InterfaceBytes{10, 20}));
  EXPECT_EQ(host.disk, (ReadWrite{1024, 2048}));
  EXPECT_EQ(reader.interfaces().at("veth1"), (InterfaceBytes{5, 6}));
}

TEST(HostReaderTest, TheRealHostHasMemoryCoresAndProcesses) {
  HostReader reader("/proc", "/sys", "/");
  HostCounters host = reader.Read();
  EXPECT_GT(host.memory_total_bytes, host.memory_available_bytes);
  EXPECT_GE(host.cpu.size(), 2u);
  EXPECT_GT(host.processes, 0);
  EXPECT_GT(host.data_disk_total_bytes, 0u);
  EXPECT_GT(host.uptime, absl::ZeroDuration());
}

}  // namespace
}  // namespace darse::metrics

#include "services/metrics/samples/frame.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "libs/os/files.h"
#include "services/metrics/samples/sampler.h"

namespace darse::metrics {
namespace {

Reading At(int second) {
  return {.time = absl::FromUnixSeconds(1000 + second), .monotonic = absl::Seconds(second)};
}

TEST(FrameTest, RatesAreOverTheTimeBetweenTwoReadings) {
  Reading before = At(0), now = At(2);
  ContainerReading reading{.container = {.id = "a", .name = "web"}};
  reading.counters.cgroup.cpu_usage_ns = 1'000'000'000;
  reading.counters.cgroup.cpu_periods = 10;
  reading.counters.network = {100, 1000};
  before.containers = {reading};
  reading.counters.cgroup.cpu_usage_ns = 4'000'000'000;
  reading.counters.cgroup.cpu_periods = 30;
  reading.counters.cgroup.cpu_throttled_periods = 5;
  reading.counters.cgroup.cpu_limit_millicores = 1500;
  reading.counters.cgroup.block.written = 4096;
  reading.counters.network = {300, 1100};
  now.containers = {reading};
  SampledFrame frame = MakeFrame(before, now);
  ASSERT_EQ(frame.frame.containers_size(), 1);
  const v1::ContainerSample& sample = frame.frame.containers(0);
  EXPECT_TRUE(frame.has_rates[0]);
  EXPECT_EQ(sample.cpu_percent(), 150);
  EXPECT_EQ(sample.cpu_limit_percent(), 150);
  EXPECT_EQ(sample.cpu_throttled_percent(), 25);
  EXPECT_EQ(sample.block_write_bytes_per_second(), 2048);
  EXPECT_EQ(sample.network_receive_bytes_per_second(), 100);
  EXPECT_EQ(sample.network_transmit_bytes_per_second(), 50);
  EXPECT_EQ(sample.network_receive_bytes(), 300);
}

TEST(FrameTest, ACounterThatBeganAnewHasNoRate) {
  Reading before = At(0), now = At(1);
  ContainerReading reading{.container = {.id = "a"}};
  reading.counters.cgroup.cpu_usage_ns = 9'000'000'000;
  before.containers = {reading};
  reading.counters.cgroup.cpu_usage_ns = 1'000;
  now.containers = {reading};
  EXPECT_EQ(MakeFrame(before, now).frame.containers(0).cpu_percent(), 0);
}

TEST(FrameTest, AContainerSeenForTheFirstTimeHasNoRates) {
  Reading now = At(1);
  now.containers = {{.container = {.id = "a"}}};
  SampledFrame frame = MakeFrame({}, now);
  EXPECT_FALSE(frame.has_rates[0]);
  EXPECT_FALSE(frame.host_has_rates);
}

TEST(FrameTest, TheHostsCoresAreSharesOfTheirOwnTime) {
  Reading before = At(0), now = At(1);
  before.host.cpu = {{100, 1000}, {50, 500}, {50, 500}};
  now.host.cpu = {{150, 1200}, {100, 600}, {50, 600}};
  SampledFrame frame = MakeFrame(before, now);
  EXPECT_EQ(frame.frame.host().cpu_percent(), 25);
  ASSERT_EQ(frame.frame.host().core_percent_size(), 2);
  EXPECT_EQ(frame.frame.host().core_percent(0), 50);
  EXPECT_EQ(frame.frame.host().core_percent(1), 0);
}

class SamplerTest : public testing::Test {
 protected:
  SamplerTest() {
    Write("proc/net/dev", "veth0: 70 0 0 0 0 0 0 0 50 0\n");
    Write("proc/42/net/dev", "lo: 9 0 0 0 0 0 0 0 9 0\neth0: 3 0 0 0 0 0 0 0 4 0\n");
    AddCgroup("a", 1);
  }
  ~SamplerTest() override { RemoveTree(directory_).IgnoreError(); }
  void Write(const std::string& path, absl::string_view text) {
    std::string full = JoinPath(directory_, path);
    MakeDirectories(full.substr(0, full.rfind('/'))).IgnoreError();
    ASSERT_TRUE(WriteFileVolatile(full, text).ok());
  }
  void AddCgroup(const std::string& name, int pids) {
    Write("cg/" + name + "/cpu.stat", "usage_usec 1\n");
    Write("cg/" + name + "/pids.current", std::to_string(pids) + "\n");
  }
  SampledFrame Sample(const std::vector<KnownContainer>& containers) {
    return sampler_.Sample(absl::FromUnixSeconds(1), absl::Seconds(1), containers);
  }
  std::string directory_;
  Sampler sampler_{{.unified = Directory() + "/cg"},
                   HostReader(Directory() + "/proc", Directory() + "/sys", "/")};

 private:
  // Members above are made before the constructor's body.
  const std::string& Directory() {
    if (directory_.empty()) {
      char name[] = "/tmp/darse-sampler-XXXXXX";
      directory_ = ::mkdtemp(name);
    }
    return directory_;
  }
};

TEST_F(SamplerTest, AVethIsSeenFromTheOtherSide) {
  SampledFrame frame =
      Sample({{.id = "a", .cgroup_path = "a", .pid = 42, .host_interfaces = {"veth0"}}});
  ASSERT_EQ(frame.frame.containers_size(), 1);
  EXPECT_EQ(frame.frame.containers(0).network_receive_bytes(), 50);
  EXPECT_EQ(frame.frame.containers(0).network_transmit_bytes(), 70);
}

TEST_F(SamplerTest, WithoutAKnownVethTheProcessIsAsked) {
  SampledFrame frame = Sample({{.id = "a", .cgroup_path = "a", .pid = 42}});
  ASSERT_EQ(frame.frame.containers_size(), 1);
  EXPECT_EQ(frame.frame.containers(0).network_receive_bytes(), 3);
  EXPECT_EQ(frame.frame.containers(0).network_transmit_bytes(), 4);
}

TEST_F(SamplerTest, OnTheHostsNetworkNothingIsTheContainers) {
  SampledFrame frame = Sample({{.id = "a", .cgroup_path = "a", .pid = 42, .host_network = true}});
  EXPECT_EQ(frame.frame.containers(0).network_receive_bytes(), 0);
}

TEST_F(SamplerTest, ContainersWithoutProcessesOrCgroupAreLeftOut) {
  AddCgroup("empty", 0);
  SampledFrame frame = Sample({{.id = "a", .cgroup_path = "a"},
                               {.id = "b", .cgroup_path = "empty"},
                               {.id = "c", .cgroup_path = "gone"},
                               {.id = "d"}});
  ASSERT_EQ(frame.frame.containers_size(), 1);
  EXPECT_EQ(frame.frame.containers(0).container_id(), "a");
}

}  // namespace
}  // namespace darse::metrics

#include "tools/darse/top/frame_source.h"

#include "gtest/gtest.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/top/host_reading.h"

namespace darse::client {
namespace {

darse::runtime::v1::GetStatsResponse Reading(int second, absl::Duration cpu, int64_t received) {
  darse::runtime::v1::GetStatsResponse response;
  auto& stats = *response.add_stats();
  stats.set_container_id("1");
  stats.set_name("web");
  *stats.mutable_time() = ToProto(absl::FromUnixSeconds(second));
  *stats.mutable_cpu_time() = ToProto(cpu);
  stats.set_network_receive_bytes(received);
  return response;
}

TEST(FrameSourceTest, TwoReadingsMakeRates) {
  const auto frame =
      FrameFromStats(Reading(10, absl::Seconds(1), 100), Reading(12, absl::Seconds(2), 300));
  ASSERT_EQ(frame.containers_size(), 1);
  EXPECT_DOUBLE_EQ(frame.containers(0).cpu_percent(), 50);
  EXPECT_DOUBLE_EQ(frame.containers(0).network_receive_bytes_per_second(), 100);
}

TEST(FrameSourceTest, AContainerThatIsNewHasNoRatesYet) {
  const auto frame = FrameFromStats({}, Reading(12, absl::Seconds(2), 300));
  ASSERT_EQ(frame.containers_size(), 1);
  EXPECT_DOUBLE_EQ(frame.containers(0).cpu_percent(), 0);
}

TEST(FrameSourceTest, CountersThatRestartedGiveNoNegativeRate) {
  const auto frame =
      FrameFromStats(Reading(10, absl::Seconds(9), 900), Reading(12, absl::Seconds(1), 3));
  EXPECT_DOUBLE_EQ(frame.containers(0).cpu_percent(), 0);
  EXPECT_DOUBLE_EQ(frame.containers(0).network_receive_bytes_per_second(), 0);
}

TEST(FrameSourceTest, TheHostIsReadFromProc) {
  const auto host = HostBetween(ReadHostCounters(), ReadHostCounters());
  EXPECT_GT(host.memory_total_bytes(), host.memory_available_bytes());
  EXPECT_GT(host.uptime().seconds(), 0);
  EXPECT_GE(host.cpu_percent(), 0);
  EXPECT_LE(host.cpu_percent(), 100);
}

}  // namespace
}  // namespace darse::client

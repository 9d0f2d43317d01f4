#include "libs/linux/cgroup/systemd_cgroup_driver.h"

#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/linux/cgroup/fake_cgroup_driver.h"
#include "libs/linux/systemd/fake_units.h"

namespace darse::cgroup {
namespace {

using systemd::FakeUnit;
using systemd::FakeUnits;
using systemd::Property;
using systemd::Value;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

constexpr uint64_t kInfinity = ~uint64_t{0};
using Devices = std::vector<std::pair<std::string, std::string>>;

TEST(ScopePath, IsTheScopeInTheDirectoryOfItsSlice) {
  EXPECT_EQ(*ScopePath("system.slice:docker:ab12"), "system.slice/docker-ab12.scope");
  EXPECT_EQ(*ScopePath(":docker:ab12"), "system.slice/docker-ab12.scope");
  EXPECT_EQ(*ScopePath("a-b-c.slice::web"), "a.slice/a-b.slice/a-b-c.slice/web.scope");
  EXPECT_EQ(*ScopePath("-.slice:x:web"), "x-web.scope");
}

TEST(ScopePath, RefusesWhatIsNoScope) {
  for (const char* bad :
       {"", "/docker/ab12", "a:b", "a:b:c:d", "system.slice:docker:", "system:docker:ab12",
        "-x.slice:a:b", "x-.slice:a:b", "a--b.slice:a:b", "../x.slice:a:b", "x.slice:../a:b",
        "x.slice:a:../../b", ".slice:a:b", "x.slice:a:b.slice"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ScopePath(bad).status())) << bad;
  }
  EXPECT_THAT(ScopePath("/docker/ab12").status().message(), HasSubstr("slice:prefix:name"));
}

TEST(BitsOfList, HasTheLowestFirst) {
  EXPECT_THAT(*BitsOfList("0-2,5"), ElementsAre(0b100111));
  EXPECT_THAT(*BitsOfList("8"), ElementsAre(0, 1));
  EXPECT_THAT(*BitsOfList(""), IsEmpty());
  for (const char* bad : {"a", "3-1", "1-", "-1", "99999", "0-99999"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(BitsOfList(bad).status())) << bad;
  }
}

std::map<std::string, Value> Plan(const Limits& limits, bool v2) {
  absl::StatusOr<std::vector<Property>> plan = PlanProperties(
      limits, v2, "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n");
  EXPECT_TRUE(plan.ok()) << plan.status();
  std::map<std::string, Value> found;
  for (const Property& property : *plan) found[property.name] = property.value;
  return found;
}

TEST(PlanProperties, TellsTheLimitsOfV2) {
  std::map<std::string, Value> plan = Plan({.memory_bytes = 64 << 20,
                                            .memory_and_swap_bytes = 80 << 20,
                                            .memory_reservation_bytes = 32 << 20,
                                            .cpu_shares = 2,
                                            .cpu_quota_us = 50'000,
                                            .cpu_period_us = 200'000,
                                            .cpuset_cpus = "0,9",
                                            .pids_max = -1,
                                            .block_weight = 10,
                                            .unified = {{"memory.high", "max"}}},
                                           true);
  EXPECT_THAT(plan, Contains(Pair("MemoryMax", Value(uint64_t{64 << 20}))));
  EXPECT_THAT(plan, Contains(Pair("MemorySwapMax", Value(uint64_t{16 << 20}))));
  EXPECT_THAT(plan, Contains(Pair("MemoryLow", Value(uint64_t{32 << 20}))));
  EXPECT_THAT(plan, Contains(Pair("MemoryHigh", Value(kInfinity))));
  EXPECT_THAT(plan, Contains(Pair("CPUWeight", Value(uint64_t{1}))));
  EXPECT_THAT(plan, Contains(Pair("CPUQuotaPerSecUSec", Value(uint64_t{250'000}))));
  EXPECT_THAT(plan, Contains(Pair("CPUQuotaPeriodUSec", Value(uint64_t{200'000}))));
  EXPECT_THAT(plan, Contains(Pair("AllowedCPUs", Value(std::vector<uint8_t>{1, 2}))));
  EXPECT_THAT(plan, Contains(Pair("TasksMax", Value(kInfinity))));
  EXPECT_THAT(plan, Contains(Pair("IOWeight", Value(uint64_t{1}))));
  EXPECT_EQ(plan.size(), 10u);
}

TEST(PlanProperties, RoundsAQuotaUpToWholePercents) {
  EXPECT_THAT(Plan({.cpu_quota_us = 12'345}, true),
              Contains(Pair("CPUQuotaPerSecUSec", Value(uint64_t{130'000}))));
  EXPECT_THAT(Plan({.cpu_quota_us = -1}, true),
              Contains(Pair("CPUQuotaPerSecUSec", Value(kInfinity))));
}

TEST(PlanProperties, TellsTheDevicesOnV1Only) {
  Limits limits = {.devices = std::vector<DeviceRule>{
                       {.allow = true, .type = 'c', .major = 10, .minor = 200},
                       {.allow = false},
                       {.allow = true, .type = 'c', .major = 136},
                       {.allow = true, .type = 'c', .major = 99},
                       {.allow = true, .type = 'b', .read = false, .write = false},
                       {.allow = true, .type = 'c', .major = 1, .minor = 3},
                       {.allow = true, .type = 'b', .major = 8, .minor = 0, .make_node = false}}};
  EXPECT_EQ(Plan(limits, false)["DevicePolicy"], Value(std::string("strict")));
  // 99 is no class that this kernel has.
  EXPECT_EQ(Plan(limits, false)["DeviceAllow"], Value(Devices{{"char-pts", "rwm"},
                                                              {"block-*", "m"},
                                                              {"/dev/char/1:3", "rwm"},
                                                              {"/dev/block/8:0", "rw"}}));
  EXPECT_THAT(Plan(limits, true), IsEmpty());
}

class SystemdCgroupDriverTest : public testing::Test {
 protected:
  std::map<std::string, FakeUnit> units_;
  int connections_ = 0;
  SystemdCgroupDriver driver_{std::make_unique<FakeCgroupDriver>(),
                              [this]() -> absl::StatusOr<std::unique_ptr<systemd::Units>> {
                                ++connections_;
                                return std::make_unique<FakeUnits>(&units_);
                              }};
  const std::string path_ = "a.slice/a-b.slice/x-web.scope";
};

TEST_F(SystemdCgroupDriverTest, PutsAContainerInASlice) {
  EXPECT_EQ(*driver_.Resolve("", "web"), "system.slice/darse-web.scope");
  ASSERT_TRUE(driver_.Create(path_).ok());
  FakeUnit& unit = units_["x-web.scope"];
  EXPECT_THAT(unit.properties, Contains(Pair("Slice", Value(std::string("a-b.slice")))));
  EXPECT_THAT(unit.properties, Contains(Pair("Delegate", Value(true))));
  EXPECT_EQ(unit.pids.size(), 1u);
  ASSERT_TRUE(driver_.Attach(path_, getpid()).ok());
  EXPECT_THAT(unit.pids, Contains(getpid()));
  EXPECT_THAT(*driver_.Processes(path_), ElementsAre(getpid()));
}

TEST_F(SystemdCgroupDriverTest, JoinsAScopeThatIsThere) {
  ASSERT_TRUE(driver_.Create(path_).ok());
  ASSERT_TRUE(driver_.Create(path_).ok());
  EXPECT_EQ(units_.size(), 1u);
}

TEST_F(SystemdCgroupDriverTest, TellsSystemdAndTheKernelOfALimit) {
  ASSERT_TRUE(driver_.Create(path_).ok());
  ASSERT_TRUE(driver_.Apply(path_, {.pids_max = 17}).ok());
  EXPECT_EQ(driver_.ReadStats(path_)->pids_limit, 17u);
  EXPECT_THAT(units_["x-web.scope"].properties, Contains(Pair("TasksMax", Value(uint64_t{17}))));
}

TEST_F(SystemdCgroupDriverTest, DeletesNoScopeThatIsUsed) {
  ASSERT_TRUE(driver_.Create(path_).ok());
  ASSERT_TRUE(driver_.Attach(path_, getpid()).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(driver_.Delete(path_)));
  EXPECT_THAT(units_, Not(IsEmpty()));
}

TEST_F(SystemdCgroupDriverTest, DeletesAScopeThatOnlyWePopulate) {
  ASSERT_TRUE(driver_.Create(path_).ok());
  ASSERT_TRUE(driver_.Delete(path_).ok());
  EXPECT_THAT(units_, IsEmpty());
  EXPECT_FALSE(driver_.Exists(path_));
}

TEST_F(SystemdCgroupDriverTest, AsksSystemdOnlyForWhatItDoes) {
  ASSERT_TRUE(driver_.Processes(path_).status().code() == absl::StatusCode::kNotFound);
  EXPECT_FALSE(driver_.IsFrozen(path_).ok());
  EXPECT_FALSE(driver_.KillAll(path_).ok());
  EXPECT_EQ(connections_, 0);
  ASSERT_TRUE(driver_.Create(path_).ok());
  ASSERT_TRUE(driver_.Delete(path_).ok());
  EXPECT_EQ(connections_, 1);
}

}  // namespace
}  // namespace darse::cgroup

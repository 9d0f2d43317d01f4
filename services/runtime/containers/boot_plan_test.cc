#include "services/runtime/containers/boot_plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ContainerRecord Container(const std::string& id, int created, v1::RestartPolicy::Kind policy) {
  ContainerRecord record;
  record.id = id;
  record.name = "name-" + id;
  record.created_at = absl::FromUnixSeconds(created);
  record.started_at = record.created_at;
  record.state = ContainerState::kRunning;
  record.spec.mutable_restart_policy()->set_kind(policy);
  return record;
}

ContainerRecord Service(const std::string& id, int created, const std::string& service,
                        const std::string& depends_on) {
  ContainerRecord record = Container(id, created, v1::RestartPolicy::ALWAYS);
  auto& labels = *record.merged.mutable_labels();
  labels["com.docker.compose.project"] = "p";
  labels["com.docker.compose.service"] = service;
  labels["com.docker.compose.depends_on"] = depends_on;
  return record;
}

TEST(BootPlanTest, OlderComesFirst) {
  EXPECT_THAT(PlanBoot({Container("b", 2, v1::RestartPolicy::ALWAYS),
                        Container("a", 1, v1::RestartPolicy::ALWAYS)}),
              ElementsAre("a", "b"));
}

TEST(BootPlanTest, WithoutAPolicyItStaysDown) {
  EXPECT_THAT(PlanBoot({Container("a", 1, v1::RestartPolicy::NO)}), IsEmpty());
}

TEST(BootPlanTest, UnlessStoppedStaysDownOnlyWhenSomebodyStoppedIt) {
  ContainerRecord stopped = Container("a", 1, v1::RestartPolicy::UNLESS_STOPPED);
  stopped.state = ContainerState::kExited;
  EXPECT_THAT(PlanBoot({stopped}), ElementsAre("a"));
  stopped.stop_requested = true;
  EXPECT_THAT(PlanBoot({stopped}), IsEmpty());
}

TEST(BootPlanTest, NeverStartedContainerIsNotStarted) {
  ContainerRecord created = Container("a", 1, v1::RestartPolicy::ALWAYS);
  created.state = ContainerState::kCreated;
  created.started_at = absl::InfinitePast();
  EXPECT_THAT(PlanBoot({created}), IsEmpty());
}

TEST(BootPlanTest, DependencyComesBeforeItsOlderDependent) {
  EXPECT_THAT(PlanBoot({Service("web", 1, "web", "db:service_healthy:false,cache"),
                        Service("db", 2, "db", ""), Service("cache", 3, "cache", "db")}),
              ElementsAre("db", "cache", "web"));
}

TEST(BootPlanTest, NetworkOwnerComesFirst) {
  ContainerRecord user = Container("a", 1, v1::RestartPolicy::ALWAYS);
  user.spec.set_network_container("name-b");
  EXPECT_THAT(PlanBoot({user, Container("b", 2, v1::RestartPolicy::ALWAYS)}),
              ElementsAre("b", "a"));
}

TEST(BootPlanTest, CircleEndsInOrderOfAge) {
  EXPECT_THAT(PlanBoot({Service("a", 1, "a", "b"), Service("b", 2, "b", "a")}),
              ElementsAre("b", "a"));
}

}  // namespace
}  // namespace darse::runtime

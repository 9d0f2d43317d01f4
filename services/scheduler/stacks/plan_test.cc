#include "services/scheduler/stacks/plan.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "services/scheduler/stacks/container_config.h"
#include "services/scheduler/stacks/dependency_order.h"

namespace darse::scheduler {
namespace {

using runtime::v1::Container;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kStack[] = R"(
  name: "shop"
  networks { key: "default" name: "shop_default" }
  volumes { key: "data" name: "shop_data" }
  services {
    name: "web"
    container { image: "web:1" env: "LOG_LEVEL=info" env: "A=1" networks { network: "shop_default" }
                restart_policy { kind: ALWAYS } }
    depends_on { service: "db" condition: HEALTHY required: true }
    depends_on { service: "migrate" condition: COMPLETED required: true }
  }
  services {
    name: "db"
    container { image: "db:1" networks { network: "shop_default" } healthcheck { test: "CMD" test: "true" }
                mounts { type: MOUNT_TYPE_VOLUME source: "shop_data" target: "/data" }
                restart_policy { kind: ALWAYS } }
  }
  services {
    name: "migrate"
    container { image: "db:1" networks { network: "shop_default" } }
    depends_on { service: "db" condition: STARTED required: true }
  }
)";

absl::Time At(int seconds) { return absl::FromUnixSeconds(seconds); }

class PlanTest : public ::testing::Test {
 protected:
  PlanTest() {
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kStack, &desired_.spec));
    for (const v1::ServiceSpec& service : desired_.spec.services()) {
      images_[service.name()] = {.id = absl::StrCat("sha256:", service.container().image())};
      desired_.services[service.name()].up_time = At(100);
    }
    observed_.known = true;
    observed_.synced = true;
  }

  v1::ServiceSpec& Service(absl::string_view name) {
    for (v1::ServiceSpec& service : *desired_.spec.mutable_services()) {
      if (service.name() == name) return service;
    }
    ADD_FAILURE() << name;
    return *desired_.spec.add_services();
  }

  void MakeNetworkAndVolume() {
    runtime::v1::Network& network = observed_.networks["shop_default"];
    network.set_name("shop_default");
    (*network.mutable_labels())[kHashLabel] = NetworkHash(desired_.spec.networks(0));
    (*network.mutable_labels())[kStackLabel] = "shop";
    (*observed_.volumes["shop_data"].mutable_labels())[kStackLabel] = "shop";
    observed_.volumes["shop_data"].set_name("shop_data");
  }

  // As the present specification wants it, created at 100 and, if it ever ran, started at 110.
  Container& Put(absl::string_view service, runtime::v1::ContainerState state, int slot = 1) {
    const v1::ServiceSpec& spec = Service(service);
    auto container = std::make_shared<Container>();
    const std::string& image = images_[std::string(service)].id;
    container->set_id(absl::StrCat("id-", service, "-", slot, "-", observed_.containers.size()));
    *container->mutable_spec() =
        MakeContainerSpec(desired_.spec, spec, slot, spec.container().image(),
                          ConfigHash(desired_.spec, spec, slot, image));
    container->set_name(container->spec().name());
    container->set_state(state);
    *container->mutable_create_time() = ToProto(At(100));
    if (state != runtime::v1::CONTAINER_STATE_CREATED)
      *container->mutable_start_time() = ToProto(At(110));
    if (state == runtime::v1::CONTAINER_STATE_EXITED)
      *container->mutable_finish_time() = ToProto(At(120));
    Container& kept = *container;
    desired_.tasks[{std::string(service), slot}].made_of = spec;
    desired_.tasks[{std::string(service), slot}].made_of_image = image;
    observed_.containers[kept.id()] = {std::move(container), At(130)};
    return kept;
  }

  void PutAllRunning() {
    MakeNetworkAndVolume();
    Put("web", runtime::v1::CONTAINER_STATE_RUNNING);
    Put("db", runtime::v1::CONTAINER_STATE_RUNNING)
        .mutable_health()
        ->set_status(runtime::v1::Health::HEALTHY);
    Put("migrate", runtime::v1::CONTAINER_STATE_EXITED);
  }

  Plan Make() {
    return MakePlan({.desired = desired_,
                     .observed = observed_,
                     .images = images_,
                     .runtime_missing = runtime_missing_,
                     .builder_missing = builder_missing_});
  }

  // "START_CONTAINER shop-web-1: new", and behind " | " what it waits for.
  std::vector<std::string> Steps() {
    std::vector<std::string> lines;
    for (const Step& step : Make().steps) {
      lines.push_back(absl::StrCat(v1::PlanStep::Action_Name(step.action), " ", step.name, ": ",
                                   step.reason, step.block == Block::kNone ? "" : " | ",
                                   step.waiting));
    }
    return lines;
  }

  DesiredStack desired_;
  Observed observed_;
  std::map<std::string, ImageState> images_;
  std::string runtime_missing_;
  std::string builder_missing_;
};

TEST_F(PlanTest, ANewStackIsMadeInTheOrderOfItsDependencies) {
  EXPECT_THAT(
      Steps(),
      ElementsAre(
          "CREATE_NETWORK shop_default: is not there", "CREATE_VOLUME shop_data: is not there",
          "CREATE_CONTAINER shop-db-1: is not there | network shop_default comes first",
          "START_CONTAINER shop-db-1: new | the container is made first",
          "CREATE_CONTAINER shop-migrate-1: is not there | network shop_default comes first",
          "START_CONTAINER shop-migrate-1: new | waiting for db to be started",
          "CREATE_CONTAINER shop-web-1: is not there | network shop_default comes first",
          "START_CONTAINER shop-web-1: new | waiting for db to be healthy"));
}

TEST_F(PlanTest, WhatRunsAsWantedNeedsNothing) {
  PutAllRunning();
  EXPECT_THAT(Steps(), IsEmpty());
}

TEST_F(PlanTest, AStartWaitsUntilTheDependencyIsHealthyAndTheJobHasCompleted) {
  PutAllRunning();
  for (auto& [id, seen] : observed_.containers) {
    if (seen.container->name() == "shop-web-1") {
      auto created = std::make_shared<Container>(*seen.container);
      created->set_state(runtime::v1::CONTAINER_STATE_CREATED);
      created->clear_start_time();
      seen.container = created;
    }
  }
  EXPECT_THAT(Steps(), ElementsAre("START_CONTAINER shop-web-1: is not started yet"));
  for (auto& [id, seen] : observed_.containers) {
    if (seen.container->name() == "shop-db-1") {
      auto sick = std::make_shared<Container>(*seen.container);
      sick->mutable_health()->set_status(runtime::v1::Health::STARTING);
      seen.container = sick;
    }
  }
  EXPECT_THAT(
      Steps(),
      ElementsAre("START_CONTAINER shop-web-1: is not started yet | waiting for db to be healthy"));
}

TEST_F(PlanTest, AJobThatFailedHoldsItsDependentsBackForGood) {
  MakeNetworkAndVolume();
  Put("web", runtime::v1::CONTAINER_STATE_CREATED);
  Put("db", runtime::v1::CONTAINER_STATE_RUNNING)
      .mutable_health()
      ->set_status(runtime::v1::Health::HEALTHY);
  Put("migrate", runtime::v1::CONTAINER_STATE_EXITED).set_exit_code(3);
  const Plan plan = Make();
  ASSERT_EQ(plan.steps.size(), 1u);
  EXPECT_EQ(plan.steps[0].block, Block::kFailed);
  EXPECT_EQ(plan.steps[0].waiting, "waiting for migrate to complete: shop-migrate-1 exited with 3");
}

TEST_F(PlanTest, ADependencyWithoutHealthcheckIsSaidToBeWithoutOne) {
  Service("db").mutable_container()->clear_healthcheck();
  MakeNetworkAndVolume();
  Put("web", runtime::v1::CONTAINER_STATE_CREATED);
  Put("db", runtime::v1::CONTAINER_STATE_RUNNING);
  Put("migrate", runtime::v1::CONTAINER_STATE_EXITED);
  EXPECT_THAT(Steps(), ElementsAre(HasSubstr("shop-db-1 has no healthcheck")));
}

TEST_F(PlanTest, OnlyTheContainerThatAChangeTouchesIsMadeAgainAndTheReasonNamesIt) {
  PutAllRunning();
  Service("web").mutable_container()->set_env(0, "LOG_LEVEL=debug");
  EXPECT_THAT(Steps(),
              ElementsAre("RECREATE_CONTAINER shop-web-1: environment changed: LOG_LEVEL",
                          "START_CONTAINER shop-web-1: new | the container is made first"));
}

TEST_F(PlanTest, ReasonsNameEveryKindOfChange) {
  PutAllRunning();
  v1::ServiceSpec& web = Service("web");
  web.mutable_container()->add_ports()->set_container_port(80);
  (*web.mutable_container()->mutable_labels())["team"] = "a";
  (*web.mutable_content_digests())["/etc/web.conf"] = "sha256:1";
  web.mutable_container()->mutable_resources()->set_memory_limit_bytes(1 << 20);
  images_["web"].id = "sha256:new";
  EXPECT_THAT(Steps()[0], HasSubstr("image changed; labels changed: team; contents changed: "
                                    "/etc/web.conf; limits changed; ports changed"));
}

TEST_F(PlanTest, WhereTheFilesLieAndWhoDependsOnWhomChangesNoContainer) {
  PutAllRunning();
  desired_.spec.set_working_dir("/elsewhere");
  Service("web").clear_depends_on();
  EXPECT_THAT(Steps(), IsEmpty());
}

TEST_F(PlanTest, AChangedDependencyIsReplacedFirst) {
  PutAllRunning();
  Service("web").mutable_container()->set_env(0, "LOG_LEVEL=debug");
  Service("db").mutable_container()->add_env("B=2");
  EXPECT_THAT(Steps(),
              ElementsAre("RECREATE_CONTAINER shop-db-1: environment changed: B",
                          "START_CONTAINER shop-db-1: new | the container is made first",
                          "RECREATE_CONTAINER shop-web-1: environment changed: LOG_LEVEL | waiting "
                          "for db to be healthy",
                          "START_CONTAINER shop-web-1: new | waiting for db to be healthy"));
}

TEST_F(PlanTest, AStoppedContainerStaysUntilTheNextUpAndACrashedOneComesBack) {
  PutAllRunning();
  Put("web", runtime::v1::CONTAINER_STATE_EXITED, 1);
  // The running one is the better of two for one place.
  EXPECT_THAT(Steps(),
              ElementsAre(HasSubstr("DELETE_CONTAINER shop-web-1: is a second one for its place")));
  observed_.containers.clear();
  Put("db", runtime::v1::CONTAINER_STATE_RUNNING)
      .mutable_health()
      ->set_status(runtime::v1::Health::HEALTHY);
  Put("migrate", runtime::v1::CONTAINER_STATE_EXITED);
  Container& web = Put("web", runtime::v1::CONTAINER_STATE_EXITED);
  web.set_exit_code(137);
  EXPECT_THAT(Steps(), ElementsAre("START_CONTAINER shop-web-1: exited with 137"));
  web.set_stop_requested(true);
  EXPECT_THAT(Steps(), IsEmpty());
  desired_.services["web"].up_time = At(200);
  EXPECT_THAT(Steps(), ElementsAre("START_CONTAINER shop-web-1: was stopped"));
}

TEST_F(PlanTest, AJobThatCompletedIsNotRunAgainByTheNextUpButAFailedOneIs) {
  PutAllRunning();
  desired_.services["migrate"].up_time = At(200);
  EXPECT_THAT(Steps(), IsEmpty());
  observed_.containers.clear();
  Put("web", runtime::v1::CONTAINER_STATE_RUNNING);
  Put("db", runtime::v1::CONTAINER_STATE_RUNNING)
      .mutable_health()
      ->set_status(runtime::v1::Health::HEALTHY);
  Put("migrate", runtime::v1::CONTAINER_STATE_EXITED).set_exit_code(1);
  EXPECT_THAT(Steps(), ElementsAre("START_CONTAINER shop-migrate-1: exited with 1"));
}

TEST_F(PlanTest, ARestartGoesInDependencyOrderAndIsDoneOnce) {
  PutAllRunning();
  desired_.services["web"].restart_time = At(150);
  desired_.services["db"].restart_time = At(150);
  EXPECT_THAT(
      Steps(),
      ElementsAre("RESTART_CONTAINER shop-db-1: asked for",
                  "RESTART_CONTAINER shop-web-1: asked for | waiting for db to be healthy"));
  for (auto& [id, seen] : observed_.containers) {
    auto restarted = std::make_shared<Container>(*seen.container);
    *restarted->mutable_start_time() = ToProto(At(151));
    seen.container = restarted;
  }
  EXPECT_THAT(Steps(), IsEmpty());
}

TEST_F(PlanTest, ForcedMeansMadeBefore) {
  PutAllRunning();
  desired_.services["web"].recreate_time = At(101);
  EXPECT_THAT(Steps()[0], "RECREATE_CONTAINER shop-web-1: asked for");
  desired_.services["web"].recreate_time = At(100);
  EXPECT_THAT(Steps(), IsEmpty());
}

TEST_F(PlanTest, AMissingBuilderHoldsBackOnlyWhatNeedsABuild) {
  PutAllRunning();
  observed_.containers.clear();
  images_["db"] = {.needs_build = true, .build_reason = "not built yet"};
  builder_missing_ = "builder since 12:01:07";
  EXPECT_THAT(Steps(),
              ElementsAre("BUILD_IMAGE db:1: not built yet | waiting for builder since 12:01:07",
                          "CREATE_CONTAINER shop-db-1: is not there | its image is built first",
                          "START_CONTAINER shop-db-1: new | the container is made first",
                          "CREATE_CONTAINER shop-migrate-1: is not there",
                          "START_CONTAINER shop-migrate-1: new | waiting for db to be started",
                          "CREATE_CONTAINER shop-web-1: is not there",
                          "START_CONTAINER shop-web-1: new | waiting for db to be healthy"));
}

TEST_F(PlanTest, AMissingRuntimeHoldsBackEverything) {
  runtime_missing_ = "runtime since 12:01:07";
  for (const Step& step : Make().steps) EXPECT_NE(step.block, Block::kNone) << step.name;
}

TEST_F(PlanTest, AContainerRunsOnWhileItsNewImageIsBuiltAndWhenThatFails) {
  PutAllRunning();
  images_["web"] = {.needs_build = true, .build_reason = "what it is built from changed"};
  EXPECT_THAT(Steps(), ElementsAre("BUILD_IMAGE web:1: what it is built from changed",
                                   HasSubstr("RECREATE_CONTAINER shop-web-1: its image is built: "
                                             "what it is built from changed | its image"),
                                   HasSubstr("START_CONTAINER shop-web-1")));
  images_["web"].build_error = "Dockerfile:3: no";
  EXPECT_THAT(
      Steps(),
      ElementsAre(
          "BUILD_IMAGE web:1: what it is built from changed | building web: Dockerfile:3: no"));
}

TEST_F(PlanTest, FewerReplicasLeaveTheFirstOnes) {
  PutAllRunning();
  Put("web", runtime::v1::CONTAINER_STATE_RUNNING, 2);
  EXPECT_THAT(Steps(), ElementsAre("DELETE_CONTAINER shop-web-2: 1 wanted"));
  Service("web").set_replicas(-1);
  EXPECT_THAT(Steps(), ElementsAre("DELETE_CONTAINER shop-web-1: 0 wanted",
                                   "DELETE_CONTAINER shop-web-2: 0 wanted"));
}

TEST_F(PlanTest, OrphansAreNamedAndDeletedOnRequest) {
  PutAllRunning();
  v1::StackSpec spec = desired_.spec;
  spec.mutable_services()->DeleteSubrange(0, 1);
  desired_.spec = spec;
  EXPECT_THAT(Steps(), IsEmpty());
  EXPECT_THAT(Make().orphans, ElementsAre("shop-web-1"));
  desired_.remove_orphans = true;
  EXPECT_THAT(Steps(),
              ElementsAre("DELETE_CONTAINER shop-web-1: service web is not in the stack any more"));
}

TEST_F(PlanTest, DownGoesAgainstTheOrderAndKeepsVolumes) {
  PutAllRunning();
  desired_.removing = true;
  EXPECT_THAT(
      Steps(),
      ElementsAre(
          "DELETE_CONTAINER shop-web-1: the stack is taken down",
          "DELETE_CONTAINER shop-migrate-1: the stack is taken down | web goes first",
          "DELETE_CONTAINER shop-db-1: the stack is taken down | web, migrate goes first",
          "DELETE_NETWORK shop_default: the stack is taken down | its containers go first"));
  observed_.containers.clear();
  observed_.networks.clear();
  EXPECT_TRUE(Make().gone);
  desired_.delete_volumes = true;
  EXPECT_THAT(Steps(), ElementsAre("DELETE_VOLUME shop_data: asked for"));
  EXPECT_FALSE(Make().gone);
}

TEST_F(PlanTest, AStackIsNotGoneWhileTheRuntimeCannotSay) {
  desired_.removing = true;
  runtime_missing_ = "runtime since 12:00:00";
  EXPECT_FALSE(Make().gone);
}

TEST_F(PlanTest, AChangedNetworkTakesItsContainersAlong) {
  PutAllRunning();
  desired_.spec.mutable_networks(0)->set_subnet("10.1.0.0/24");
  const std::vector<std::string> steps = Steps();
  ASSERT_GE(steps.size(), 5u);
  EXPECT_THAT(steps[0], HasSubstr("DELETE_CONTAINER"));
  EXPECT_THAT(steps[3],
              "DELETE_NETWORK shop_default: its settings changed | its containers go first");
  EXPECT_THAT(steps[4],
              "CREATE_NETWORK shop_default: its settings changed | the old one goes first");
}

TEST_F(PlanTest, AnExternalNetworkThatIsNotThereIsAFailureWithAWayOut) {
  desired_.spec.mutable_networks(0)->set_external(true);
  EXPECT_THAT(Steps()[0], HasSubstr("darse network create shop_default"));
}

TEST_F(PlanTest, AContainerOnAnothersNetworkRestartsWhenThatOneIsNew) {
  PutAllRunning();
  v1::ServiceSpec& web = Service("web");
  web.mutable_container()->set_network_mode(runtime::v1::NETWORK_MODE_CONTAINER);
  web.mutable_container()->set_network_container("service:db");
  observed_.containers.clear();
  Container& db = Put("db", runtime::v1::CONTAINER_STATE_RUNNING);
  db.mutable_health()->set_status(runtime::v1::Health::HEALTHY);
  Put("migrate", runtime::v1::CONTAINER_STATE_EXITED);
  EXPECT_EQ(Put("web", runtime::v1::CONTAINER_STATE_RUNNING).spec().network_container(),
            "shop-db-1");
  EXPECT_THAT(Steps(), IsEmpty());
  *db.mutable_start_time() = ToProto(At(111));
  EXPECT_THAT(Steps(), ElementsAre("RESTART_CONTAINER shop-web-1: the network of db is a new one"));
}

TEST(ValidateStackTest, CirclesAndStrangersAreNamed) {
  v1::StackSpec spec;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(name: "a"
         services { name: "x" container { image: "i" } depends_on { service: "y" } }
         services { name: "y" container { image: "i" } depends_on { service: "x" } })",
      &spec));
  EXPECT_THAT(ValidateStack(spec).message(), HasSubstr("circle: x -> y -> x"));
  spec.mutable_services(1)->mutable_depends_on(0)->set_service("z");
  EXPECT_TRUE(ValidateStack(spec).ok());
  spec.mutable_services(1)->mutable_depends_on(0)->set_required(true);
  EXPECT_THAT(ValidateStack(spec).message(), HasSubstr("depends on z, which is not in the stack"));
  spec.set_name("../up");
  EXPECT_FALSE(ValidateStack(spec).ok());
}

}  // namespace
}  // namespace darse::scheduler

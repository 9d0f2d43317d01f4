// The scheduler without processes: engine, loops and database over a runtime and a builder in
// memory.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "services/scheduler/contexts/context_directory.h"
#include "services/scheduler/observe/observe_loop.h"
#include "services/scheduler/peers/fake_builder.h"
#include "services/scheduler/peers/fake_runtime.h"
#include "services/scheduler/schema.h"
#include "services/scheduler/stacks/container_config.h"
#include "services/scheduler/stacks/stack_engine.h"
#include "services/scheduler/stacks/stack_store.h"

namespace darse::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kShop[] = R"(
  name: "shop"
  networks { key: "default" name: "shop_default" }
  services {
    name: "web"
    container { image: "web:1" env: "A=1" networks { network: "shop_default" } restart_policy { kind: ALWAYS } }
    depends_on { service: "db" condition: HEALTHY required: true }
  }
  services {
    name: "db"
    container { image: "db:1" networks { network: "shop_default" } healthcheck { test: "CMD" test: "true" }
                restart_policy { kind: ALWAYS } }
  }
)";

// One life of the scheduler process over a database that outlives it.
struct Life {
  Life(const std::string& directory, FakeRuntime& runtime, FakeBuilder& builder, Clock& clock)
      : db(*sqlite::Database::Open(directory + "/scheduler.db", kMigrations)),
        book(*StackBook::Load(*db)),
        contexts(*ContextDirectory::Open(directory + "/contexts")),
        survey(runtime, builder, cache),
        converge(*book, board, cache, survey, runtime, builder, *contexts, clock),
        loop(*book, board, survey, converge, clock, {}),
        observe(runtime, *db, cache, clock, [this] { loop.Wake(); }),
        engine(*book, board, cache, survey, loop, *contexts, clock) {
    std::vector<SeenContainer> seen;
    EXPECT_TRUE(db->Read([&](sqlite::Transaction& tx) -> absl::Status {
                    seen = *StackStore::LoadContainers(tx);
                    return absl::OkStatus();
                  }).ok());
    cache.Restore(seen);
    observe.Start();
    loop.Start();
  }

  std::unique_ptr<sqlite::Database> db;
  std::unique_ptr<StackBook> book;
  std::unique_ptr<ContextDirectory> contexts;
  ObservedCache cache;
  StackBoard board;
  Survey survey;
  ConvergeEngine converge;
  ConvergeLoop loop;
  ObserveLoop observe;
  StackEngine engine;
};

class ConvergeTest : public ::testing::Test {
 protected:
  ConvergeTest() : runtime_(clock_), builder_(runtime_, clock_) {
    std::string pattern = (std::filesystem::temp_directory_path() / "scheduler-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    runtime_.AddImage("web:1", "sha256:web1");
    runtime_.AddImage("db:1", "sha256:db1");
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kShop, request_.mutable_spec()));
    life_ = std::make_unique<Life>(directory_, runtime_, builder_, clock_);
  }
  ~ConvergeTest() override {
    End();
    std::filesystem::remove_all(directory_);
  }

  void End() {
    if (life_ == nullptr) return;
    runtime_.Cancel();
    builder_.Cancel();
    life_.reset();
  }

  ApplyAnswer Apply() {
    absl::StatusOr<ApplyAnswer> answer = life_->engine.Apply(request_);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *answer : ApplyAnswer{};
  }

  v1::Stack Stack() {
    absl::StatusOr<v1::Stack> stack = life_->engine.Get("shop");
    return stack.ok() ? *stack : v1::Stack{};
  }

  bool Until(const std::function<bool()>& condition) {
    RealClock real;
    const absl::Time deadline = real.Now() + absl::Seconds(20);
    while (real.Now() < deadline) {
      if (condition()) return true;
      absl::SleepFor(absl::Milliseconds(2));
    }
    ADD_FAILURE() << "not in time; the stack is " << Stack().ShortDebugString();
    return false;
  }
  bool UntilState(v1::StackState state) {
    return Until([&] { return Stack().state() == state; });
  }
  bool IsRunning(const std::string& name) {
    const auto containers = runtime_.containers();
    const auto found = containers.find(name);
    return found != containers.end() &&
           found->second.state() == runtime::v1::CONTAINER_STATE_RUNNING;
  }
  void BringUp() {
    Apply();
    ASSERT_TRUE(Until([&] { return IsRunning("shop-db-1"); }));
    runtime_.SetHealth("shop-db-1", runtime::v1::Health::HEALTHY);
    ASSERT_TRUE(UntilState(v1::STACK_STATE_READY));
  }

  FakeClock clock_{absl::FromUnixSeconds(1'000'000)};
  FakeRuntime runtime_;
  FakeBuilder builder_;
  std::string directory_;
  v1::ApplyStackRequest request_;
  std::unique_ptr<Life> life_;
};

TEST_F(ConvergeTest, AStackComesUpInOrderAndTheSecondUpDoesNothing) {
  Apply();
  ASSERT_TRUE(Until([&] { return IsRunning("shop-db-1"); }));
  ASSERT_TRUE(UntilState(v1::STACK_STATE_WAITING));
  EXPECT_FALSE(IsRunning("shop-web-1"));
  EXPECT_THAT(Stack().message(), HasSubstr("waiting for db to be healthy"));
  runtime_.SetHealth("shop-db-1", runtime::v1::Health::HEALTHY);
  ASSERT_TRUE(UntilState(v1::STACK_STATE_READY));
  EXPECT_TRUE(IsRunning("shop-web-1"));
  const int64_t calls = runtime_.calls();
  const ApplyAnswer second = Apply();
  EXPECT_FALSE(second.changed);
  EXPECT_THAT(second.plan, IsEmpty());
  EXPECT_EQ(second.revision, 1);
  EXPECT_EQ(runtime_.calls(), calls) << "an unchanged stack is answered without asking the runtime";
}

TEST_F(ConvergeTest, AChangeRecreatesOneContainerAndSaysWhy) {
  BringUp();
  const std::string db = runtime_.containers()["shop-db-1"].id();
  request_.mutable_spec()->mutable_services(0)->mutable_container()->set_env(0, "A=2");
  const ApplyAnswer answer = Apply();
  ASSERT_EQ(answer.plan.size(), 2u);
  EXPECT_EQ(answer.plan[0].reason, "environment changed: A");
  ASSERT_TRUE(Until([&] {
    return IsRunning("shop-web-1") && runtime_.containers()["shop-web-1"].spec().env(0) == "A=2" &&
           Stack().state() == v1::STACK_STATE_READY;
  }));
  EXPECT_EQ(runtime_.containers()["shop-db-1"].id(), db);
  EXPECT_EQ(Stack().revision(), 2);
}

TEST_F(ConvergeTest, AnAnswerThatIsLostMakesNoSecondContainer) {
  runtime_.LoseAnswer("create");
  Apply();
  // The back-off passes.
  ASSERT_TRUE(Until([&] {
    clock_.Advance(absl::Milliseconds(100));
    return IsRunning("shop-db-1");
  }));
  runtime_.SetHealth("shop-db-1", runtime::v1::Health::HEALTHY);
  ASSERT_TRUE(Until([&] {
    clock_.Advance(absl::Milliseconds(100));
    return Stack().state() == v1::STACK_STATE_READY;
  }));
  int creates = 0;
  for (const std::string& line : runtime_.journal())
    creates += line.starts_with("create shop-") ? 1 : 0;
  EXPECT_EQ(creates, 2);
  EXPECT_EQ(runtime_.containers().size(), 2u);
}

TEST_F(ConvergeTest, APeerThatGoesAwayInTheMiddleIsWaitedForAndNotCalledAFailure) {
  runtime_.LoseAnswer("start");
  runtime_.LoseAnswer("create");
  Apply();
  ASSERT_TRUE(Until([&] { return !runtime_.containers().empty(); }));
  ASSERT_TRUE(UntilState(v1::STACK_STATE_WAITING));
  // The container whose answer was lost may have been seen by now: then its start is what waits.
  EXPECT_THAT(Stack().message(), ::testing::AnyOf(HasSubstr("the connection broke"),
                                                  HasSubstr("waiting for db to be healthy")));
}

TEST_F(ConvergeTest, WithoutTheRuntimeAStackIsStoredAndGoesOnByItself) {
  runtime_.GoAway();
  const ApplyAnswer answer = Apply();
  EXPECT_TRUE(answer.changed);
  EXPECT_THAT(answer.waiting, HasSubstr("waiting for runtime since"));
  ASSERT_TRUE(UntilState(v1::STACK_STATE_WAITING));
  EXPECT_THAT(life_->engine.WaitingFor("runtime"),
              ::testing::Contains(HasSubstr("stack shop: create network")));
  runtime_.ComeBack();
  ASSERT_TRUE(Until([&] { return IsRunning("shop-db-1"); }));
}

TEST_F(ConvergeTest, TheRuntimeGoingAwayLeavesWhatWasSeen) {
  BringUp();
  runtime_.GoAway();
  ASSERT_TRUE(Until([&] { return !life_->cache.Snapshot().synced; }));
  const v1::Stack stack = Stack();
  ASSERT_EQ(stack.tasks_size(), 2);
  EXPECT_EQ(stack.tasks(0).container().state(), runtime::v1::CONTAINER_STATE_RUNNING);
  EXPECT_TRUE(stack.tasks(0).has_observe_time());
  runtime_.Exit("shop-web-1", 1);
  runtime_.ComeBack();
  ASSERT_TRUE(Until([&] { return IsRunning("shop-web-1"); }));
}

TEST_F(ConvergeTest, WithoutTheBuilderAStackWaitsForItAndSaysSo) {
  builder_.GoAway();
  v1::ServiceSpec& web = *request_.mutable_spec()->mutable_services(0);
  web.mutable_build()->add_tags("web:1");
  web.mutable_build()->set_dockerfile_text("FROM x");
  Apply();
  ASSERT_TRUE(Until([&] { return IsRunning("shop-db-1"); }));
  runtime_.SetHealth("shop-db-1", runtime::v1::Health::HEALTHY);
  ASSERT_TRUE(UntilState(v1::STACK_STATE_WAITING));
  EXPECT_THAT(Stack().message(), HasSubstr("waiting for builder since"));
  builder_.ComeBack();
  life_->loop.Wake();
  ASSERT_TRUE(UntilState(v1::STACK_STATE_READY));
  EXPECT_EQ(runtime_.containers()["shop-web-1"].image_id(), "sha256:build1");
  EXPECT_EQ(builder_.builds().size(), 1u);
}

TEST_F(ConvergeTest, ABuildIsDoneOnceAndAgainOnlyOnDemand) {
  v1::ServiceSpec& web = *request_.mutable_spec()->mutable_services(0);
  web.mutable_build()->add_tags("web:1");
  BringUp();
  EXPECT_FALSE(Apply().changed);
  EXPECT_EQ(builder_.builds().size(), 1u);
  request_.set_rebuild(true);
  EXPECT_TRUE(Apply().changed);
  ASSERT_TRUE(
      Until([&] { return runtime_.containers()["shop-web-1"].image_id() == "sha256:build2"; }));
  EXPECT_EQ(builder_.builds().size(), 2u);
}

TEST_F(ConvergeTest, AServiceThatRunsWhatAnotherBuildsGetsTheNewImageAtOnce) {
  request_.mutable_spec()->mutable_services(1)->mutable_build()->add_tags("web:1");
  BringUp();
  EXPECT_EQ(runtime_.containers()["shop-web-1"].image_id(), "sha256:build1");
}

TEST_F(ConvergeTest, ABuildThatFailsIsNotTriedAgainBeforeTheNextUp) {
  builder_.FailWith("Dockerfile:3: RUN false: exited with 1");
  request_.mutable_spec()->mutable_services(0)->mutable_build()->add_tags("web:1");
  Apply();
  ASSERT_TRUE(Until([&] { return IsRunning("shop-db-1"); }));
  runtime_.SetHealth("shop-db-1", runtime::v1::Health::HEALTHY);
  ASSERT_TRUE(UntilState(v1::STACK_STATE_FAILED));
  EXPECT_THAT(Stack().message(), HasSubstr("Dockerfile:3: RUN false: exited with 1"));
  EXPECT_EQ(builder_.builds().size(), 1u);
  builder_.FailWith("");
  Apply();
  ASSERT_TRUE(UntilState(v1::STACK_STATE_READY));
  EXPECT_EQ(builder_.builds().size(), 2u);
}

TEST_F(ConvergeTest, AContextIsHandedOnToTheBuilder) {
  const std::string digest = Sha256("tar");
  auto incoming = *life_->contexts->Receive(digest);
  ASSERT_TRUE(incoming->Append("tar").ok());
  ASSERT_TRUE(incoming->Finish().ok());
  v1::ServiceSpec& web = *request_.mutable_spec()->mutable_services(0);
  web.mutable_build()->add_tags("web:1");
  web.mutable_build()->set_context_digest(digest);
  BringUp();
  EXPECT_THAT(builder_.contexts(), ElementsAre(digest));
}

TEST_F(ConvergeTest, AContextThatNobodySentFailsTheBuildWithAWayOut) {
  v1::ServiceSpec& web = *request_.mutable_spec()->mutable_services(0);
  web.mutable_build()->set_context_digest(Sha256("never sent"));
  Apply();
  ASSERT_TRUE(Until([&] { return IsRunning("shop-db-1"); }));
  runtime_.SetHealth("shop-db-1", runtime::v1::Health::HEALTHY);
  ASSERT_TRUE(UntilState(v1::STACK_STATE_FAILED));
  EXPECT_THAT(Stack().message(), HasSubstr("run `darse up` again"));
}

TEST_F(ConvergeTest, AMissingImageIsAFailureUntilItIsThere) {
  runtime_.RemoveImage("web:1");
  Apply();
  ASSERT_TRUE(Until([&] { return IsRunning("shop-db-1"); }));
  runtime_.SetHealth("shop-db-1", runtime::v1::Health::HEALTHY);
  ASSERT_TRUE(UntilState(v1::STACK_STATE_FAILED));
  EXPECT_THAT(Stack().message(), HasSubstr("no image web:1 here"));
  runtime_.AddImage("web:1", "sha256:late");
  ASSERT_TRUE(UntilState(v1::STACK_STATE_READY));
}

TEST_F(ConvergeTest, AMovedTagChangesNothingBeforeTheNextUp) {
  BringUp();
  const std::string before = runtime_.containers()["shop-web-1"].id();
  runtime_.AddImage("web:1", "sha256:web2");
  ASSERT_TRUE(Until([&] { return life_->cache.Snapshot().images.empty(); }));
  life_->loop.Wake();
  EXPECT_EQ(runtime_.containers()["shop-web-1"].id(), before);
  const ApplyAnswer answer = Apply();
  ASSERT_FALSE(answer.plan.empty());
  EXPECT_EQ(answer.plan[0].reason, "image changed");
  ASSERT_TRUE(
      Until([&] { return runtime_.containers()["shop-web-1"].image_id() == "sha256:web2"; }));
}

TEST_F(ConvergeTest, AStartThatFailsIsTriedAgainAfterABackOff) {
  runtime_.FailStart("shop-db-1", absl::FailedPreconditionError("port 80 is taken"));
  Apply();
  ASSERT_TRUE(UntilState(v1::STACK_STATE_FAILED));
  EXPECT_THAT(Stack().message(), HasSubstr("port 80 is taken"));
  EXPECT_FALSE(IsRunning("shop-db-1"));
  clock_.Advance(absl::Seconds(2));
  life_->loop.Wake();
  ASSERT_TRUE(Until([&] { return IsRunning("shop-db-1"); }));
}

TEST_F(ConvergeTest, DownRemovesEverythingInReverseOrderAndForgetsTheStack) {
  BringUp();
  ASSERT_TRUE(life_->engine.Delete("shop", false, std::nullopt).ok());
  ASSERT_TRUE(Until([&] { return absl::IsNotFound(life_->engine.Get("shop").status()); }));
  EXPECT_THAT(runtime_.containers(), IsEmpty());
  EXPECT_THAT(runtime_.networks(), IsEmpty());
  std::vector<std::string> deletes;
  for (const std::string& line : runtime_.journal()) {
    if (line.starts_with("delete")) deletes.push_back(line);
  }
  EXPECT_THAT(deletes,
              ElementsAre("delete shop-web-1", "delete shop-db-1", "delete network shop_default"));
  EXPECT_TRUE(absl::IsNotFound(life_->engine.Delete("shop", false, std::nullopt)));
}

TEST_F(ConvergeTest, ARestartIsDoneOnceForEachContainer) {
  BringUp();
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(life_->engine.Restart("shop", {}).ok());
  ASSERT_TRUE(Until([&] { return runtime_.journal().back() == "restart shop-db-1"; }));
  runtime_.SetHealth("shop-db-1", runtime::v1::Health::HEALTHY);
  ASSERT_TRUE(Until([&] { return runtime_.journal().back() == "restart shop-web-1"; }));
  ASSERT_TRUE(UntilState(v1::STACK_STATE_READY));
  EXPECT_TRUE(absl::IsInvalidArgument(life_->engine.Restart("shop", {"nobody"})));
}

TEST_F(ConvergeTest, AContainerStoppedByHandStaysStoppedUntilUp) {
  BringUp();
  runtime_.StopByUser("shop-web-1");
  ASSERT_TRUE(Until([&] {
    const v1::Stack stack = Stack();
    for (const v1::Task& task : stack.tasks()) {
      if (task.service() == "web" && task.state() == v1::TASK_STATE_STOPPED) return true;
    }
    return false;
  }));
  EXPECT_FALSE(IsRunning("shop-web-1"));
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(Apply().changed);
  ASSERT_TRUE(Until([&] { return IsRunning("shop-web-1"); }));
}

TEST_F(ConvergeTest, AContainerDeletedByHandIsMadeAgain) {
  BringUp();
  runtime_.DeleteByUser("shop-web-1");
  ASSERT_TRUE(Until([&] { return IsRunning("shop-web-1"); }));
}

TEST_F(ConvergeTest, TheNextLifeAdoptsWhatRunsAndDoublesNothing) {
  BringUp();
  const auto before = runtime_.containers();
  End();
  // Cancel() is for ever: the next life sees the same containers through a runtime of its own.
  FakeClock clock(clock_.Now());
  FakeRuntime next_runtime(clock);
  FakeBuilder next_builder(next_runtime, clock);
  next_runtime.AddImage("web:1", "sha256:web1");
  next_runtime.AddImage("db:1", "sha256:db1");
  for (const auto& [name, container] : before) {
    ASSERT_TRUE(next_runtime.CreateContainer(container.spec(), name).ok());
    ASSERT_TRUE(next_runtime.StartContainer(name).ok());
  }
  runtime::v1::CreateNetworkRequest network;
  network.set_name("shop_default");
  (*network.mutable_labels())[kHashLabel] = NetworkHash(request_.spec().networks(0));
  ASSERT_TRUE(next_runtime.CreateNetwork(network).ok());
  next_runtime.SetHealth("shop-db-1", runtime::v1::Health::HEALTHY);
  const size_t done = next_runtime.journal().size();
  Life life(directory_, next_runtime, next_builder, clock);
  ASSERT_TRUE(Until([&] {
    absl::StatusOr<v1::Stack> stack = life.engine.Get("shop");
    return stack.ok() && stack->state() == v1::STACK_STATE_READY;
  }));
  EXPECT_EQ(next_runtime.journal().size(), done) << "nothing was to be done";
  EXPECT_FALSE(life.engine.Apply(request_)->changed);
  next_runtime.Cancel();
  next_builder.Cancel();
}

TEST_F(ConvergeTest, ARequestWhoseContainerWasDeletedSinceIsNotMadeAgain) {
  BringUp();
  runtime::v1::ContainerSpec spec = runtime_.containers()["shop-web-1"].spec();
  // As a life that ended between the effect and its record would leave it.
  ASSERT_TRUE(life_->book
                  ->Update("shop",
                           [&](sqlite::Transaction&, DesiredStack& stack) -> absl::Status {
                             stack.tasks[{"web", 1}].request_id = "left over";
                             return absl::OkStatus();
                           })
                  .ok());
  spec.set_name("made-before");
  ASSERT_TRUE(runtime_.CreateContainer(spec, "left over").ok());
  runtime_.DeleteByUser("made-before");
  runtime_.DeleteByUser("shop-web-1");
  ASSERT_TRUE(Until([&] {
    clock_.Advance(absl::Milliseconds(100));
    return IsRunning("shop-web-1");
  }));
  request_.mutable_spec()->mutable_services(0)->mutable_container()->set_env(0, "A=3");
  Apply();
  ASSERT_TRUE(Until([&] {
    return IsRunning("shop-web-1") && runtime_.containers()["shop-web-1"].spec().env(0) == "A=3";
  }));
}

TEST_F(ConvergeTest, NamedServicesComeWithWhatTheyNeedAndLeaveTheOthers) {
  v1::ServiceSpec& other = *request_.mutable_spec()->add_services();
  other.set_name("other");
  other.mutable_container()->set_image("web:1");
  request_.add_services("web");
  BringUp();
  EXPECT_EQ(runtime_.containers().size(), 2u);
  request_.clear_services();
  request_.add_services("nobody");
  EXPECT_TRUE(absl::IsInvalidArgument(life_->engine.Apply(request_).status()));
}

TEST_F(ConvergeTest, ADependentThatAskedForItRestartsWithItsDependency) {
  request_.mutable_spec()->mutable_services(0)->mutable_depends_on(0)->set_restart(true);
  BringUp();
  clock_.Advance(absl::Seconds(1));
  request_.mutable_spec()->mutable_services(1)->mutable_container()->add_env("B=1");
  Apply();
  ASSERT_TRUE(Until([&] {
    const auto containers = runtime_.containers();
    const auto found = containers.find("shop-db-1");
    return found != containers.end() && found->second.spec().env_size() == 1 &&
           IsRunning("shop-db-1");
  }));
  runtime_.SetHealth("shop-db-1", runtime::v1::Health::HEALTHY);
  ASSERT_TRUE(Until([&] { return runtime_.journal().back() == "restart shop-web-1"; }));
}

}  // namespace
}  // namespace darse::scheduler

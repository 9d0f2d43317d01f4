#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "libs/base/clock.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"
#include "libs/sqlite/database.h"
#include "services/metrics/containers/runtime_loop.h"
#include "services/metrics/schema.h"

namespace darse::metrics {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

RuntimeEvent Event(const std::string& action, std::map<std::string, std::string> attributes) {
  attributes.insert({"name", "journal-web-1"});
  attributes.insert({"image", "web:2"});
  return {.kind = "container", .action = action, .id = "abc", .attributes = std::move(attributes)};
}
const std::map<std::string, std::string> kWeb = {
    {"darse.stack", "journal"}, {"darse.service", "web"}, {"darse.slot", "2"}};

TEST(MarkTest, ASubjectOutlivesItsContainer) {
  EXPECT_EQ(SubjectOf(kWeb, "anything"), "journal/web/2");
  EXPECT_EQ(SubjectOf({{"darse.stack", "journal"}, {"darse.service", "web"}}, "x"),
            "journal/web/1");
  EXPECT_EQ(SubjectOf({}, "alone"), "alone");
}

TEST(MarkTest, StartsStopsAndOomKillsAreMarked) {
  Deployments deployments;
  auto die = MarkOf(Event("die", {{"exitCode", "137"}}), deployments);
  ASSERT_TRUE(die.has_value());
  EXPECT_EQ(die->subject, "journal-web-1");
  EXPECT_EQ(die->text, "exit code 137");
  EXPECT_EQ(MarkOf(Event("start", kWeb), deployments)->text, "web:2");
  EXPECT_EQ(MarkOf(Event("oom", kWeb), deployments)->action, "oom");
  EXPECT_EQ(MarkOf(Event("exec_create", kWeb), deployments), std::nullopt);
  RuntimeEvent image = Event("start", {});
  image.kind = "image";
  EXPECT_EQ(MarkOf(image, deployments), std::nullopt);
}

TEST(MarkTest, ADeployIsAContainerWithAnotherConfiguration) {
  Deployments deployments;
  std::map<std::string, std::string> attributes = kWeb;
  attributes["darse.config_hash"] = "h1";
  EXPECT_EQ(MarkOf(Event("create", attributes), deployments)->action, "deploy");
  EXPECT_EQ(MarkOf(Event("create", attributes), deployments), std::nullopt);
  attributes["darse.config_hash"] = "h2";
  EXPECT_EQ(MarkOf(Event("create", attributes), deployments)->text, "web:2");
  EXPECT_EQ(MarkOf(Event("create", kWeb), deployments), std::nullopt);
}

// A runtime whose log can be cut and whose connection can break.
class FakeRuntimeClient final : public RuntimeClient {
 public:
  absl::StatusOr<std::vector<KnownContainer>> ListContainers() override {
    absl::MutexLock lock(&mu_);
    if (!present_) return absl::UnavailableError("gone");
    return containers_;
  }
  absl::StatusOr<int64_t> NewestEvent() override {
    absl::MutexLock lock(&mu_);
    if (!present_) return absl::UnavailableError("gone");
    return newest_;
  }
  absl::Status WatchEvents(
      int64_t after,
      const std::function<absl::Status(const std::vector<RuntimeEvent>&)>& handle) override {
    for (;;) {
      std::vector<RuntimeEvent> batch;
      {
        absl::MutexLock lock(&mu_);
        if (after + 1 < oldest_) return absl::OutOfRangeError("trimmed");
        auto changed = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
          return cancelled_ || !present_ || newest_ > after;
        };
        mu_.Await(absl::Condition(&changed));
        if (cancelled_) return absl::CancelledError("stop");
        if (!present_) return absl::UnavailableError("gone");
        for (const RuntimeEvent& event : events_) {
          if (event.sequence > after) batch.push_back(event);
        }
      }
      RETURN_IF_ERROR(handle(batch));
      after = batch.back().sequence;
    }
  }
  void Cancel() override {
    absl::MutexLock lock(&mu_);
    cancelled_ = true;
  }
  bool WaitUntilPresent(absl::Time deadline) override {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithDeadline(absl::Condition(&present_), deadline);
  }

  void SetPresent(bool present) {
    absl::MutexLock lock(&mu_);
    present_ = present;
    cancelled_ = false;
  }
  void Append(const std::string& action) {
    absl::MutexLock lock(&mu_);
    RuntimeEvent event = Event(action, kWeb);
    event.sequence = ++newest_;
    event.time = absl::FromUnixSeconds(newest_);
    events_.push_back(event);
  }
  void TrimAll() {
    absl::MutexLock lock(&mu_);
    events_.clear();
    oldest_ = newest_ + 1;
  }
  void SetContainers(std::vector<KnownContainer> containers) {
    absl::MutexLock lock(&mu_);
    containers_ = std::move(containers);
  }

 private:
  absl::Mutex mu_;
  bool present_ ABSL_GUARDED_BY(mu_) = true;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  int64_t newest_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t oldest_ ABSL_GUARDED_BY(mu_) = 1;
  std::vector<RuntimeEvent> events_ ABSL_GUARDED_BY(mu_);
  std::vector<KnownContainer> containers_ ABSL_GUARDED_BY(mu_);
};

class RuntimeLoopTest : public testing::Test {
 protected:
  RuntimeLoopTest() {
    char name[] = "/tmp/darse-containers-XXXXXX";
    directory_ = ::mkdtemp(name);
    auto db = sqlite::Database::Open(directory_ + "/m.db", kMigrations, {.durable = false});
    EXPECT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
  }
  ~RuntimeLoopTest() override {
    loop_.reset();
    db_.reset();
    RemoveTree(directory_).IgnoreError();
  }
  void Start() {
    loop_.reset();
    client_.SetPresent(true);
    auto loop = RuntimeLoop::Start(*db_, client_, clock_);
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = *std::move(loop);
  }
  bool Reaches(int64_t cursor) {
    for (absl::Time end = RealClock().Now() + absl::Seconds(20); RealClock().Now() < end;) {
      if (loop_->cursor() == cursor && !loop_->containers()->empty()) return true;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return false;
  }
  std::vector<std::string> Marks() {
    std::vector<std::string> actions;
    absl::Status read = db_->Read([&](sqlite::Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(std::vector<Mark> marks, MarkStore().List(tx, "", absl::UnixEpoch(),
                                                                 absl::FromUnixSeconds(1e6), 100));
      for (const Mark& mark : marks) actions.push_back(mark.action);
      return absl::OkStatus();
    });
    EXPECT_TRUE(read.ok()) << read;
    return actions;
  }

  std::string directory_;
  RealClock clock_;
  FakeRuntimeClient client_;
  std::unique_ptr<sqlite::Database> db_;
  std::unique_ptr<RuntimeLoop> loop_;
};

TEST_F(RuntimeLoopTest, EventsAreMarkedExactlyOnceOverRestartsOfBoth) {
  client_.SetContainers({{.id = "abc", .subject = "journal/web/2", .name = "journal-web-1"}});
  Start();
  ASSERT_TRUE(Reaches(0));
  client_.Append("start");
  client_.Append("die");
  ASSERT_TRUE(Reaches(2));
  loop_.reset();
  client_.Append("start");
  client_.SetPresent(false);
  Start();
  client_.Append("oom");
  ASSERT_TRUE(Reaches(4));
  EXPECT_THAT(Marks(), ElementsAre("start", "die", "start", "oom"));
}

TEST_F(RuntimeLoopTest, ATrimmedLogIsGoneOnWithFromItsEnd) {
  client_.SetContainers({{.id = "abc", .name = "n"}});
  Start();
  ASSERT_TRUE(Reaches(0));
  client_.Append("start");
  ASSERT_TRUE(Reaches(1));
  loop_.reset();
  client_.Append("die");
  client_.Append("start");
  client_.TrimAll();
  Start();
  ASSERT_TRUE(Reaches(3));
  client_.Append("oom");
  ASSERT_TRUE(Reaches(4));
  EXPECT_THAT(Marks(), ElementsAre("start", "oom"));
}

TEST_F(RuntimeLoopTest, ContainersAreKnownAgainBeforeTheRuntimeAnswers) {
  KnownContainer web{.id = "abc",
                     .subject = "journal/web/2",
                     .name = "journal-web-1",
                     .image = "web:2",
                     .stack = "journal",
                     .service = "web",
                     .state = "running",
                     .health = "healthy",
                     .start_time = absl::FromUnixSeconds(5),
                     .restart_count = 2,
                     .cgroup_path = "darse/abc",
                     .pid = 42,
                     .host_network = false,
                     .host_interfaces = {"v1", "v2"}};
  client_.SetContainers({web});
  Start();
  ASSERT_TRUE(Reaches(0));
  loop_.reset();
  client_.SetPresent(false);
  auto loop = RuntimeLoop::Start(*db_, client_, clock_);
  ASSERT_TRUE(loop.ok());
  EXPECT_THAT(*(*loop)->containers(), ElementsAre(web));
}

TEST_F(RuntimeLoopTest, MarksAreTrimmedToTheNewest) {
  ASSERT_TRUE(db_->Write([&](sqlite::Transaction& tx) -> absl::Status {
                   MarkStore store;
                   for (int i = 1; i <= 10; ++i) {
                     RETURN_IF_ERROR(store.Insert(
                         tx, {.sequence = i, .time = absl::FromUnixSeconds(i), .action = "x"}));
                   }
                   RETURN_IF_ERROR(store.Trim(tx, 20));
                   return store.Trim(tx, 3);
                 })
                  .ok());
  EXPECT_EQ(Marks().size(), 3u);
}

}  // namespace
}  // namespace darse::metrics

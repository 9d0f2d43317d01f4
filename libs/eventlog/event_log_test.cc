#include "libs/eventlog/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EventLogTest : public testing::Test {
 protected:
  EventLogTest() {
    char name[] = "/tmp/darse-eventlog-XXXXXX";
    directory_ = ::mkdtemp(name);
    Open();
  }
  ~EventLogTest() override { RemoveTree(directory_).IgnoreError(); }

  void Open() {
    log_.reset();
    db_.reset();
    const sqlite::Migration migrations[] = {{1, EventLog::kSchema}};
    auto db = sqlite::Database::Open(directory_ + "/log.db", migrations);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
    log_ = std::make_unique<EventLog>(*db_, clock_);
  }
  absl::Status Append(const std::string& id, const std::string& kind = "container") {
    return db_->Write([&](sqlite::Transaction& tx) {
      return log_->Append(tx, {.kind = kind,
                               .action = "start",
                               .id = id,
                               .attributes = {{"name", "we\"b\n"}},
                               .actor = "uid=0 pid=1"});
    });
  }
  std::vector<std::string> Ids(int64_t after, int max = 100,
                               const std::vector<std::string>& kinds = {}) {
    auto events = log_->Read(after, max, kinds);
    EXPECT_TRUE(events.ok()) << events.status();
    std::vector<std::string> ids;
    if (events.ok()) {
      for (const Event& event : *events) ids.push_back(event.id);
    }
    return ids;
  }

  std::string directory_;
  FakeClock clock_{absl::FromUnixSeconds(1000)};
  std::unique_ptr<sqlite::Database> db_;
  std::unique_ptr<EventLog> log_;
};

TEST_F(EventLogTest, AnEventIsReadAsItWasWritten) {
  ASSERT_TRUE(Append("a").ok());
  auto events = log_->Read(0, 10);
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->size(), 1u);
  const Event& event = events->front();
  EXPECT_EQ(event.sequence, 1);
  EXPECT_EQ(event.time, absl::FromUnixSeconds(1000));
  EXPECT_EQ(event.kind, "container");
  EXPECT_EQ(event.action, "start");
  EXPECT_EQ(event.id, "a");
  EXPECT_THAT(event.attributes, ElementsAre(std::pair("name", "we\"b\n")));
  EXPECT_EQ(event.actor, "uid=0 pid=1");
}

TEST_F(EventLogTest, ReadsGoOnFromACursor) {
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(Append(id).ok());
  EXPECT_THAT(Ids(0, 2), ElementsAre("a", "b"));
  EXPECT_THAT(Ids(2, 2), ElementsAre("c", "d"));
  EXPECT_THAT(Ids(4), IsEmpty());
}

TEST_F(EventLogTest, KindsAreFiltered) {
  ASSERT_TRUE(Append("a").ok());
  ASSERT_TRUE(Append("b", "image").ok());
  ASSERT_TRUE(Append("c").ok());
  EXPECT_THAT(Ids(0, 1, {"image"}), ElementsAre("b"));
}

TEST_F(EventLogTest, AnEventOfAFailedTransactionIsNotThere) {
  absl::Status status = db_->Write([&](sqlite::Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(log_->Append(tx, {.kind = "container", .action = "start", .id = "x"}));
    return absl::AbortedError("no");
  });
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(Ids(0), IsEmpty());
}

TEST_F(EventLogTest, SequencesGoOnAfterReopeningAndTrimming) {
  ASSERT_TRUE(Append("a").ok());
  ASSERT_TRUE(Append("b").ok());
  ASSERT_TRUE(log_->Trim(0).ok());
  Open();
  auto position = log_->Position();
  ASSERT_TRUE(position.ok());
  EXPECT_EQ(position->newest, 2);
  EXPECT_EQ(position->oldest, 3);
  ASSERT_TRUE(Append("c").ok());
  EXPECT_EQ(log_->Read(2, 10)->front().sequence, 3);
}

TEST_F(EventLogTest, ACursorBeforeTheOldestIsOutOfRange) {
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(Append(id).ok());
  ASSERT_TRUE(log_->Trim(1).ok());
  absl::Status status = log_->Read(1, 10).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Reason(status), "EVENTS_TRIMMED");
  EXPECT_THAT(Ids(2), ElementsAre("c"));
}

TEST_F(EventLogTest, ACursorOfALogThatWasLostIsOutOfRange) {
  ASSERT_TRUE(Append("a").ok());
  EXPECT_EQ(log_->Read(7, 10).status().code(), absl::StatusCode::kOutOfRange);
}

TEST_F(EventLogTest, AReaderOfEventsThatAPowerLossTookBackGoesOnWithTheFirstOneAfterIt) {
  for (const char* id : {"a", "b"}) ASSERT_TRUE(Append(id).ok());
  // "c" and "d" were read, as 3 and 4, and are gone.
  ASSERT_TRUE(log_->AppendFirst({.kind = "runtime", .action = "start", .id = "first"}).ok());
  EXPECT_THAT(Ids(4), ElementsAre("first"));
  ASSERT_TRUE(Append("e").ok());
  EXPECT_THAT(Ids(2), ElementsAre("first", "e"));
  EXPECT_GT(log_->Position()->newest, EventLog::kMostTakenBack);
}

TEST_F(EventLogTest, SubscribersAreWokenUntilTheyLeave) {
  std::atomic<int> woken{0};
  auto subscription = log_->Subscribe([&] { ++woken; });
  ASSERT_TRUE(Append("a").ok());
  EXPECT_TRUE(log_->WaitFor(0, absl::Now() + absl::Seconds(10)));
  EXPECT_EQ(woken.load(), 1);
  subscription.reset();
  ASSERT_TRUE(Append("b").ok());
  EXPECT_EQ(woken.load(), 1);
}

TEST_F(EventLogTest, SubscribersAreWokenOnlyForWhatTheyWant) {
  std::atomic<int> woken{0};
  auto subscription =
      log_->Subscribe([&] { ++woken; }, [](const NewEvent& event) { return event.id == "b"; });
  ASSERT_TRUE(Append("a").ok());
  EXPECT_EQ(woken.load(), 0);
  ASSERT_TRUE(Append("b").ok());
  EXPECT_EQ(woken.load(), 1);
}

TEST_F(EventLogTest, WaitForEndsWithTheNextEventOrTheDeadline) {
  EXPECT_FALSE(log_->WaitFor(0, absl::Now()));
  std::thread writer([&] { EXPECT_TRUE(Append("a").ok()); });
  EXPECT_TRUE(log_->WaitFor(0, absl::Now() + absl::Seconds(10)));
  writer.join();
  EXPECT_FALSE(log_->WaitFor(1, absl::Now()));
  Open();
  EXPECT_TRUE(log_->WaitFor(0, absl::Now()));
}

}  // namespace
}  // namespace darse

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "libs/base/status_macros.h"
#include "libs/os/files.h"
#include "libs/sqlite/database.h"
#include "services/metrics/history/history_engine.h"
#include "services/metrics/schema.h"

namespace darse::metrics {
namespace {

using testing::SizeIs;

// A multiple of every window, so that tests can count slots.
constexpr int64_t kT0 = 1'728'000'000;

class HistoryTest : public testing::Test {
 protected:
  HistoryTest() {
    char name[] = "/tmp/darse-history-XXXXXX";
    directory_ = ::mkdtemp(name);
    Open();
  }
  ~HistoryTest() override {
    history_.reset();
    db_.reset();
    RemoveTree(directory_).IgnoreError();
  }
  void Open(int64_t limit = int64_t{64} << 20) {
    history_.reset();
    db_.reset();
    auto db = sqlite::Database::Open(directory_ + "/metrics.db", kMigrations, {.durable = false});
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
    history_ = std::make_unique<HistoryEngine>(*db_, limit);
  }
  // One second of one container.
  void Add(int64_t second, double cpu, const std::string& subject = "web") {
    SampledFrame frame;
    frame.reading.time = absl::FromUnixSeconds(second);
    frame.reading.containers.push_back({.container = {.id = subject, .subject = subject}});
    frame.frame.add_containers()->set_cpu_percent(cpu);
    frame.has_rates = {true};
    history_->Add(frame);
  }
  HistoryAnswer Query(int64_t start, int64_t end, int step = 0,
                      const std::string& subject = "web") {
    auto answer = history_->Query({.subject = subject,
                                   .metric = "cpu_percent",
                                   .start = absl::FromUnixSeconds(start),
                                   .end = absl::FromUnixSeconds(end),
                                   .step = absl::Seconds(step)});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *answer : HistoryAnswer();
  }

  std::string directory_;
  std::unique_ptr<sqlite::Database> db_;
  std::unique_ptr<HistoryEngine> history_;
};

TEST_F(HistoryTest, SecondsAreAnsweredAsTheyCameBeforeAndAfterTheyAreWritten) {
  for (int i = 0; i < 300; ++i) Add(kT0 + i, i);
  for (int round = 0; round < 2; ++round) {
    HistoryAnswer answer = Query(kT0 + 10, kT0 + 290);
    EXPECT_EQ(answer.resolution, absl::Seconds(1));
    ASSERT_THAT(answer.points, SizeIs(280));
    EXPECT_EQ(answer.points[0].time, absl::FromUnixSeconds(kT0 + 10));
    EXPECT_EQ(answer.points[0].summary.average(), 10);
    EXPECT_EQ(answer.points[279].summary.average(), 289);
    ASSERT_TRUE(history_->Flush(true).ok());
  }
}

TEST_F(HistoryTest, AGapStaysAGap) {
  for (int i = 0; i < 10; ++i) Add(kT0 + i, 1);
  for (int i = 100; i < 110; ++i) Add(kT0 + i, 1);
  HistoryAnswer answer = Query(kT0, kT0 + 200);
  ASSERT_THAT(answer.points, SizeIs(20));
  EXPECT_EQ(answer.points[9].time, absl::FromUnixSeconds(kT0 + 9));
  EXPECT_EQ(answer.points[10].time, absl::FromUnixSeconds(kT0 + 100));
  EXPECT_THAT(Query(kT0, kT0 + 200, 10).points, SizeIs(2));
}

TEST_F(HistoryTest, ACoarserStepHasMeanAndExtremes) {
  for (int i = 0; i < 1200; ++i) Add(kT0 + i, i % 60);
  for (int step : {10, 60, 900}) {
    HistoryAnswer answer = Query(kT0, kT0 + 1200, step);
    EXPECT_EQ(answer.resolution, absl::Seconds(step));
    EXPECT_THAT(answer.points, SizeIs((1200 + step - 1) / step));
  }
  HistoryPoint minute = Query(kT0, kT0 + 1200, 60).points[3];
  EXPECT_NEAR(minute.summary.average(), 29.5, 0.01);
  EXPECT_EQ(minute.summary.minimum, 0);
  EXPECT_EQ(minute.summary.maximum, 59);
  EXPECT_EQ(minute.summary.count, 60);
  // No resolution has 30 s: it is made of the 10 s ones.
  EXPECT_THAT(Query(kT0, kT0 + 1200, 30).points, SizeIs(40));
}

TEST_F(HistoryTest, AWindowGoesOnAfterACrash) {
  for (int i = 0; i < 50; ++i) Add(kT0 + i, 10);
  ASSERT_TRUE(history_->Flush(true).ok());
  Add(kT0 + 50, 10);  // Not written: lost.
  Open();
  for (int i = 55; i < 100; ++i) Add(kT0 + i, 20);
  ASSERT_TRUE(history_->Flush(true).ok());
  Open();
  EXPECT_THAT(Query(kT0, kT0 + 100).points, SizeIs(95));
  HistoryAnswer minute = Query(kT0, kT0 + 100, 60);
  ASSERT_THAT(minute.points, SizeIs(2));
  EXPECT_EQ(minute.points[0].summary.count, 55);
  EXPECT_NEAR(minute.points[0].summary.average(), (50 * 10 + 5 * 20) / 55.0, 0.01);
}

TEST_F(HistoryTest, TheSameSecondTwiceIsKeptOnce) {
  Add(kT0, 1);
  Add(kT0, 2);
  Add(kT0 - 5, 3);
  HistoryAnswer answer = Query(kT0 - 10, kT0 + 10);
  ASSERT_THAT(answer.points, SizeIs(1));
  EXPECT_EQ(answer.points[0].summary.average(), 1);
}

TEST_F(HistoryTest, SeriesAreListedInPages) {
  Add(kT0, 1, "a");
  Add(kT0, 1, "b");
  ASSERT_TRUE(history_->Flush(false).ok());
  auto all = history_->ListSeries("", {}, 1000).value();
  ASSERT_GE(all.size(), 20u);
  auto first = history_->ListSeries("", {}, 5).value();
  auto rest = history_->ListSeries("", first.back(), 1000).value();
  EXPECT_EQ(first.size() + rest.size(), all.size());
  EXPECT_EQ(rest[0].metric, all[5].metric);
  EXPECT_EQ(history_->ListSeries("b", {}, 1000)->size(), all.size() / 2);
}

TEST_F(HistoryTest, AnUnknownSeriesIsNotFound) {
  EXPECT_EQ(history_
                ->Query({.subject = "nobody",
                         .metric = "cpu_percent",
                         .start = absl::FromUnixSeconds(kT0),
                         .end = absl::FromUnixSeconds(kT0 + 1)})
                .status()
                .code(),
            absl::StatusCode::kNotFound);
}

TEST_F(HistoryTest, TheLimitIsKeptAndTheFinestGoesFirst) {
  constexpr int64_t kLimit = 1 << 20;
  Open(kLimit);
  // Noise compresses badly: about 40 hours of it would take several times the limit.
  int64_t second = kT0;
  for (int hour = 0; hour < 40; ++hour) {
    for (int i = 0; i < 3600; ++i, ++second) {
      for (const char* subject : {"a", "b"}) {
        Add(second, std::abs(std::sin(static_cast<double>(second) * 12.9898)) * 400, subject);
      }
    }
    ASSERT_TRUE(history_->Flush(true).ok());
    ASSERT_TRUE(history_->Trim().ok());
    auto totals = history_->GetTotals();
    ASSERT_TRUE(totals.ok());
    ASSERT_LE(totals->bytes, kLimit);
  }
  // The last minutes are there by the second, the beginning is there, but coarsely.
  HistoryAnswer recent = Query(second - 60, second, 0, "a");
  EXPECT_EQ(recent.resolution, absl::Seconds(1));
  EXPECT_THAT(recent.points, SizeIs(60));
  HistoryAnswer old = Query(kT0, kT0 + 3600, 0, "a");
  EXPECT_GT(old.resolution, absl::Seconds(1));
  EXPECT_EQ(old.points.front().time, absl::FromUnixSeconds(kT0));
}

TEST_F(HistoryTest, AQuietContainerTakesLittleRoom) {
  for (int i = 0; i < 3600; ++i) Add(kT0 + i, 0.5);
  ASSERT_TRUE(history_->Flush(true).ok());
  auto totals = history_->GetTotals();
  ASSERT_TRUE(totals.ok());
  // 12 metrics, an hour by the second and the roll-ups.
  EXPECT_GT(totals->samples, 12 * 3600);
  EXPECT_LT(totals->bytes, 120'000);
}

}  // namespace
}  // namespace darse::metrics

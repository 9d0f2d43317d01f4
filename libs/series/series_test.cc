#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "libs/series/chunk.h"
#include "libs/series/retention_policy.h"
#include "libs/series/rollup.h"
#include "libs/series/stream.h"

namespace darse::series {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string Encode(const std::vector<SlotValue>& values) {
  StreamEncoder encoder;
  for (const SlotValue& value : values) encoder.Append(value.slot, value.value);
  return encoder.Finish();
}

TEST(StreamTest, GapsStayGaps) {
  std::vector<SlotValue> values = {{2, 5}, {3, 5}, {7, 5}, {8, -100}, {119, 1'000'000'000'000}};
  EXPECT_EQ(DecodeStream(Encode(values), 120).value(), values);
}

TEST(StreamTest, NothingIsNothing) {
  EXPECT_EQ(Encode({}), "");
  EXPECT_THAT(DecodeStream("", 120).value(), IsEmpty());
}

TEST(StreamTest, ZeroAtTheBeginningIsAValue) {
  std::vector<SlotValue> values = {{0, 0}, {1, 0}, {2, 0}};
  EXPECT_EQ(DecodeStream(Encode(values), 3).value(), values);
}

TEST(StreamTest, FinishingInBetweenChangesNothing) {
  StreamEncoder encoder;
  for (int i = 0; i < 50; ++i) {
    encoder.Append(i, i / 10);
    EXPECT_EQ(DecodeStream(encoder.Finish(), 50)->size(), static_cast<size_t>(i + 1));
  }
}

TEST(StreamTest, AnIdleSeriesCostsAFewBytes) {
  std::vector<SlotValue> values;
  for (int i = 0; i < 120; ++i) values.push_back({i, 123456});
  EXPECT_LE(Encode(values).size(), 6u);
}

TEST(StreamTest, RandomStreamsComeBack) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 500; ++round) {
    std::vector<SlotValue> values;
    int64_t value = 0;
    for (int slot = 0; slot < 180; ++slot) {
      if (random() % 8 == 0) continue;
      if (random() % 2 == 0) value += static_cast<int64_t>(random() % 100'000) - 50'000;
      values.push_back({slot, value});
    }
    ASSERT_EQ(DecodeStream(Encode(values), 180).value(), values);
  }
}

TEST(StreamTest, RandomBytesAreRefusedOrDecodedWithinBounds) {
  std::mt19937_64 random(8);
  for (int round = 0; round < 5000; ++round) {
    std::string bytes;
    for (int i = random() % 20; i > 0; --i) bytes.push_back(static_cast<char>(random()));
    auto decoded = DecodeStream(bytes, 120);
    if (!decoded.ok()) continue;
    for (const SlotValue& value : *decoded) {
      ASSERT_GE(value.slot, 0);
      ASSERT_LT(value.slot, 120);
    }
  }
}

TEST(ChunkTest, MetricsOfBothKindsComeBackInTheirUnits) {
  MetricEncoder raw(0.01, false), rolled(1024, true);
  raw.Append(0, Summary::Of(12.344));
  raw.Append(5, Summary::Of(99.9));
  Summary summary = Summary::Of(2048);
  summary.Merge(Summary::Of(8192));
  rolled.Append(3, summary);
  SlotSummary open{4, Summary::Of(1024)};
  std::string blob;
  PutMetric(blob, 7, raw.Finish(nullptr));
  PutMetric(blob, 300, rolled.Finish(&open));

  auto metrics = SplitChunk(blob);
  ASSERT_TRUE(metrics.ok());
  ASSERT_EQ(metrics->size(), 2u);
  auto values = DecodeMetric(metrics->at(7), 0.01, kResolutions[0]).value();
  ASSERT_EQ(values.size(), 2u);
  EXPECT_EQ(values[1].slot, 5);
  EXPECT_NEAR(values[0].summary.average(), 12.34, 1e-9);
  auto slots = DecodeMetric(metrics->at(300), 1024, kResolutions[1]).value();
  ASSERT_EQ(slots.size(), 2u);
  EXPECT_EQ(slots[0].slot, 3);
  EXPECT_EQ(slots[0].summary.average(), 5120);
  EXPECT_EQ(slots[0].summary.minimum, 2048);
  EXPECT_EQ(slots[0].summary.maximum, 8192);
  EXPECT_EQ(slots[0].summary.count, 2);
  EXPECT_EQ(slots[1].summary.average(), 1024);
}

TEST(ChunkTest, ACutOffChunkIsDataLoss) {
  MetricEncoder raw(1, false);
  for (int i = 0; i < 20; ++i) raw.Append(i, Summary::Of(i * i));
  std::string blob;
  PutMetric(blob, 1, raw.Finish(nullptr));
  for (size_t size = 1; size < blob.size(); ++size) {
    EXPECT_FALSE(SplitChunk(absl::string_view(blob).substr(0, size)).ok()) << size;
  }
}

TEST(SummaryTest, MergingKeepsExtremesAndWeighsByCount) {
  Summary summary;
  summary.Merge({.sum = 30, .minimum = 5, .maximum = 15, .count = 3});
  summary.Merge(Summary::Of(50));
  summary.Merge({});
  EXPECT_EQ(summary.average(), 20);
  EXPECT_EQ(summary.minimum, 5);
  EXPECT_EQ(summary.maximum, 50);
  EXPECT_EQ(summary.count, 4);
}

TEST(ResolutionTest, EachIsAWholeNumberOfTheOneBefore) {
  for (int i = 1; i < kResolutionCount; ++i) {
    EXPECT_EQ(kResolutions[i].seconds % kResolutions[i - 1].seconds, 0);
  }
  EXPECT_EQ(kResolutions[1].WindowStart(1'800'000'005), 1'800'000'000);
  EXPECT_EQ(kResolutions[1].Slot(1'800'000'025), 2);
}

TEST(RetentionTest, WhatFitsIsKept) { EXPECT_EQ(PlanTrim({10, 20, 30, 40}, 100), std::nullopt); }

TEST(RetentionTest, TheFinestGoesFirst) {
  EXPECT_EQ(PlanTrim({900, 50, 30, 40}, 1000), (Trim{0, 860}));
}

TEST(RetentionTest, TheFinestKeepsItsShare) {
  EXPECT_EQ(PlanTrim({300, 900, 30, 40}, 1000), (Trim{0, 250}));
  EXPECT_EQ(PlanTrim({250, 900, 30, 40}, 1000), (Trim{1, 660}));
}

TEST(RetentionTest, RepeatedTrimmingAlwaysEndsWithinTheLimit) {
  std::mt19937_64 random(9);
  for (int round = 0; round < 1000; ++round) {
    Usage usage;
    for (int64_t& bytes : usage) bytes = static_cast<int64_t>(random() % 2000);
    int steps = 0;
    while (auto trim = PlanTrim(usage, 1000)) {
      ASSERT_LT(trim->down_to, usage[trim->resolution]);
      usage[trim->resolution] = trim->down_to;
      ASSERT_LE(++steps, kResolutionCount);
    }
    EXPECT_LE(usage[0] + usage[1] + usage[2] + usage[3], 1000);
  }
}

}  // namespace
}  // namespace darse::series

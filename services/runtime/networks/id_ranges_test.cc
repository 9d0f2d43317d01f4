#include "services/runtime/networks/id_ranges.h"

#include <set>

#include "gtest/gtest.h"

namespace darse::runtime {
namespace {

TEST(IdRangesTest, NoTwoOverlapUntilAllAreTaken) {
  IdRanges ranges;
  std::set<uint32_t> taken;
  for (uint32_t i = 0; i < kIdRanges; ++i) {
    absl::StatusOr<uint32_t> first = ranges.Take();
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_EQ((*first - kFirstId) % kIdsOfOne, 0u);
    EXPECT_TRUE(taken.insert(*first).second);
  }
  EXPECT_LE(*taken.rbegin() + (kIdsOfOne - 1), 0x7fff'ffffu);
  EXPECT_EQ(ranges.Take().status().code(), absl::StatusCode::kResourceExhausted);
  ranges.Return(*taken.begin());
  EXPECT_EQ(*ranges.Take(), *taken.begin());
}

TEST(IdRangesTest, ARangeIsFreeWhenItsLastUserReturnsIt) {
  IdRanges ranges;
  ranges.Share(kFirstId);
  ranges.Share(kFirstId);
  ranges.Return(kFirstId);
  EXPECT_NE(*ranges.Take(), kFirstId);
  ranges.Return(kFirstId);
  for (uint32_t i = 0; i < kIdRanges - 1; ++i) {
    if (*ranges.Take() == kFirstId) return;
  }
  FAIL() << "it did not come back";
}

}  // namespace
}  // namespace darse::runtime

#include "services/runtime/containers/change_hub.h"

#include <algorithm>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace darse::runtime {
namespace {

TEST(ChangeHubTest, WakesWhoWaitsForThisContainerOrForAny) {
  ChangeHub hub;
  int mine = 0, any = 0, other = 0;
  auto a = hub.Subscribe("a", [&] { ++mine; });
  auto all = hub.Subscribe("", [&] { ++any; });
  auto b = hub.Subscribe("b", [&] { ++other; });
  hub.Notify("a");
  EXPECT_EQ(mine, 1);
  EXPECT_EQ(any, 1);
  EXPECT_EQ(other, 0);
}

TEST(ChangeHubTest, DroppedSubscriptionIsNotWoken) {
  ChangeHub hub;
  int woken = 0;
  hub.Subscribe("a", [&] { ++woken; }).reset();
  hub.Notify("a");
  EXPECT_EQ(woken, 0);
}

TEST(SerialPoolTest, WorkForOneKeyKeepsItsOrder) {
  std::vector<int> order;
  {
    SerialPool pool(4);
    for (int i = 0; i < 100; ++i) pool.Post("key", [&order, i] { order.push_back(i); });
  }
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(SerialPoolTest, WorkForAnotherKeyDoesNotWait) {
  absl::Notification go, done;
  SerialPool pool(2);
  pool.Post("slow", [&] { go.WaitForNotification(); });
  pool.Post("quick", [&] { done.Notify(); });
  EXPECT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(5)));
  go.Notify();
}

TEST(KeyedLocksTest, DifferentKeysAreHeldAtTheSameTime) {
  KeyedLocks locks;
  KeyedLocks::Hold a = locks.Lock("a");
  KeyedLocks::Hold b = locks.Lock("b");
}

TEST(KeyedLocksTest, OneKeyHasOneHolder) {
  KeyedLocks locks;
  absl::Notification taken;
  std::thread second;
  {
    KeyedLocks::Hold hold = locks.Lock("a");
    second = std::thread([&] {
      KeyedLocks::Hold mine = locks.Lock("a");
      taken.Notify();
    });
    EXPECT_FALSE(taken.WaitForNotificationWithTimeout(absl::Milliseconds(20)));
  }
  EXPECT_TRUE(taken.WaitForNotificationWithTimeout(absl::Seconds(5)));
  second.join();
}

}  // namespace
}  // namespace darse::runtime

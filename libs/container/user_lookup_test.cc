#include "libs/container/user_lookup.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::container {
namespace {

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\nbroken line\nbob:x:1000:1001::/home/bob:/bin/sh\n"
    "evil:x:4294967295:0::/:/bin/sh\n5:x:77:78::/five:/bin/sh\n";
constexpr char kGroup[] = "root:x:0:\nwheel:x:10:root,bob\nbob:x:1001:bob\naudio:x:29:bobby\n";

TEST(UserLookupTest, NamesNumbersAndGroups) {
  absl::StatusOr<Identity> bob = LookUpUser("bob", kPasswd, kGroup);
  ASSERT_TRUE(bob.ok()) << bob.status();
  EXPECT_EQ(*bob, (Identity{1000, 1001, {10}, "/home/bob"}));
  EXPECT_EQ(*LookUpUser("1000", kPasswd, kGroup), *bob);
  EXPECT_EQ(*LookUpUser("bob:audio", kPasswd, kGroup), (Identity{1000, 29, {}, "/home/bob"}));
  EXPECT_EQ(*LookUpUser("4242:4343", kPasswd, kGroup), (Identity{4242, 4343, {}, "/"}));
  EXPECT_EQ(LookUpUser("", kPasswd, kGroup)->uid, 0u);
  EXPECT_EQ(LookUpUser("5", kPasswd, kGroup)->uid, 77u)
      << "a name that looks like a number is a name";
}

TEST(UserLookupTest, WhatIsNotThereIsNotFoundAndNeverRoot) {
  EXPECT_TRUE(absl::IsNotFound(LookUpUser("alice", kPasswd, kGroup).status()));
  EXPECT_TRUE(absl::IsNotFound(LookUpUser("bob:nogroup", kPasswd, kGroup).status()));
  EXPECT_TRUE(absl::IsNotFound(LookUpUser("evil", kPasswd, kGroup).status()));
  EXPECT_TRUE(absl::IsNotFound(LookUpUser("4294967295", kPasswd, kGroup).status()));
  EXPECT_TRUE(absl::IsNotFound(LookUpUser("-1", kPasswd, kGroup).status()));
}

}  // namespace
}  // namespace darse::container

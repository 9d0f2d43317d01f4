#include "services/runtime/containers/user_lookup.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\n"
    "app:x:1000:1001:App:/home/app:/bin/sh\n";
constexpr char kGroup[] = "root:x:0:\nwww:x:33:app,other\naudio:x:29:other\n";

TEST(UserLookupTest, NobodyNamedIsRoot) {
  ResolvedUser user = *LookUpUser("", {}, kPasswd, kGroup);
  EXPECT_EQ(user.uid, 0u);
  EXPECT_EQ(user.home, "/root");
}

TEST(UserLookupTest, RootHasAHomeWithoutPasswdToo) {
  EXPECT_EQ(LookUpUser("", {}, "", "")->home, "/root");
}

TEST(UserLookupTest, NameBringsItsGroups) {
  ResolvedUser user = *LookUpUser("app", {}, kPasswd, kGroup);
  EXPECT_EQ(user.uid, 1000u);
  EXPECT_EQ(user.gid, 1001u);
  EXPECT_EQ(user.home, "/home/app");
  EXPECT_THAT(user.additional_gids, ElementsAre(33));
}

TEST(UserLookupTest, ExplicitGroupLeavesTheOthersOut) {
  ResolvedUser user = *LookUpUser("app:audio", {}, kPasswd, kGroup);
  EXPECT_EQ(user.gid, 29u);
  EXPECT_THAT(user.additional_gids, IsEmpty());
}

TEST(UserLookupTest, UnknownNumberIsTakenAsItIs) {
  ResolvedUser user = *LookUpUser("4242:4343", {"33"}, kPasswd, kGroup);
  EXPECT_EQ(user.uid, 4242u);
  EXPECT_EQ(user.gid, 4343u);
  EXPECT_THAT(user.additional_gids, ElementsAre(33));
  EXPECT_EQ(user.home, "/");
}

TEST(UserLookupTest, UnknownNamesAreRefused) {
  EXPECT_FALSE(LookUpUser("nobody", {}, kPasswd, kGroup).ok());
  EXPECT_FALSE(LookUpUser("app:nogroup", {}, kPasswd, kGroup).ok());
}

}  // namespace
}  // namespace darse::runtime

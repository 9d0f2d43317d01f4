#include "tools/darse/container/interact.h"

#include "gtest/gtest.h"

namespace darse::client {
namespace {

TEST(InteractTest, DetachKeysAreReadAsDockerWritesThem) {
  EXPECT_EQ(*ParseDetachKeys("ctrl-p,ctrl-q"), "\x10\x11");
  EXPECT_EQ(*ParseDetachKeys("a,ctrl-["), "a\x1b");
  EXPECT_FALSE(ParseDetachKeys("ctrl-").ok());
  EXPECT_FALSE(ParseDetachKeys("alt-x").ok());
}

TEST(InteractTest, DetachKeysAreFoundAcrossReads) {
  DetachKeys keys("\x10\x11");
  bool detached = false;
  EXPECT_EQ(keys.Filter("ls\x10", detached), "ls");
  EXPECT_FALSE(detached);
  EXPECT_EQ(keys.Filter("\x11 more", detached), "");
  EXPECT_TRUE(detached);
}

TEST(InteractTest, KeysThatOnlyBeginLikeTheDetachKeysAreSent) {
  DetachKeys keys("\x10\x11");
  bool detached = false;
  EXPECT_EQ(keys.Filter("\x10", detached), "");
  EXPECT_EQ(keys.Filter("x", detached), "\x10x");
  EXPECT_EQ(keys.Filter("\x10\x10\x11", detached), "\x10");
  EXPECT_TRUE(detached);
}

}  // namespace
}  // namespace darse::client

#include "tools/oci/flags.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::ocitool {
namespace {

TEST(FlagsTest, TakesRuncsSpellingsAndStopsAtTheFirstArgument) {
  absl::StatusOr<Flags> flags =
      ParseFlags({"-b", "/x", "--pid-file=/p", "-d", "-e", "A=1", "--env=B=2", "id", "-t"},
                 {"b=bundle", "pid-file", "e=env"}, {"d=detach", "t=tty"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->Value("bundle"), "/x");
  EXPECT_EQ(flags->Value("pid-file"), "/p");
  EXPECT_THAT(flags->All("env"), testing::ElementsAre("A=1", "B=2"));
  EXPECT_TRUE(flags->Has("detach"));
  EXPECT_FALSE(flags->Has("tty"));
  EXPECT_THAT(flags->positional, testing::ElementsAre("id", "-t"));
}

TEST(FlagsTest, RefusesWhatItDoesNotKnow) {
  EXPECT_FALSE(ParseFlags({"--nope"}, {}, {}).ok());
  EXPECT_FALSE(ParseFlags({"--bundle"}, {"bundle"}, {}).ok());
}

}  // namespace
}  // namespace darse::ocitool

#include "tools/darse/cli/arguments.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/base/reason.h"

namespace darse::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Verb kRunLike = {
    .name = "run",
    .summary = "run",
    .arguments = "IMAGE [COMMAND…]",
    .min_arguments = 1,
    .max_arguments = -1,
    .ends_at_first_argument = true,
    .flags = {{"interactive", 'i', Flag::kSwitch, "", ""},
              {"tty", 't', Flag::kSwitch, "", ""},
              {"publish", 'p', Flag::kTexts, "PORT", ""},
              {"name", 0, Flag::kText, "NAME", ""},
              {"pull", 0, Flag::kText, "WHEN", "", "never|missing"}},
};
const Verb kListLike = {
    .name = "image ls",
    .summary = "list",
    .arguments = "[NAME]",
    .max_arguments = 1,
    .flags = {{"quiet", 'q', Flag::kSwitch, "", ""}, {"tail", 'n', Flag::kNumber, "N", ""}},
    .aliases = {"images"},
};
const Verb* const kVerbs[] = {&kRunLike, &kListLike};

absl::StatusOr<CommandLine> Read(std::vector<std::string> words) {
  return ReadCommandLine(kVerbs, words);
}

std::string ErrorOf(std::vector<std::string> words) {
  auto line = Read(std::move(words));
  if (line.ok()) return "no error";
  EXPECT_EQ(Reason(line.status()), kBadUsage);
  return std::string(line.status().message());
}

TEST(ArgumentsTest, FlagsEndAtTheImage) {
  auto line = Read({"run", "-it", "--name", "x", "busybox", "ls", "-l", "--name=y"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_TRUE(line->arguments.On("interactive"));
  EXPECT_TRUE(line->arguments.On("tty"));
  EXPECT_EQ(line->arguments.Text("name"), "x");
  EXPECT_THAT(line->arguments.positional(), ElementsAre("busybox", "ls", "-l", "--name=y"));
}

TEST(ArgumentsTest, ValuesStandInFourWays) {
  auto line =
      Read({"run", "-p80:80", "-p", "81:81", "--publish=82", "-p=83", "--publish", "84", "i"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_THAT(line->arguments.Texts("publish"), ElementsAre("80:80", "81:81", "82", "83", "84"));
}

TEST(ArgumentsTest, FlagsAndArgumentsMayBeMixedElsewhere) {
  auto line = Read({"image", "ls", "debian", "-q", "-n", "3"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->verb, &kListLike);
  EXPECT_TRUE(line->arguments.On("quiet"));
  EXPECT_EQ(line->arguments.Number("tail", 0), 3);
  EXPECT_THAT(line->arguments.positional(), ElementsAre("debian"));
}

TEST(ArgumentsTest, DoubleDashEndsFlags) {
  auto line = Read({"images", "--", "-q"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_FALSE(line->arguments.On("quiet"));
  EXPECT_THAT(line->arguments.positional(), ElementsAre("-q"));
}

TEST(ArgumentsTest, SwitchesTakeAValueWithEquals) {
  auto line = Read({"run", "--tty=false", "i"});
  ASSERT_TRUE(line.ok());
  EXPECT_TRUE(line->arguments.Has("tty"));
  EXPECT_FALSE(line->arguments.On("tty", true));
  EXPECT_THAT(ErrorOf({"run", "--tty=maybe", "i"}), HasSubstr("true or false"));
}

TEST(ArgumentsTest, GlobalFlagsStandBeforeAndAfterTheVerb) {
  auto line = Read({"--run", "/a", "images", "--root=/b"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_THAT(line->global_flags, ElementsAre("--run=/a", "--root=/b"));
}

TEST(ArgumentsTest, MistakesNameWhatWasMeant) {
  EXPECT_THAT(ErrorOf({"run", "--nmae=x", "i"}), HasSubstr("did you mean --name?"));
  EXPECT_THAT(ErrorOf({"rnu", "i"}), HasSubstr("did you mean run?"));
  EXPECT_THAT(ErrorOf({"image", "lss"}), HasSubstr("did you mean image ls?"));
  EXPECT_THAT(ErrorOf({"run", "-x", "i"}), HasSubstr("has no flag -x"));
  EXPECT_THAT(ErrorOf({"run", "--name"}), HasSubstr("--name needs a value"));
  EXPECT_THAT(ErrorOf({"images", "-n", "few"}), HasSubstr("takes a number"));
  EXPECT_THAT(ErrorOf({"run", "--pull=always", "i"}), HasSubstr("takes never, missing"));
  EXPECT_THAT(ErrorOf({"run"}), HasSubstr("needs more arguments: darse run [flags] IMAGE"));
  EXPECT_THAT(ErrorOf({"images", "a", "b"}), HasSubstr("takes fewer arguments"));
}

TEST(ArgumentsTest, HelpIsAskedForInThreeWays) {
  for (auto words : std::vector<std::vector<std::string>>{
           {"help", "run"}, {"run", "--help"}, {"run", "-h"}, {"--help", "run"}}) {
    auto line = Read(words);
    ASSERT_TRUE(line.ok()) << line.status();
    EXPECT_TRUE(line->help);
    EXPECT_EQ(line->verb, &kRunLike);
  }
  auto topic = Read({"image"});
  ASSERT_TRUE(topic.ok());
  EXPECT_EQ(topic->topic, "image");
}

TEST(ArgumentsTest, HelpBehindTheImageBelongsToTheContainer) {
  auto line = Read({"run", "image", "--help"});
  ASSERT_TRUE(line.ok());
  EXPECT_FALSE(line->help);
}

}  // namespace
}  // namespace darse::client

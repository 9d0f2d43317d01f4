// Interpolation, .env files and the small notations.
#include <map>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "libs/compose/dotenv.h"
#include "libs/compose/interpolate.h"
#include "libs/compose/units.h"

namespace darse::compose {
namespace {

std::optional<std::string> Known(absl::string_view name) {
  static const auto* const kKnown =
      new std::map<std::string, std::string>{{"A", "1"}, {"EMPTY", ""}, {"_x9", "u"}};
  const auto found = kKnown->find(std::string(name));
  if (found == kKnown->end()) return std::nullopt;
  return found->second;
}

std::string Expanded(absl::string_view text) {
  const absl::StatusOr<std::string> out = Interpolate(text, Known, nullptr);
  return out.ok() ? *out : absl::StrCat("error: ", out.status().message());
}

TEST(InterpolateTest, EveryFormMeansWhatTheSpecificationSays) {
  const std::pair<const char*, const char*> cases[] = {
      {"x$A-${A}y", "x1-1y"},
      {"$$A", "$A"},
      {"${NO}", ""},
      {"${A:-d}", "1"},
      {"${NO:-d}", "d"},
      {"${EMPTY:-d}", "d"},
      {"${EMPTY-d}", ""},
      {"${NO-d}", "d"},
      {"${NO:-}", ""},
      {"${A:+w}", "w"},
      {"${EMPTY:+w}", ""},
      {"${EMPTY+w}", "w"},
      {"${NO+w}", ""},
      {"${NO:-${A}}", "1"},
      {"${NO:-${ALSO_NO:-deep}}", "deep"},
      {"${NO:-a$$b}", "a$b"},
      {"${_x9}", "u"},
      {"$_x9.", "u."},
      {"${NO:-http://h:80/}", "http://h:80/"},
  };
  for (const auto& [text, wanted] : cases) EXPECT_EQ(Expanded(text), wanted) << text;
}

TEST(InterpolateTest, AVariableThatMustBeSetStopsWithItsMessage) {
  EXPECT_EQ(Expanded("${NO:?say where}"), "error: variable NO must be set: say where");
  EXPECT_EQ(Expanded("${NO?}"), "error: variable NO must be set");
  EXPECT_EQ(Expanded("${EMPTY:?no}"), "error: variable EMPTY must be set: no");
  EXPECT_EQ(Expanded("${EMPTY?no}"), "");
}

TEST(InterpolateTest, MalformedVariablesAreRefused) {
  for (const char* text : {"${A", "$ A", "${}", "${A!b}", "${A:b}", "50$", "${1}"}) {
    EXPECT_TRUE(absl::StartsWith(Expanded(text), "error: bad variable"))
        << text << " " << Expanded(text);
  }
}

TEST(InterpolateTest, UnsetNamesAreCollected) {
  std::set<std::string> unset;
  EXPECT_TRUE(Interpolate("${NO} $NEITHER ${NO2:-x}", Known, &unset).ok());
  EXPECT_EQ(unset, (std::set<std::string>{"NEITHER", "NO"}));
}

std::map<std::string, std::string> Env(absl::string_view text) {
  const absl::StatusOr<std::vector<Variable>> variables = ParseDotenv(text, ".env", Known);
  EXPECT_TRUE(variables.ok()) << variables.status();
  std::map<std::string, std::string> map;
  if (!variables.ok()) return map;
  for (const Variable& variable : *variables)
    map[variable.name] = variable.value.value_or("<none>");
  return map;
}

TEST(DotenvTest, ReadsAllForms) {
  const auto env =
      Env("# remark\nPLAIN=a b # c\nexport EX=1\nSINGLE='$A # no'\nDOUBLE=\"x\\n${A}\" # "
          "c\nEMPTYV=\nBARE\n"
          "HASH=a#b\nMULTI=\"one\ntwo\"\nREF=${PLAIN}!\nESC=\"\\$A\"\nSPACED = v \nCRLF=x\r\n");
  EXPECT_EQ(env.at("PLAIN"), "a b");
  EXPECT_EQ(env.at("EX"), "1");
  EXPECT_EQ(env.at("SINGLE"), "$A # no");
  EXPECT_EQ(env.at("DOUBLE"), "x\n1");
  EXPECT_EQ(env.at("EMPTYV"), "");
  EXPECT_EQ(env.at("BARE"), "<none>");
  EXPECT_EQ(env.at("HASH"), "a#b");
  EXPECT_EQ(env.at("MULTI"), "one\ntwo");
  EXPECT_EQ(env.at("REF"), "a b!");
  EXPECT_EQ(env.at("ESC"), "$A");
  EXPECT_EQ(env.at("SPACED"), "v");
  EXPECT_EQ(env.at("CRLF"), "x");
}

TEST(DotenvTest, SaysTheLineOfWhatIsWrong) {
  EXPECT_EQ(ParseDotenv("A=1\nB=\"x\n", ".env", Known).status().message(),
            ".env:2: a quote is not closed");
  EXPECT_EQ(ParseDotenv("\n=1\n", ".env", Known).status().message(),
            ".env:2: a name is missing before \"=\"");
  EXPECT_TRUE(
      absl::StartsWith(ParseDotenv("A='x' y\n", ".env", Known).status().message(), ".env:1: "));
}

TEST(UnitsTest, Bytes) {
  EXPECT_EQ(ParseBytes("1024"), 1024);
  EXPECT_EQ(ParseBytes("512m"), int64_t{512} << 20);
  EXPECT_EQ(ParseBytes("1.5G"), int64_t{3} << 29);
  EXPECT_EQ(ParseBytes("10kb"), 10240);
  for (const char* bad : {"", "m", "1x", "-1", "1e99g"})
    EXPECT_EQ(ParseBytes(bad), std::nullopt) << bad;
}

TEST(UnitsTest, Durations) {
  EXPECT_EQ(ParseDuration("1m30s"), absl::Seconds(90));
  EXPECT_EQ(ParseDuration("1.5h"), absl::Minutes(90));
  EXPECT_EQ(ParseDuration("100ms"), absl::Milliseconds(100));
  EXPECT_EQ(ParseDuration("0"), absl::ZeroDuration());
  for (const char* bad : {"", "5", "s", "-1s", "1d"})
    EXPECT_EQ(ParseDuration(bad), std::nullopt) << bad;
}

TEST(UnitsTest, Cores) {
  EXPECT_EQ(ParseNanoCpus("0.5"), 500'000'000);
  EXPECT_EQ(ParseNanoCpus("2"), 2'000'000'000);
  EXPECT_EQ(ParseNanoCpus("x"), std::nullopt);
}

TEST(UnitsTest, WordsAsAShellSplitsThem) {
  EXPECT_EQ(*SplitWords("sh -c 'a  b' \"c \\\"d\\\" $e\" f\\ g ''"),
            (std::vector<std::string>{"sh", "-c", "a  b", "c \"d\" $e", "f g", ""}));
  EXPECT_FALSE(SplitWords("a 'b").ok());
}

TEST(UnitsTest, PathsBecomeAbsolute) {
  EXPECT_EQ(AbsolutePath("./a/../b", "/p/q", "/h"), "/p/q/b");
  EXPECT_EQ(AbsolutePath("~/x", "/p", "/h"), "/h/x");
  EXPECT_EQ(AbsolutePath("../../../x", "/p", "/h"), "/x");
}

}  // namespace
}  // namespace darse::compose

#include "libs/dockerfile/expand.h"

#include <map>

#include "gtest/gtest.h"

namespace darse::dockerfile {
namespace {

std::string Expanded(absl::string_view word) {
  std::map<std::string, std::string> env = {
      {"x", "value"}, {"empty", ""}, {"path", "a/b/c.tar.gz"}, {"PWD2", "/home"}};
  absl::StatusOr<std::string> text =
      Expand(word, '\\', [&](absl::string_view name) -> std::optional<std::string> {
        auto found = env.find(std::string(name));
        if (found == env.end()) return std::nullopt;
        return found->second;
      });
  return text.ok() ? *text : std::string(text.status().message());
}

struct Case {
  const char* word;
  const char* expanded;
};

TEST(ExpandTest, EachForm) {
  constexpr Case kCases[] = {
      {"plain", "plain"},
      {"$x", "value"},
      {"${x}y", "valuey"},
      {"$xy", ""},
      {"$x/y", "value/y"},
      {"\\$x", "$x"},
      {"'$x'", "$x"},
      {"\"$x\"", "value"},
      {"\"a\\\"b\"", "a\"b"},
      {"\"a\\b\"", "a\\b"},
      {"a\\ b", "a b"},
      {"$", "$"},
      {"a$", "a$"},
      {"${x:-other}", "value"},
      {"${no:-other}", "other"},
      {"${no-other}", "other"},
      {"${empty:-other}", "other"},
      {"${empty-other}", ""},
      {"${x:+other}", "other"},
      {"${no:+other}", ""},
      {"${empty:+other}", ""},
      {"${empty+other}", "other"},
      {"${x:?gone}", "value"},
      {"${no:?gone}", "no: gone"},
      {"${no?}", "no: is not set"},
      {"${no:-${x}}", "value"},
      {"${no:-${no2:-deep}}", "deep"},
      {"${no:-\"a b\"}", "a b"},
      {"${path#*/}", "b/c.tar.gz"},
      {"${path##*/}", "c.tar.gz"},
      {"${path%.*}", "a/b/c.tar"},
      {"${path%%.*}", "a/b/c"},
      {"${path/a/z}", "z/b/c.tar.gz"},
      {"${path//a/z}", "z/b/c.tzr.gz"},
      {"${path//?.tar/X}", "a/b/X.gz"},
      {"${x/lu}", "vae"},
  };
  for (const Case& one : kCases) {
    EXPECT_EQ(Expanded(one.word), one.expanded) << one.word;
  }
}

TEST(ExpandTest, BrokenWordsSayWhy) {
  EXPECT_EQ(Expanded("${x"), "\"${\" is not closed");
  EXPECT_EQ(Expanded("${x:"), "\"${\" is not closed");
  EXPECT_EQ(Expanded("${x:-a"), "\"${\" is not closed");
  EXPECT_EQ(Expanded("${}"), "\"${}\" names no variable");
  EXPECT_EQ(Expanded("${x^y}"), "unsupported modifier \"^\" in \"${x…}\"");
  EXPECT_EQ(Expanded("'a"), "a single quote is not closed");
  EXPECT_EQ(Expanded("\"a"), "a double quote is not closed");
}

TEST(ExpandTest, DeepNestingIsRefused) {
  std::string word;
  for (int i = 0; i < 100000; ++i) word += "${a:-";
  EXPECT_EQ(Expanded(word), "variables are nested too deeply");
}

TEST(ExpandTest, TextKeepsItsQuotes) {
  auto variables = [](absl::string_view) { return std::optional<std::string>("v"); };
  EXPECT_EQ(*ExpandText("a '$x' \"\\$x\" \\n\n", '\\', variables), "a 'v' \"$x\" \\n\n");
}

}  // namespace
}  // namespace darse::dockerfile

#include "services/runtime/snapshots/path_match.h"

#include <gtest/gtest.h>

namespace darse::runtime {
namespace {

bool Matches(absl::string_view pattern, absl::string_view name) {
  absl::StatusOr<bool> result = NameMatches(pattern, name);
  return result.ok() && *result;
}

// The cases of Go's path/filepath tests that concern one name.
TEST(PathMatchTest, AgreesWithGo) {
  EXPECT_TRUE(Matches("abc", "abc"));
  EXPECT_TRUE(Matches("*", "abc"));
  EXPECT_TRUE(Matches("*c", "abc"));
  EXPECT_TRUE(Matches("a*", "a"));
  EXPECT_TRUE(Matches("a*b?c*x", "abxbbxdbxebxczzx"));
  EXPECT_FALSE(Matches("a*b?c*x", "abxbbxdbxebxczzy"));
  EXPECT_TRUE(Matches("ab[c]", "abc"));
  EXPECT_TRUE(Matches("ab[b-d]", "abc"));
  EXPECT_FALSE(Matches("ab[e-g]", "abc"));
  EXPECT_FALSE(Matches("ab[^c]", "abc"));
  EXPECT_TRUE(Matches("ab[^e-g]", "abc"));
  EXPECT_TRUE(Matches("a\\*b", "a*b"));
  EXPECT_FALSE(Matches("a\\*b", "ab"));
  EXPECT_TRUE(Matches("[\\]a]", "]"));
  EXPECT_TRUE(Matches("[\\-x]", "-"));
  EXPECT_FALSE(Matches("", "a"));
  EXPECT_TRUE(Matches("", ""));
  EXPECT_FALSE(Matches("a???b", "ab"));
}

TEST(PathMatchTest, MalformedClassesAreRefused) {
  for (const char* pattern : {"[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "\\"}) {
    EXPECT_FALSE(NameMatches(pattern, "a").ok()) << pattern;
  }
}

}  // namespace
}  // namespace darse::runtime

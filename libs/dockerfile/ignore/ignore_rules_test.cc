#include "libs/dockerfile/ignore/ignore_rules.h"

#include "gtest/gtest.h"

namespace darse::dockerfile {
namespace {

bool Ignored(absl::string_view rules, absl::string_view path) {
  absl::StatusOr<IgnoreRules> parsed = IgnoreRules::Parse(rules, ".dockerignore");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() && parsed->Ignores(path);
}

TEST(IgnoreRulesTest, StarStaysWithinOneDirectory) {
  EXPECT_TRUE(Ignored("*.log", "a.log"));
  EXPECT_FALSE(Ignored("*.log", "sub/a.log"));
  EXPECT_TRUE(Ignored("*/*.log", "sub/a.log"));
}

TEST(IgnoreRulesTest, DoubleStarMatchesAnyDepth) {
  EXPECT_TRUE(Ignored("**/*.log", "a.log"));
  EXPECT_TRUE(Ignored("**/*.log", "x/y/z/a.log"));
  EXPECT_TRUE(Ignored("**/node_modules", "web/node_modules/left-pad/index.js"));
  EXPECT_FALSE(Ignored("**/tmp", "xtmp"));
  EXPECT_TRUE(Ignored("a/**/b", "a/b"));
  EXPECT_TRUE(Ignored("a/**/b", "a/x/y/b"));
  EXPECT_TRUE(Ignored("a/**", "a/x"));
}

TEST(IgnoreRulesTest, ADirectoryTakesAllBelowItAlong) {
  EXPECT_TRUE(Ignored("docs", "docs/a/b.md"));
  EXPECT_TRUE(Ignored("/docs/", "docs/a/b.md"));
  EXPECT_FALSE(Ignored("docs", "my/docs"));
  EXPECT_FALSE(Ignored("docs", "docs2"));
}

TEST(IgnoreRulesTest, TheLastMatchingRuleDecides) {
  constexpr char kRules[] = "*.md\n!README*.md\nREADME-secret.md\n";
  EXPECT_TRUE(Ignored(kRules, "a.md"));
  EXPECT_FALSE(Ignored(kRules, "README.md"));
  EXPECT_FALSE(Ignored(kRules, "README-x.md"));
  EXPECT_TRUE(Ignored(kRules, "README-secret.md"));
}

TEST(IgnoreRulesTest, ExceptionTakesAFileBackFromAnIgnoredDirectory) {
  EXPECT_TRUE(Ignored("docs\n!docs/keep.md", "docs/a.md"));
  EXPECT_FALSE(Ignored("docs\n!docs/keep.md", "docs/keep.md"));
  EXPECT_FALSE(Ignored("*\n!src", "src/deep/a.c"));
  EXPECT_TRUE(Ignored("*\n!src", "other"));
}

TEST(IgnoreRulesTest, CommentsAndEmptyLinesAndDotAreNoPatterns) {
  EXPECT_FALSE(Ignored("# a\n\n.\n/\n", "a"));
  EXPECT_TRUE(Ignored("  a  \r\n", "a"));
  EXPECT_TRUE(Ignored("./x/../a", "a"));
}

TEST(IgnoreRulesTest, ClassesAndEscapes) {
  EXPECT_TRUE(Ignored("[a-c].txt", "b.txt"));
  EXPECT_FALSE(Ignored("[^a-c].txt", "b.txt"));
  EXPECT_TRUE(Ignored("\\*", "*"));
  EXPECT_FALSE(Ignored("\\*", "a"));
  EXPECT_TRUE(Ignored("a?c", "abc"));
  EXPECT_FALSE(Ignored("a?c", "a/c"));
}

TEST(IgnoreRulesTest, BadPatternIsRefusedWithItsLine) {
  absl::StatusOr<IgnoreRules> rules = IgnoreRules::Parse("a\n[b\n", ".dockerignore");
  ASSERT_FALSE(rules.ok());
  EXPECT_EQ(rules.status().message(), ".dockerignore:2: pattern \"[b\": \"[\" is not closed");
}

TEST(IgnoreRulesTest, DirectoryIsSkippedOnlyIfNothingBelowCanComeBack) {
  EXPECT_TRUE(IgnoreRules::Parse("docs", "f")->CanSkipDirectory("docs"));
  EXPECT_FALSE(IgnoreRules::Parse("docs\n!docs/a", "f")->CanSkipDirectory("docs"));
  EXPECT_FALSE(IgnoreRules::Parse("docs", "f")->CanSkipDirectory("src"));
}

TEST(IgnoreRulesTest, ManyStarsDoNotTakeForever) {
  std::string pattern, path(3000, 'a');
  for (int i = 0; i < 100; ++i) pattern += "*a";
  EXPECT_FALSE(Ignored(pattern + "b", path));
}

}  // namespace
}  // namespace darse::dockerfile

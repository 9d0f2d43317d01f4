#include "libs/yaml/node.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace darse::yaml {
namespace {

Node Read(absl::string_view text) {
  absl::StatusOr<Node> node = Parse(text, "a.yaml");
  EXPECT_TRUE(node.ok()) << node.status();
  return node.ok() ? *node : Node{};
}

std::string ErrorOf(absl::string_view text, const Limits& limits = {}) {
  absl::StatusOr<Node> node = Parse(text, "a.yaml", limits);
  EXPECT_FALSE(node.ok());
  return std::string(node.status().message());
}

TEST(NodeTest, KnowsWhereItStands) {
  const Node root = Read("a: 1\nb:\n  - x\n  - {c: y}\n");
  const Node* b = root.Find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(root.entries[1].position.ToString(), "a.yaml:2:1");
  EXPECT_EQ(b->items[0].position.ToString(), "a.yaml:3:5");
  EXPECT_EQ(b->items[1].Find("c")->position.ToString(), "a.yaml:4:9");
}

TEST(NodeTest, QuotedWordsAreTextAndPlainOnesHaveAType) {
  const Node root = Read("a: true\nb: 'true'\nc: ~\nd: ''\ne: 0x10\nf: \"12\"\ng: 1.5\n");
  EXPECT_EQ(root.Find("a")->AsBool(), true);
  EXPECT_EQ(root.Find("b")->AsBool(), std::nullopt);
  EXPECT_TRUE(root.Find("c")->IsNull());
  EXPECT_FALSE(root.Find("d")->IsNull());
  EXPECT_EQ(root.Find("e")->AsInt(), 16);
  EXPECT_EQ(root.Find("f")->AsInt(), 12);
  EXPECT_EQ(root.Find("g")->AsDouble(), 1.5);
}

TEST(NodeTest, MergeKeysGiveWayToKeysWrittenOut) {
  const Node root = Read("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  <<: [*x, *y]\n  a: 3\n");
  const Node* z = root.Find("z");
  EXPECT_EQ(z->Find("a")->text, "3");
  EXPECT_EQ(z->Find("b")->text, "1");
  EXPECT_EQ(z->Find("c")->text, "2");
  EXPECT_EQ(z->entries.size(), 3u);
}

TEST(NodeTest, AnAliasKeepsThePositionOfWhatItCopies) {
  const Node root = Read("a: &v hello\nb: *v\n");
  EXPECT_EQ(root.Find("b")->text, "hello");
  EXPECT_EQ(root.Find("b")->position.line, 1);
}

TEST(NodeTest, ReadsBlockScalarsAndTags) {
  const Node root = Read("a: |\n  x\n  y\nb: !reset null\nc: !!str 5\n");
  EXPECT_EQ(root.Find("a")->text, "x\ny\n");
  EXPECT_EQ(root.Find("b")->tag, "!reset");
  EXPECT_EQ(root.Find("c")->tag, "!!str");
}

TEST(NodeTest, AnEmptyTextIsNull) {
  EXPECT_TRUE(Read("").IsNull());
  EXPECT_TRUE(Read("# only a remark\n").IsNull());
}

TEST(NodeTest, ASecondKeyIsRefusedWithBothLines) {
  EXPECT_EQ(ErrorOf("a: 1\nb: 2\na: 3\n"), "a.yaml:3:1: key \"a\" is already on line 1");
}

TEST(NodeTest, BadYamlIsRefusedWithItsLine) {
  EXPECT_TRUE(absl::StartsWith(ErrorOf("a: [1, 2\nb: 3\n"), "a.yaml:3:"))
      << ErrorOf("a: [1, 2\nb: 3\n");
  EXPECT_TRUE(absl::StartsWith(ErrorOf("a: 1\n\tb: 3\n"), "a.yaml:1:"))
      << ErrorOf("a: 1\n\tb: 3\n");
}

TEST(NodeTest, AliasesThatLeadNowhereOrInCirclesAreRefused) {
  EXPECT_EQ(ErrorOf("a: *b\n"), "a.yaml:1:4: alias *b has no anchor before it");
  EXPECT_EQ(ErrorOf("a: &a\n  - *a\n"), "a.yaml:2:5: alias *a stands inside its own anchor");
}

TEST(NodeTest, SecondDocumentIsRefused) {
  EXPECT_TRUE(absl::StrContains(ErrorOf("a: 1\n---\nb: 1\n"), "second document"));
}

TEST(NodeTest, DirectivesAreRefusedBeforeTheyHangTheParser) {
  EXPECT_FALSE(Parse("%\xff\x17@", "a.yaml").ok());
  EXPECT_FALSE(Parse("# x\n%YAML 1.2\n---\na: 1\n", "a.yaml").ok());
}

TEST(NodeTest, ABombOfAliasesIsRefusedBeforeItGoesOff) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j ? ", *a" : "*a") + std::to_string(i - 1);
    bomb += "]\n";
  }
  const absl::Status status = Parse(bomb, "a.yaml").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

TEST(NodeTest, DepthIsBounded) {
  EXPECT_FALSE(Parse(std::string(5000, '['), "a.yaml").ok());
  EXPECT_TRUE(absl::StrContains(ErrorOf("[[[[1]]]]", {.depth = 3}), "nested more than 3"));
}

}  // namespace
}  // namespace darse::yaml

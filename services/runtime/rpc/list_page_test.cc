#include "services/runtime/rpc/list_page.h"

#include "gtest/gtest.h"

namespace darse::runtime {
namespace {

TEST(ListPageTest, PagesFollowEachOtherThoughItemsVanish) {
  absl::StatusOr<ListPage> first = PageOf({"a", "b", "c", "d"}, 2, "");
  EXPECT_EQ(first->begin, 0);
  EXPECT_EQ(first->end, 2);
  EXPECT_EQ(first->next_page_token, "b");
  // b was deleted in between.
  absl::StatusOr<ListPage> second = PageOf({"a", "c", "d"}, 2, first->next_page_token);
  EXPECT_EQ(second->begin, 1);
  EXPECT_EQ(second->end, 3);
  EXPECT_EQ(second->next_page_token, "");
}

TEST(ListPageTest, NoSizeMeansAllAndANegativeOneIsRefused) {
  EXPECT_EQ(PageOf({"a", "b"}, 0, "")->end, 2);
  EXPECT_EQ(PageOf({}, 0, "")->next_page_token, "");
  EXPECT_FALSE(PageOf({"a"}, -1, "").ok());
}

TEST(ListPageTest, AllLabelFiltersMustMatch) {
  const std::map<std::string, std::string> labels = {{"stack", "journal"}, {"empty", ""}};
  EXPECT_TRUE(HasLabels(labels, {}));
  EXPECT_TRUE(HasLabels(labels, {"stack", "stack=journal", "empty="}));
  EXPECT_FALSE(HasLabels(labels, {"stack=other"}));
  EXPECT_FALSE(HasLabels(labels, {"stack", "missing"}));
}

}  // namespace
}  // namespace darse::runtime

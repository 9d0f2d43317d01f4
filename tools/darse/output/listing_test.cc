#include "tools/darse/output/listing.h"

#include "gtest/gtest.h"

namespace darse::client {
namespace {

const std::vector<Column>& Columns() {
  static const auto* const kColumns =
      new std::vector<Column>{{"ID", "CONTAINER ID"}, {"Names", "NAMES"}};
  return *kColumns;
}

std::vector<Json> Rows() {
  return {Json::Object({{"ID", "1"}, {"Names", "web"}, {"Extra", "x"}}),
          Json::Object({{"ID", "22"}, {"Names", "ärchive"}, {"Extra", "y"}})};
}

TEST(ListingTest, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(*Listing(Rows(), Columns(), ""),
            "CONTAINER ID   NAMES\n"
            "1              web\n"
            "22             ärchive\n");
}

TEST(ListingTest, JsonIsOneObjectALine) {
  EXPECT_EQ(*Listing(Rows(), Columns(), "json"),
            "{\"ID\":\"1\",\"Names\":\"web\",\"Extra\":\"x\"}\n"
            "{\"ID\":\"22\",\"Names\":\"ärchive\",\"Extra\":\"y\"}\n");
}

TEST(ListingTest, TemplatesMayUseFieldsThatTheTableHasNot) {
  EXPECT_EQ(*Listing(Rows(), Columns(), "{{.Names}}={{.Extra}}"), "web=x\närchive=y\n");
}

TEST(ListingTest, TableTemplatesHaveHeadings) {
  EXPECT_EQ(*Listing(Rows(), Columns(), "table {{.ID}}\\t{{.Extra}}"),
            "CONTAINER ID   EXTRA\n1              x\n22             y\n");
}

TEST(ListingTest, AnUnknownFieldIsAnErrorWithAndWithoutRows) {
  EXPECT_FALSE(Listing(Rows(), Columns(), "{{.Nope}}").ok());
  EXPECT_FALSE(Listing({}, Columns(), "{{.Nope}}").ok());
  EXPECT_TRUE(Listing({}, Columns(), "{{.Extra}}", {"Extra"}).ok());
}

TEST(ListingTest, InspectionIsAnArrayOrATemplateEach) {
  EXPECT_EQ(*Inspection({Json::Object({{"A", 1}})}, ""), "[\n    {\n        \"A\": 1\n    }\n]\n");
  EXPECT_EQ(*Inspection({Json::Object({{"A", 1}}), Json::Object({{"A", 2}})}, "{{.A}}"), "1\n2\n");
}

}  // namespace
}  // namespace darse::client

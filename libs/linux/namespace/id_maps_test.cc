#include "libs/linux/namespace/id_maps.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::ns {
namespace {

TEST(IdMapsTest, AnIdIsFoundInItsRange) {
  std::vector<IdMapping> maps = {{0, 100000, 10}, {1000, 5, 1}};
  EXPECT_EQ(ToHost(maps, 0), 100000u);
  EXPECT_EQ(ToHost(maps, 9), 100009u);
  EXPECT_EQ(ToHost(maps, 10), std::nullopt);
  EXPECT_EQ(ToHost(maps, 1000), 5u);
}

TEST(IdMapsTest, MappingsThatTheKernelWouldRefuseAreNamed) {
  EXPECT_TRUE(CheckMappings({{0, 100000, 65536}}).ok());
  EXPECT_TRUE(CheckMappings({{0, 100000, 10}, {10, 0, 10}}).ok());
  EXPECT_FALSE(CheckMappings({}).ok());
  EXPECT_FALSE(CheckMappings({{0, 100000, 0}}).ok());
  EXPECT_FALSE(CheckMappings({{0, 4294967295u, 2}}).ok());
  EXPECT_FALSE(CheckMappings({{0, 100, 10}, {9, 200, 1}}).ok());
  EXPECT_FALSE(CheckMappings({{0, 100, 10}, {20, 109, 1}}).ok());
}

TEST(IdMapsTest, ReadsWhatTheKernelWrites) {
  absl::StatusOr<std::vector<IdMapping>> maps =
      ParseIdMap("         0     100000      65536\n     70000          7          1\n");
  ASSERT_TRUE(maps.ok()) << maps.status();
  EXPECT_THAT(*maps, testing::ElementsAre(IdMapping{0, 100000, 65536}, IdMapping{70000, 7, 1}));
  EXPECT_FALSE(ParseIdMap("0 1\n").ok());
}

}  // namespace
}  // namespace darse::ns

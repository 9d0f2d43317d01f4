#include "services/resolver/names.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::resolver {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kFront[] =
    "darse-names 1\n"
    "network front 10.89.1.1\n"
    "host 10.89.1.2 aaaa web aaaa Shop\n"
    "forward 10.89.1.2 192.0.2.9 192.0.2.10\n"
    "host 10.89.1.3 bbbb api bbbb\n"
    "host 10.89.1.4 cccc api2 cccc api\n"
    "end\n";
constexpr char kBack[] =
    "darse-names 1\n"
    "network back 10.89.2.1 internal\n"
    "host 10.89.2.2 bbbb api bbbb\n"
    "host 10.89.2.3 dddd db dddd\n"
    "end\n";

constexpr uint32_t kFrontGateway = 0x0a590101;
constexpr uint32_t kBackGateway = 0x0a590201;
constexpr uint32_t kWeb = 0x0a590102;
constexpr uint32_t kApi = 0x0a590103;
constexpr uint32_t kApiInBack = 0x0a590202;
constexpr uint32_t kDb = 0x0a590203;

class NamesTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(table_.Put("front.names", kFront).ok());
    ASSERT_TRUE(table_.Put("back.names", kBack).ok());
  }
  std::vector<uint32_t> Ask(uint32_t source, uint32_t gateway, absl::string_view name) {
    Client client;
    EXPECT_TRUE(table_.Find(source, gateway, client));
    return table_.Addresses(client.networks, name);
  }
  NameTable table_;
};

TEST_F(NamesTest, NamesAliasesAndNamesWithTheirNetwork) {
  EXPECT_THAT(Ask(kWeb, kFrontGateway, "web"), ElementsAre(kWeb));
  EXPECT_THAT(Ask(kWeb, kFrontGateway, "shop"), ElementsAre(kWeb));
  EXPECT_THAT(Ask(kWeb, kFrontGateway, "api.front"), ElementsAre(kApi, kApi + 1));
  EXPECT_THAT(Ask(kWeb, kFrontGateway, "api.back"), IsEmpty());
  EXPECT_THAT(Ask(kWeb, kFrontGateway, "nobody"), IsEmpty());
}

TEST_F(NamesTest, AContainerSeesItsOwnNetworksAndNoOther) {
  EXPECT_THAT(Ask(kWeb, kFrontGateway, "db"), IsEmpty());
  // On both networks, whichever it asks: that one first.
  EXPECT_THAT(Ask(kApi, kFrontGateway, "db"), ElementsAre(kDb));
  EXPECT_THAT(Ask(kApiInBack, kBackGateway, "web"), ElementsAre(kWeb));
  EXPECT_THAT(Ask(kApiInBack, kBackGateway, "api"), ElementsAre(kApiInBack));
  // Asking the other network's gateway makes no difference.
  EXPECT_THAT(Ask(kWeb, kBackGateway, "db"), IsEmpty());
}

TEST_F(NamesTest, TheHostSeesTheNetworkItAsks) {
  EXPECT_THAT(Ask(kBackGateway, kBackGateway, "db"), ElementsAre(kDb));
  EXPECT_THAT(Ask(kBackGateway, kBackGateway, "web"), IsEmpty());
}

TEST_F(NamesTest, StrangersAreNotServed) {
  Client client;
  EXPECT_FALSE(table_.Find(kWeb + 77, kFrontGateway, client));
  EXPECT_FALSE(table_.Find(0x08080808, kFrontGateway, client));
}

TEST_F(NamesTest, OnlyContainersOfInternalNetworksMayNotAskOutside) {
  Client client;
  ASSERT_TRUE(table_.Find(kDb, kBackGateway, client));
  EXPECT_FALSE(client.may_ask_outside);
  ASSERT_TRUE(table_.Find(kApiInBack, kBackGateway, client));
  EXPECT_TRUE(client.may_ask_outside);
  ASSERT_TRUE(table_.Find(kWeb, kFrontGateway, client));
  EXPECT_THAT(client.forward, ElementsAre("192.0.2.9", "192.0.2.10"));
}

TEST_F(NamesTest, AddressesHaveTheirContainersName) {
  Client client;
  ASSERT_TRUE(table_.Find(kWeb, kFrontGateway, client));
  EXPECT_EQ(table_.NameOf(client.networks, kApi), "api.front");
  EXPECT_EQ(table_.NameOf(client.networks, kDb), "");
}

TEST_F(NamesTest, ABrokenFileLeavesTheFormerContents) {
  const std::string whole = kFront;
  for (size_t size = 0; size + 1 < whole.size(); ++size) {
    EXPECT_FALSE(table_.Put("front.names", whole.substr(0, size)).ok()) << size;
  }
  for (const char* line : {"host x aaaa web", "host 10.89.1.9 aaaa", "network again 10.89.1.1",
                           "forward 10.89.1.2", "bananas"}) {
    const absl::Status status = table_.Put(
        "front.names", absl::StrCat("darse-names 1\nnetwork front 10.89.1.1\n", line, "\nend\n"));
    EXPECT_FALSE(status.ok()) << line;
  }
  EXPECT_THAT(Ask(kWeb, kFrontGateway, "web"), ElementsAre(kWeb));
}

TEST_F(NamesTest, ARemovedFileTakesItsGatewayAlong) {
  EXPECT_THAT(table_.Gateways(), ElementsAre(kBackGateway, kFrontGateway));
  table_.Remove("back.names");
  EXPECT_THAT(table_.Gateways(), ElementsAre(kFrontGateway));
}

TEST(NameServersTest, OnlyNameserverLinesCount) {
  EXPECT_THAT(NameServers("# nameserver 1.1.1.1\nsearch lan\nnameserver 192.0.2.1\n"
                          "nameserver\tfe80::1%eth0 \noptions rotate\nnameserver\n"),
              ElementsAre("192.0.2.1", "fe80::1%eth0"));
}

}  // namespace
}  // namespace darse::resolver

#include "libs/linux/nft/libnftables_driver.h"

#include <nftables/libnftables.h>
#include <sched.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::nft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// In a network namespace made for the test's thread: nothing of the host is touched.
class LibnftablesDriverTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    driver_ = std::make_unique<LibnftablesDriver>("drt");
  }

  // What nft says, with "" for an error.
  static std::string Nft(const std::string& command) {
    nft_ctx* context = nft_ctx_new(NFT_CTX_DEFAULT);
    nft_ctx_buffer_output(context);
    nft_ctx_buffer_error(context);
    const bool ok = nft_run_cmd_from_buffer(context, command.c_str()) == 0;
    std::string output = ok ? nft_ctx_get_output_buffer(context) : "";
    nft_ctx_free(context);
    return output;
  }

  const FirewallNetwork network_{.interface = "drt1", .subnet = "10.1.2.0/24"};
  const FirewallPort tcp_{.host_port = 8080, .protocol = "tcp", .address = "10.1.2.3", .port = 80};
  const FirewallPort udp_{.host_ip = "127.0.0.1",
                          .host_port = 53,
                          .protocol = "udp",
                          .address = "10.1.2.3",
                          .port = 5353};
  std::unique_ptr<LibnftablesDriver> driver_;
};

TEST_F(LibnftablesDriverTest, ReplaceWritesNetworksAndPorts) {
  ASSERT_EQ(driver_->Replace({network_}, {tcp_, udp_}), absl::OkStatus());
  const std::string table = Nft("list table ip drt");
  EXPECT_THAT(table, HasSubstr("\"drt1\""));
  EXPECT_THAT(table, HasSubstr("10.1.2.0/24"));
  EXPECT_THAT(table, HasSubstr("tcp . 8080 : 10.1.2.3 . 80"));
  EXPECT_THAT(table, HasSubstr("127.0.0.1 . udp . 53 : 10.1.2.3 . 5353"));
}

TEST_F(LibnftablesDriverTest, VerbsMayBeRepeated) {
  ASSERT_TRUE(driver_->Replace({}, {}).ok());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(driver_->AddNetwork(network_), absl::OkStatus());
    EXPECT_EQ(driver_->AddPorts({tcp_, udp_}), absl::OkStatus());
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(driver_->RemovePorts({tcp_, udp_}), absl::OkStatus());
    EXPECT_EQ(driver_->RemoveNetwork(network_), absl::OkStatus());
  }
  const std::string table = Nft("list table ip drt");
  EXPECT_THAT(table, Not(HasSubstr("drt1")));
  EXPECT_THAT(table, Not(HasSubstr("10.1.2")));
}

TEST_F(LibnftablesDriverTest, APortMovesToItsNewContainer) {
  ASSERT_TRUE(driver_->Replace({network_}, {tcp_}).ok());
  FirewallPort moved = tcp_;
  moved.address = "10.1.2.4";
  ASSERT_EQ(driver_->AddPorts({moved}), absl::OkStatus());
  // The former owner's removal comes late and must not hit the new one.
  ASSERT_EQ(driver_->RemovePorts({tcp_}), absl::OkStatus());
  EXPECT_THAT(Nft("list table ip drt"), HasSubstr("tcp . 8080 : 10.1.2.4 . 80"));
}

TEST_F(LibnftablesDriverTest, TheTableComesBackAfterAFlush) {
  ASSERT_TRUE(driver_->Replace({network_}, {tcp_}).ok());
  Nft("flush ruleset");
  ASSERT_EQ(driver_->AddPorts({udp_}), absl::OkStatus());
  const std::string table = Nft("list table ip drt");
  EXPECT_THAT(table, HasSubstr("10.1.2.3 . 80"));
  EXPECT_THAT(table, HasSubstr("10.1.2.3 . 5353"));
  Nft("flush ruleset");
  ASSERT_EQ(driver_->EnsureTable(), absl::OkStatus());
  EXPECT_THAT(Nft("list table ip drt"), HasSubstr("10.1.2.3 . 80"));
}

TEST_F(LibnftablesDriverTest, DeletingTheTableLeavesNothing) {
  ASSERT_TRUE(driver_->Replace({network_}, {tcp_}).ok());
  ASSERT_EQ(driver_->DeleteTable(), absl::OkStatus());
  ASSERT_EQ(driver_->DeleteTable(), absl::OkStatus());
  EXPECT_EQ(Nft("list ruleset"), "");
}

TEST_F(LibnftablesDriverTest, ForwardChainsOfOthersThatDropAreFound) {
  ASSERT_TRUE(driver_->Replace({network_}, {}).ok());
  EXPECT_THAT(*driver_->ForwardDrops(), ElementsAre());
  Nft("table ip filter { chain INPUT { type filter hook input priority 0; policy drop; }; "
      "chain FORWARD { type filter hook forward priority 0; policy drop; }; }");
  Nft("table inet open { chain forward { type filter hook forward priority 0; policy accept; }; }");
  EXPECT_THAT(*driver_->ForwardDrops(), ElementsAre("ip filter FORWARD"));
}

TEST_F(LibnftablesDriverTest, APortCostsTheSameAmongManyAsAlone) {
  ASSERT_TRUE(driver_->Replace({network_}, {}).ok());
  auto measure = [&] {
    const absl::Time begin = absl::Now();
    for (int i = 0; i < 50; ++i) {
      EXPECT_TRUE(driver_->AddPorts({tcp_}).ok());
      EXPECT_TRUE(driver_->RemovePorts({tcp_}).ok());
    }
    return (absl::Now() - begin) / 100;
  };
  const absl::Duration alone = measure();
  std::vector<FirewallPort> many;
  for (uint16_t i = 0; i < 500; ++i) {
    many.push_back(tcp_);
    many.back().host_port = 20000 + i;
  }
  ASSERT_TRUE(driver_->AddPorts(many).ok());
  const absl::Duration among_many = measure();
  RecordProperty("alone_us", absl::ToInt64Microseconds(alone));
  RecordProperty("among_500_us", absl::ToInt64Microseconds(among_many));
  // Generous, as other programs run on the same cores.
  EXPECT_LT(among_many, 5 * alone + absl::Milliseconds(1)) << "alone " << alone;
}

}  // namespace
}  // namespace darse::nft

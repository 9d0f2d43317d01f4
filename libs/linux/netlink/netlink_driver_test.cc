#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/netlink/fake_netlink_driver.h"
#include "libs/linux/netlink/net_namespace.h"
#include "libs/linux/netlink/rtnetlink_driver.h"

namespace darse::netlink {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::Gt;
using ::testing::Not;

BridgeSpec TestBridge() {
  return {.name = "drtbr0",
          .address = *Ipv4Prefix::Parse("10.201.7.1/24"),
          .mac = {2, 0, 10, 201, 7, 1},
          .mtu = 1400};
}

VethSpec TestVeth() {
  return {.host_name = "drtv0",
          .bridge = "drtbr0",
          .name = "eth0",
          .mac = {2, 0, 10, 201, 7, 2},
          .address = *Ipv4Prefix::Parse("10.201.7.2/24"),
          .gateway = Ipv4::Parse("10.201.7.1").value()};
}

const ns::IdMaps kMaps = {.uids = {{0, 1 << 30, 65536}}, .gids = {{0, 1 << 30, 65536}}};

std::string ReadFile(const std::string& path) {
  char buffer[256];
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t size = fd.valid() ? read(fd.get(), buffer, sizeof(buffer)) : 0;
  return std::string(buffer, std::max<ssize_t>(size, 0));
}

// Both drivers keep this contract. The real one works in a network namespace made for the test's
// thread, so that nothing of the host is touched and all of it vanishes with the test.
class NetlinkDriverTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    if (GetParam()) {
      ASSERT_EQ(unshare(CLONE_NEWNET), 0);
      driver_ = std::make_unique<RtnetlinkDriver>();
    } else {
      driver_ = std::make_unique<FakeNetlinkDriver>();
    }
  }
  void TearDown() override {
    driver_->DropNamespace(path()).IgnoreError();
    EXPECT_EQ(rmdir(directory_.c_str()), 0);
  }
  std::string path() const { return directory_ + "/one"; }
  absl::Status Make(const std::optional<NamespaceOwner>& owner = std::nullopt) {
    absl::Status made = driver_->CreateNamespace(path(), owner);
    return made.ok() ? driver_->AddInterfaces(path(), {TestVeth()}) : made;
  }

  std::string directory_ = "/tmp/darse_netlink_XXXXXX";
  std::unique_ptr<NetlinkDriver> driver_;
};

TEST_P(NetlinkDriverTest, ABridgeMayBeEnsuredTwiceAndDeletedTwice) {
  ASSERT_TRUE(driver_->EnsureBridge(TestBridge()).ok());
  ASSERT_EQ(driver_->EnsureBridge(TestBridge()), absl::OkStatus());
  std::vector<Link> links = *driver_->Links();
  auto bridge = std::find_if(links.begin(), links.end(),
                             [](const Link& link) { return link.name == "drtbr0"; });
  ASSERT_NE(bridge, links.end());
  EXPECT_EQ(bridge->kind, "bridge");
  EXPECT_EQ(bridge->mtu, 1400);
  EXPECT_EQ(driver_->DeleteLink("drtbr0"), absl::OkStatus());
  EXPECT_EQ(driver_->DeleteLink("drtbr0"), absl::OkStatus());
  EXPECT_THAT(*driver_->Links(), Not(Contains(Field(&Link::name, "drtbr0"))));
}

TEST_P(NetlinkDriverTest, ANamespaceIsListedUntilItIsDropped) {
  ASSERT_TRUE(driver_->EnsureBridge(TestBridge()).ok());
  ASSERT_EQ(Make(), absl::OkStatus());
  EXPECT_TRUE(driver_->IsNamespace(path()));
  EXPECT_THAT(*driver_->Namespaces(directory_), ElementsAre("one"));
  EXPECT_EQ(driver_->CreateNamespace(path(), {}).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(driver_->DropNamespace(path()), absl::OkStatus());
  EXPECT_EQ(driver_->DropNamespace(path()), absl::OkStatus());
  EXPECT_FALSE(driver_->IsNamespace(path()));
  EXPECT_THAT(*driver_->Namespaces(directory_), ElementsAre());
}

TEST_P(NetlinkDriverTest, TheFirstInterfaceMayBeMadeInAdvance) {
  VethSpec second = TestVeth();
  second.host_name = "drtv1";
  second.name = "eth1";
  second.address = *Ipv4Prefix::Parse("10.201.7.3/24");
  second.gateway.reset();
  EXPECT_EQ(driver_->PrepareInterface(path(), "drtv0", "eth0").code(), absl::StatusCode::kNotFound);
  ASSERT_EQ(driver_->CreateNamespace(path(), {}), absl::OkStatus());
  ASSERT_EQ(driver_->PrepareInterface(path(), "drtv0", "eth0"), absl::OkStatus());
  EXPECT_EQ(driver_->AddInterfaces(path(), {TestVeth(), second}).code(),
            absl::StatusCode::kNotFound);
  ASSERT_TRUE(driver_->EnsureBridge(TestBridge()).ok());
  EXPECT_EQ(driver_->AddInterfaces(path(), {TestVeth(), second}), absl::OkStatus());

  // What was prepared goes with its namespace.
  ASSERT_EQ(driver_->DropNamespace(path()), absl::OkStatus());
  ASSERT_EQ(driver_->CreateNamespace(path(), {}), absl::OkStatus());
  second.host_name = "drtv2";
  EXPECT_EQ(driver_->AddInterfaces(path(), {second}), absl::OkStatus());
}

TEST_P(NetlinkDriverTest, AnInterfaceOnAMissingBridgeIsRefused) {
  ASSERT_EQ(driver_->CreateNamespace(path(), {}), absl::OkStatus());
  EXPECT_EQ(driver_->AddInterfaces(path(), {TestVeth()}).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(driver_->AddInterfaces(directory_ + "/none", {TestVeth()}).code(),
            absl::StatusCode::kNotFound);
}

TEST_P(NetlinkDriverTest, ANamespaceMayBelongToAUserNamespaceThatIsMadeWithIt) {
  ASSERT_TRUE(driver_->EnsureBridge(TestBridge()).ok());
  const std::string other = directory_ + "/other";
  const NamespaceOwner owner = {.path = directory_ + "/user", .maps = kMaps};
  ASSERT_EQ(driver_->CreateNamespace(path(), owner), absl::OkStatus());
  ASSERT_EQ(driver_->AddInterfaces(path(), {TestVeth()}), absl::OkStatus());
  EXPECT_THAT(*driver_->Namespaces(directory_), ElementsAre("one", "user"));
  EXPECT_EQ(driver_->CreateNamespace(other, owner).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_FALSE(driver_->IsNamespace(other));
  EXPECT_EQ(driver_->DropNamespace(owner.path), absl::OkStatus());
  EXPECT_FALSE(driver_->IsNamespace(owner.path));
}

TEST_P(NetlinkDriverTest, ForwardingIsTurnedOnOnce) {
  // A new namespace takes the host's setting; what counts is that the second time changes nothing.
  ASSERT_TRUE(driver_->EnableForwarding().ok());
  EXPECT_FALSE(*driver_->EnableForwarding());
}

INSTANTIATE_TEST_SUITE_P(Fake, NetlinkDriverTest, testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Kernel, NetlinkDriverTest, testing::Values(true));

class KernelNetlinkTest : public NetlinkDriverTest {
 protected:
  // Of the namespace at path(), with the test's interface.
  void ExpectFurnished() {
    std::vector<Route> routes;
    std::vector<Link> links;
    std::string ports;
    std::thread inside([&] {
      UniqueFd fd(open(path().c_str(), O_RDONLY | O_CLOEXEC));
      ASSERT_EQ(setns(fd.get(), CLONE_NEWNET), 0);
      routes = *driver_->Routes();
      links = *driver_->Links();
      ports = ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    });
    inside.join();
    ASSERT_EQ(routes.size(), 2);
    EXPECT_EQ(routes[0].destination.ToString(), "0.0.0.0/0");
    EXPECT_EQ(routes[0].interface, "eth0");
    EXPECT_EQ(routes[1].destination.ToString(), "10.201.7.0/24");
    EXPECT_THAT(links, Contains(AllOf(Field(&Link::name, "eth0"), Field(&Link::mtu, 1400))));
    EXPECT_EQ(ports, "0\n");
    EXPECT_THAT(*driver_->Links(),
                Contains(AllOf(Field(&Link::name, "drtv0"), Field(&Link::mtu, 1400),
                               Field(&Link::master, Gt(0)))));
  }
};

TEST_P(KernelNetlinkTest, TheInsideHasItsAddressRouteAndSettings) {
  ASSERT_TRUE(driver_->EnsureBridge(TestBridge()).ok());
  ASSERT_EQ(Make(), absl::OkStatus());
  ExpectFurnished();
}

TEST_P(KernelNetlinkTest, WhatWasMadeInAdvanceIsNotTold) {
  ASSERT_TRUE(driver_->EnsureBridge(TestBridge()).ok());
  ASSERT_EQ(driver_->CreateNamespace(path(), {}), absl::OkStatus());
  ASSERT_EQ(driver_->PrepareInterface(path(), "drtv0", "eth0"), absl::OkStatus());
  ASSERT_EQ(driver_->AddInterfaces(path(), {TestVeth()}), absl::OkStatus());
  ExpectFurnished();
}

TEST_P(KernelNetlinkTest, ABridgeTakesAnotherMtu) {
  BridgeSpec bridge = TestBridge();
  ASSERT_TRUE(driver_->EnsureBridge(bridge).ok());
  bridge.mtu = 1300;
  ASSERT_EQ(driver_->EnsureBridge(bridge), absl::OkStatus());
  EXPECT_THAT(*driver_->Links(),
              Contains(AllOf(Field(&Link::name, "drtbr0"), Field(&Link::mtu, 1300))));
}

TEST_P(KernelNetlinkTest, TheHostsEndIsReapedAfterTheNamespaceIsDropped) {
  ASSERT_TRUE(driver_->EnsureBridge(TestBridge()).ok());
  ASSERT_TRUE(Make().ok());
  EXPECT_THAT(*driver_->Links(), Contains(Field(&Link::name, "drtv0")));
  ASSERT_TRUE(driver_->DropNamespace(path()).ok());
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  auto there = [&] {
    std::vector<Link> links = *driver_->Links();
    return std::any_of(links.begin(), links.end(),
                       [](const Link& link) { return link.name == "drtv0"; });
  };
  while (there() && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(2));
  EXPECT_FALSE(there());
}

INSTANTIATE_TEST_SUITE_P(Kernel, KernelNetlinkTest, testing::Values(true));

TEST(Ipv4Test, PrefixesKnowWhatTheyHoldAndOverlap) {
  const Ipv4Prefix pool = *Ipv4Prefix::Parse("10.89.0.0/16");
  const Ipv4Prefix subnet = *Ipv4Prefix::Parse("10.89.3.1/24");
  EXPECT_TRUE(pool.Contains(subnet.address));
  EXPECT_TRUE(pool.Overlaps(subnet));
  EXPECT_TRUE(subnet.Overlaps(pool));
  EXPECT_FALSE(subnet.Overlaps(*Ipv4Prefix::Parse("10.89.4.0/24")));
  EXPECT_TRUE(subnet.Overlaps(*Ipv4Prefix::Parse("0.0.0.0/0")));
  EXPECT_EQ(subnet.Network().ToString(), "10.89.3.0");
  EXPECT_EQ(subnet.Broadcast().ToString(), "10.89.3.255");
}

TEST(Ipv4Test, MalformedTextIsRefused) {
  for (const char* bad : {"", "10.89.0.0", "10.89.0.0/33", "10.89.0/16", "10.89.0.0/-1", "a/8"}) {
    EXPECT_FALSE(Ipv4Prefix::Parse(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace darse::netlink

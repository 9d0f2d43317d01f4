// The engine over fakes of the kernel: records, addresses, ports, names and recovery.
#include "services/runtime/networks/network_engine.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/netlink/fake_netlink_driver.h"
#include "libs/linux/nft/fake_nft_driver.h"
#include "libs/os/files.h"
#include "services/runtime/networks/id_ranges.h"

namespace darse::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class NetworkEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    ASSERT_TRUE(WriteFileVolatile(directory_ + "/resolv.conf",
                                  "nameserver 192.0.2.53\nsearch lan\noptions ndots:5 rotate\n")
                    .ok());
    links_.SetUplink("eth9", 1400);
    Restart({});
  }
  void TearDown() override {
    engine_.reset();
    events_.reset();
    db_.reset();
    EXPECT_TRUE(RemoveTree(directory_).ok());
  }
  // A runtime that dies and comes back: the kernel's state stays.
  void Restart(const std::set<std::string>& live) {
    engine_.reset();
    events_.reset();
    db_.reset();
    static const std::string kSchema = absl::StrCat(kNetworkSchema, EventLog::kSchema);
    static const sqlite::Migration kMigrations[] = {{1, kSchema.c_str()},
                                                    {2, kNetworkUserIdsSchema}};
    auto db = sqlite::Database::Open(directory_ + "/test.db", kMigrations);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
    events_ = std::make_unique<EventLog>(*db_, clock_);
    engine_ = std::make_unique<NetworkEngine>(
        *db_, *events_, links_, rules_, clock_, [this] { return Id(++ids_); }, Options());
    ASSERT_EQ(engine_->Recover(live), absl::OkStatus());
  }
  NetworkOptions Options() const {
    return {.bridge_prefix = "drt",
            .pool = pool_,
            .run_dir = directory_,
            .nft_table = "drt",
            .resolv_conf = directory_ + "/resolv.conf"};
  }
  static std::string Id(uint64_t number) {
    return absl::StrCat(absl::Hex(number * 0x9e3779b97f4a7c15, absl::kZeroPad16),
                        std::string(48, 'a'));
  }
  AttachRequest Web(uint64_t number = 1000) const {
    return {.container_id = Id(number), .container_name = absl::StrCat("web", number)};
  }
  std::string Names(absl::string_view network) {
    return *ReadFile(absl::StrCat(directory_, "/dns/", engine_->Get(network)->interface, ".names"));
  }
  std::string Netns(const AttachRequest& request) const {
    return directory_ + "/netns/" + request.container_id;
  }

  // As part of what makes and what deletes a container.
  absl::Status Reserve(const AttachRequest& request) {
    return db_->Write([&](sqlite::Transaction& tx) { return engine_->Reserve(tx, request); });
  }
  absl::Status Forget(absl::string_view container_id) {
    std::function<absl::Status()> withdraw;
    absl::Status forgotten = db_->Write([&](sqlite::Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(withdraw, engine_->Forget(tx, container_id));
      return absl::OkStatus();
    });
    return forgotten.ok() ? withdraw() : forgotten;
  }

  std::string directory_ = "/tmp/darse_networks_XXXXXX";
  std::string pool_ = "10.201.0.0/22";
  uint64_t ids_ = 0;
  FakeClock clock_;
  netlink::FakeNetlinkDriver links_;
  nft::FakeNftDriver rules_;
  std::unique_ptr<sqlite::Database> db_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<NetworkEngine> engine_;
};

TEST_F(NetworkEngineTest, TheDefaultNetworkIsThereFromTheStartAndStays) {
  absl::StatusOr<Network> network = engine_->Get("bridge");
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_EQ(network->subnet, "10.201.0.0/24");
  EXPECT_EQ(network->gateway, "10.201.0.1");
  EXPECT_EQ(links_.bridges().at(network->interface).mtu, 1400);
  EXPECT_EQ(engine_->Delete("bridge", "me").code(), absl::StatusCode::kFailedPrecondition);
  Restart({});
  EXPECT_EQ(engine_->Get("bridge")->id, network->id);
}

TEST_F(NetworkEngineTest, NetworksTakeFreeSubnetsUntilThePoolIsUsedUp) {
  links_.AddRoute({.destination = *netlink::Ipv4Prefix::Parse("10.201.2.0/25"), .interface = "x"});
  EXPECT_EQ(engine_->Create({.name = "a"}, "me")->subnet, "10.201.1.0/24");
  EXPECT_EQ(engine_->Create({.name = "b"}, "me")->subnet, "10.201.3.0/24");
  EXPECT_EQ(engine_->Create({.name = "c"}, "me").status().code(),
            absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(engine_->Delete("a", "me").ok());
  EXPECT_EQ(engine_->Create({.name = "c"}, "me")->subnet, "10.201.1.0/24");
}

TEST_F(NetworkEngineTest, ASubnetOfOnesOwnMustBeFree) {
  links_.AddRoute({.destination = *netlink::Ipv4Prefix::Parse("172.30.0.0/16"), .interface = "x"});
  EXPECT_TRUE(engine_->Create({.name = "a", .subnet = "172.29.5.0/26"}, "me").ok());
  EXPECT_EQ(engine_->Create({.name = "b", .subnet = "172.29.0.0/16"}, "me").status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(engine_->Create({.name = "b", .subnet = "172.30.9.0/24"}, "me").status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(engine_->Create({.name = "b", .subnet = "172.28.9.1/24"}, "me").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(NetworkEngineTest, TheSameNetworkAgainIsFineAndAnotherOfTheNameIsNot) {
  absl::StatusOr<Network> first = engine_->Create({.name = "a", .labels = {{"k", "v"}}}, "me");
  EXPECT_EQ(engine_->Create({.name = "a", .labels = {{"k", "v"}}}, "me")->id, first->id);
  EXPECT_EQ(engine_->Create({.name = "a", .internal = true}, "me").status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(engine_->Get(first->id.substr(0, 6))->name, "a");
}

TEST_F(NetworkEngineTest, DeletingANetworkLeavesNothingOfIt) {
  absl::StatusOr<Network> network = engine_->Create({.name = "a"}, "me");
  ASSERT_TRUE(engine_->Delete("a", "me").ok());
  EXPECT_FALSE(links_.bridges().contains(network->interface));
  EXPECT_THAT(rules_.networks(), SizeIs(1));
  EXPECT_FALSE(Exists(absl::StrCat(directory_, "/dns/", network->interface, ".names")));
}

TEST_F(NetworkEngineTest, AnAddressStaysAcrossStopsAndGoesWithTheContainer) {
  absl::StatusOr<AttachedNetwork> first = engine_->Attach(Web());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->endpoints[0].ipv4_address, "10.201.0.2");
  EXPECT_EQ(first->netns_path, Netns(Web()));
  ASSERT_TRUE(engine_->Detach(Web().container_id).ok());
  EXPECT_EQ(engine_->Attach(Web(2000))->endpoints[0].ipv4_address, "10.201.0.3");
  absl::StatusOr<AttachedNetwork> again = engine_->Attach(Web());
  EXPECT_EQ(again->endpoints[0].ipv4_address, "10.201.0.2");
  EXPECT_EQ(again->endpoints[0].mac_address, first->endpoints[0].mac_address);
  // The former veth may not have gone yet.
  EXPECT_NE(again->endpoints[0].host_interface, first->endpoints[0].host_interface);
  ASSERT_TRUE(Forget(Web().container_id).ok());
  EXPECT_EQ(engine_->Attach(Web(3000))->endpoints[0].ipv4_address, "10.201.0.2");
}

TEST_F(NetworkEngineTest, AReservedAddressBelongsToTheContainerThatNeverStarted) {
  ASSERT_TRUE(Reserve(Web()).ok());
  EXPECT_EQ(engine_->Attach(Web(2000))->endpoints[0].ipv4_address, "10.201.0.3");
  EXPECT_EQ(Reason(engine_->Delete(engine_->Create({.name = "n"}, "me")->id, "me")), "");
  AttachRequest other = Web(3000);
  ASSERT_TRUE(engine_->Create({.name = "n"}, "me").ok());
  other.networks = {{.network = "n"}};
  ASSERT_TRUE(Reserve(other).ok());
  EXPECT_EQ(Reason(engine_->Delete("n", "me")), "NETWORK_IN_USE");
  ASSERT_TRUE(Forget(other.container_id).ok());
  EXPECT_TRUE(engine_->Delete("n", "me").ok());
}

TEST_F(NetworkEngineTest, AnAddressMayBeAskedFor) {
  AttachRequest request = Web();
  request.networks = {{.network = "bridge", .ipv4_address = "10.201.0.77"}};
  EXPECT_EQ(engine_->Attach(request)->endpoints[0].ipv4_address, "10.201.0.77");
  AttachRequest other = Web(2000);
  other.networks = request.networks;
  EXPECT_EQ(Reason(engine_->Attach(other).status()), "ADDRESS_IN_USE");
  for (const char* bad : {"10.201.0.1", "10.201.0.0", "10.201.0.255", "10.202.0.5", "x"}) {
    other.networks[0].ipv4_address = bad;
    EXPECT_EQ(engine_->Attach(other).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST_F(NetworkEngineTest, SeveralNetworksGiveSeveralInterfacesAndOneDefaultRoute) {
  ASSERT_TRUE(engine_->Create({.name = "inner", .internal = true}, "me").ok());
  AttachRequest request = Web();
  request.networks = {{.network = "inner", .aliases = {"db"}}, {.network = "bridge"}};
  absl::StatusOr<AttachedNetwork> attached = engine_->Attach(request);
  ASSERT_TRUE(attached.ok()) << attached.status();
  const std::vector<netlink::VethSpec> veths = links_.namespaces().at(attached->netns_path);
  ASSERT_THAT(veths, SizeIs(2));
  EXPECT_EQ(veths[0].name, "eth0");
  EXPECT_FALSE(veths[0].gateway.has_value());
  EXPECT_EQ(veths[1].gateway->ToString(), "10.201.0.1");
  EXPECT_THAT(Names("inner"), HasSubstr(absl::StrCat("10.201.1.2 ", request.container_id,
                                                     " web1000 ", Id(1000).substr(0, 12), " db")));
  EXPECT_THAT(Names("inner"), HasSubstr("internal"));
  EXPECT_THAT(Names("bridge"), Not(HasSubstr(" db")));
  request.networks[1] = request.networks[0];
  EXPECT_FALSE(engine_->Attach(request).ok());
}

TEST_F(NetworkEngineTest, NamesComeWithAttachAndGoWithDetach) {
  ASSERT_TRUE(engine_->Attach(Web()).ok());
  EXPECT_THAT(Names("bridge"), HasSubstr("host 10.201.0.2 "));
  ASSERT_TRUE(engine_->Detach(Web().container_id).ok());
  ASSERT_TRUE(engine_->Detach(Web().container_id).ok());
  EXPECT_THAT(Names("bridge"), Not(HasSubstr("host")));
  EXPECT_THAT(links_.namespaces(), IsEmpty());
}

TEST_F(NetworkEngineTest, ResolvConfPointsAtTheGatewayAndKeepsTheHostsSearch) {
  EXPECT_EQ(engine_->Attach(Web())->resolv_conf,
            "nameserver 10.201.0.1\nsearch lan\noptions rotate ndots:0\n");
  AttachRequest own = Web(2000);
  own.dns = {"192.0.2.99"};
  own.dns_search = {"example.org"};
  EXPECT_EQ(engine_->Attach(own)->resolv_conf,
            "nameserver 10.201.0.1\nsearch example.org\noptions rotate ndots:0\n");
  EXPECT_THAT(Names("bridge"), HasSubstr("forward 10.201.0.3 192.0.2.99\n"));
}

TEST_F(NetworkEngineTest, APublishedPortIsTakenUntilItsContainerStops) {
  AttachRequest request = Web();
  request.ports = {{.host_port = 0, .container_port = 80}};
  absl::StatusOr<AttachedNetwork> attached = engine_->Attach(request);
  ASSERT_TRUE(attached.ok()) << attached.status();
  const uint16_t chosen = attached->ports[0].host_port;
  ASSERT_NE(chosen, 0);
  ASSERT_THAT(rules_.ports(), SizeIs(1));
  EXPECT_EQ(rules_.ports()[0].address, "10.201.0.2");
  EXPECT_EQ(rules_.ports()[0].port, 80);

  AttachRequest other = Web(2000);
  other.ports = {{.host_ip = "127.0.0.1", .host_port = chosen, .container_port = 8080}};
  const absl::Status refused = engine_->Attach(other).status();
  EXPECT_EQ(Reason(refused), "PORT_IN_USE");
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("\"web1000\""));
  // UDP is another matter.
  other.ports[0].protocol = "udp";
  EXPECT_TRUE(engine_->Attach(other).ok());
  other.ports[0].protocol = "tcp";
  ASSERT_TRUE(engine_->Detach(request.container_id).ok());
  EXPECT_TRUE(engine_->Attach(other).ok());
  EXPECT_THAT(rules_.ports(), SizeIs(1));
}

TEST_F(NetworkEngineTest, APortOfAnotherProgramIsRefusedWithItsName) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(fd.get(), 1), 0);
  ASSERT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  AttachRequest request = Web();
  request.ports = {{.host_port = ntohs(address.sin_port), .container_port = 80}};
  const absl::Status refused = engine_->Attach(request).status();
  EXPECT_EQ(Reason(refused), "PORT_IN_USE");
  EXPECT_THAT(std::string(refused.message()), HasSubstr(absl::StrCat("(pid ", getpid(), ")")));
  EXPECT_THAT(links_.namespaces(), IsEmpty());
}

TEST_F(NetworkEngineTest, WhatCannotBePublishedIsRefused) {
  ASSERT_TRUE(engine_->Create({.name = "inner", .internal = true}, "me").ok());
  AttachRequest request = Web();
  request.ports = {{.host_port = 0, .container_port = 80}};
  request.networks = {{.network = "inner"}};
  EXPECT_EQ(engine_->Attach(request).status().code(), absl::StatusCode::kFailedPrecondition);
  request.networks.clear();
  for (PortMapping bad : std::vector<PortMapping>{
           {.container_port = 0},
           {.container_port = 80, .protocol = "sctp"},
           {.host_ip = "::1", .container_port = 80},
           {.host_ip = "203.0.113.9", .host_port = 40000, .container_port = 80}}) {
    request.ports = {bad};
    EXPECT_EQ(engine_->Attach(request).status().code(), absl::StatusCode::kInvalidArgument);
  }
  request.ports = {{.host_port = 40000, .container_port = 80},
                   {.host_port = 40000, .container_port = 81}};
  EXPECT_EQ(engine_->Attach(request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(NetworkEngineTest, AFailedAttachLeavesNothingButTheAddress) {
  rules_.FailNext();
  AttachRequest request = Web();
  request.ports = {{.host_port = 0, .container_port = 80}};
  EXPECT_EQ(engine_->Attach(request).status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(links_.namespaces(), IsEmpty());
  EXPECT_THAT(rules_.ports(), IsEmpty());
  EXPECT_THAT(Names("bridge"), Not(HasSubstr("host")));
  EXPECT_TRUE(engine_->Attach(request).ok());
}

TEST_F(NetworkEngineTest, EachUserNamespaceHasIdsOfItsOwnAcrossRestarts) {
  AttachRequest one = Web(1000), two = Web(2000), plain = Web(3000);
  one.user_namespace = two.user_namespace = true;
  absl::StatusOr<AttachedNetwork> first = engine_->Attach(one);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->userns_path, directory_ + "/userns/" + one.container_id);
  EXPECT_EQ(links_.owners().at(first->userns_path), MapsFrom(first->first_id));
  EXPECT_EQ(engine_->Attach(plain)->first_id, 0u);
  EXPECT_EQ(engine_->Attach(plain)->userns_path, "");

  Restart({one.container_id});
  EXPECT_EQ(engine_->Find(one.container_id)->first_id, first->first_id);
  EXPECT_NE(engine_->Attach(two)->first_id, first->first_id);
  ASSERT_TRUE(engine_->Detach(one.container_id).ok());
  EXPECT_EQ(engine_->Find(one.container_id)->userns_path, "");
  ASSERT_TRUE(Forget(two.container_id).ok());
  EXPECT_TRUE(links_.IsNamespace(Netns(two)));
  ASSERT_TRUE(engine_->DropRest(two.container_id).ok());
  EXPECT_THAT(links_.owners(), IsEmpty());
  EXPECT_TRUE(engine_->DropRest(two.container_id).ok());
}

TEST_F(NetworkEngineTest, NamespacesMadeInAdvanceCanBeJoinedBeforeTheyAreComplete) {
  AttachRequest request = Web();
  request.user_namespace = true;
  request.ports = {{.host_port = 0, .container_port = 80, .protocol = "tcp"}};
  ASSERT_EQ(engine_->Prepare(request.container_id), absl::OkStatus());
  std::function<absl::Status()> rest;
  absl::StatusOr<AttachedNetwork> attached = engine_->Attach(request, &rest);
  ASSERT_TRUE(attached.ok()) << attached.status();
  ASSERT_TRUE(rest != nullptr);
  EXPECT_TRUE(links_.IsNamespace(attached->netns_path));
  EXPECT_EQ(links_.namespaces().at(attached->netns_path)[0].bridge, "");
  EXPECT_THAT(rules_.ports(), IsEmpty());
  ASSERT_EQ(rest(), absl::OkStatus());
  EXPECT_NE(links_.namespaces().at(attached->netns_path)[0].bridge, "");
  EXPECT_THAT(rules_.ports(), SizeIs(1));
  ASSERT_TRUE(engine_->Detach(request.container_id).ok());

  // One that is never completed leaves nothing either.
  request.container_id = Id(2000);
  ASSERT_EQ(engine_->Prepare(request.container_id), absl::OkStatus());
  ASSERT_TRUE(engine_->Attach(request, &rest).ok());
  ASSERT_TRUE(engine_->Detach(request.container_id).ok());
  EXPECT_THAT(links_.owners(), IsEmpty());
  EXPECT_THAT(rules_.ports(), IsEmpty());

  // Nothing is there to be joined: all is done at once.
  request.container_id = Id(3000);
  rest = nullptr;
  attached = engine_->Attach(request, &rest);
  EXPECT_TRUE(rest == nullptr);
  EXPECT_THAT(links_.namespaces().at(attached->netns_path), SizeIs(1));
}

TEST_F(NetworkEngineTest, NamespacesMadeInAdvanceAreUsedOnceOrGo) {
  AttachRequest request = Web();
  request.user_namespace = true;
  ASSERT_EQ(engine_->Prepare(request.container_id), absl::OkStatus());
  const ns::IdMaps prepared = links_.owners().begin()->second;
  EXPECT_EQ(MapsFrom(engine_->Attach(request)->first_id), prepared);
  EXPECT_NE(MapsFrom(engine_->Attach(request)->first_id), prepared);
  ASSERT_EQ(engine_->DropPrepared(request.container_id), absl::OkStatus());
  EXPECT_THAT(links_.owners(), SizeIs(1));
  ASSERT_TRUE(engine_->Detach(request.container_id).ok());

  // Who wants none, or another's, or what cannot be attached.
  for (int way = 0; way < 3; ++way) {
    AttachRequest other = Web(2000 + way);
    ASSERT_EQ(engine_->Prepare(other.container_id), absl::OkStatus());
    other.user_namespace = way == 2;
    if (way == 1) other.mode = NetworkMode::kHost;
    if (way == 2) other.networks = {{.network = "unknown"}};
    EXPECT_EQ(engine_->Attach(other).ok(), way != 2);
    EXPECT_THAT(links_.owners(), IsEmpty());
  }
  ASSERT_EQ(engine_->Prepare(Id(3000)), absl::OkStatus());
  ASSERT_EQ(engine_->DropPrepared(Id(3000)), absl::OkStatus());
  ASSERT_EQ(engine_->Prepare(Id(3000)), absl::OkStatus());
  Restart({});
  EXPECT_THAT(links_.owners(), IsEmpty());
}

TEST_F(NetworkEngineTest, AUserNamespaceIsSharedWithTheNetwork) {
  AttachRequest request = Web(), guest = Web(2000);
  request.user_namespace = guest.user_namespace = true;
  guest.mode = NetworkMode::kContainer;
  guest.network_container_id = request.container_id;
  absl::StatusOr<AttachedNetwork> attached = engine_->Attach(request);
  absl::StatusOr<AttachedNetwork> shared = engine_->Attach(guest);
  ASSERT_TRUE(shared.ok()) << shared.status();
  EXPECT_EQ(shared->userns_path, attached->userns_path);
  EXPECT_EQ(shared->first_id, attached->first_id);
  // As long as the guest runs nobody else gets the ids.
  ASSERT_TRUE(engine_->Detach(request.container_id).ok());
  for (uint64_t i = 1; i < kIdRanges; ++i) {
    ASSERT_EQ(engine_->Prepare(Id(4000 + i)), absl::OkStatus());
  }
  EXPECT_EQ(engine_->Prepare(Id(4000)).code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(engine_->Detach(guest.container_id).ok());
  EXPECT_EQ(engine_->Prepare(Id(4000)), absl::OkStatus());
  guest.user_namespace = false;
  request.user_namespace = false;
  ASSERT_TRUE(engine_->Attach(request).ok());
  EXPECT_EQ(engine_->Attach(guest)->userns_path, "");
}

TEST_F(NetworkEngineTest, ModesOtherThanBridge) {
  AttachRequest none = Web();
  none.mode = NetworkMode::kNone;
  EXPECT_EQ(engine_->Attach(none)->netns_path, Netns(none));
  EXPECT_THAT(links_.namespaces().at(Netns(none)), IsEmpty());

  AttachRequest host = Web(2000);
  host.mode = NetworkMode::kHost;
  EXPECT_EQ(engine_->Attach(host)->netns_path, "");
  EXPECT_THAT(engine_->Attach(host)->resolv_conf, HasSubstr("nameserver 192.0.2.53"));

  AttachRequest joined = Web(3000);
  joined.mode = NetworkMode::kContainer;
  joined.network_container_id = none.container_id;
  EXPECT_EQ(engine_->Attach(joined)->netns_path, Netns(none));
  // The namespace stays its owner's.
  ASSERT_TRUE(engine_->Detach(joined.container_id).ok());
  EXPECT_TRUE(links_.IsNamespace(Netns(none)));
  ASSERT_TRUE(engine_->Detach(none.container_id).ok());
  EXPECT_EQ(engine_->Attach(joined).status().code(), absl::StatusCode::kFailedPrecondition);

  host.ports = {{.host_port = 1, .container_port = 1}};
  EXPECT_EQ(engine_->Attach(host).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(NetworkEngineTest, RecoverKeepsTheLivingAndDropsTheDead) {
  AttachRequest live = Web();
  live.ports = {{.host_port = 0, .container_port = 80}};
  ASSERT_TRUE(engine_->Attach(live).ok());
  AttachRequest dead = Web(2000);
  dead.ports = {{.host_port = 0, .container_port = 81}};
  ASSERT_TRUE(engine_->Attach(dead).ok());
  Restart({live.container_id});
  EXPECT_TRUE(links_.IsNamespace(Netns(live)));
  EXPECT_FALSE(links_.IsNamespace(Netns(dead)));
  ASSERT_THAT(rules_.ports(), SizeIs(1));
  EXPECT_EQ(rules_.ports()[0].port, 80);
  EXPECT_THAT(Names("bridge"), HasSubstr("web1000"));
  EXPECT_THAT(Names("bridge"), Not(HasSubstr("web2000")));
  EXPECT_EQ(engine_->Find(live.container_id)->ports[0].host_port, rules_.ports()[0].host_port);
  EXPECT_THAT(engine_->Find(dead.container_id)->ports, IsEmpty());
}

TEST_F(NetworkEngineTest, RecoverMakesAndDropsBridges) {
  ASSERT_TRUE(engine_->Create({.name = "a"}, "me").ok());
  const std::string interface = engine_->Get("a")->interface;
  ASSERT_TRUE(links_.DeleteLink(interface).ok());
  // One of ours that no record knows, and ones of others whose names look alike.
  for (const char* name : {"drt0123abcd", "drt2ffff0000", "drtx", "docker0"}) {
    ASSERT_TRUE(links_.EnsureBridge({.name = name}).ok());
  }
  Restart({});
  const auto bridges = links_.bridges();
  EXPECT_TRUE(bridges.contains(interface));
  EXPECT_FALSE(bridges.contains("drt0123abcd"));
  EXPECT_TRUE(bridges.contains("drt2ffff0000"));
  EXPECT_TRUE(bridges.contains("drtx"));
  EXPECT_TRUE(bridges.contains("docker0"));
}

TEST_F(NetworkEngineTest, ABridgeThatSomebodyDeletedComesBack) {
  const std::string interface = engine_->Get("bridge")->interface;
  ASSERT_TRUE(links_.DeleteLink(interface).ok());
  ASSERT_EQ(engine_->Heal(), absl::OkStatus());
  EXPECT_TRUE(links_.bridges().contains(interface));
  ASSERT_TRUE(links_.DeleteLink(interface).ok());
  EXPECT_TRUE(engine_->Attach(Web()).ok());
}

TEST_F(NetworkEngineTest, AFirewallThatDropsForwardedPacketsIsWarnedOf) {
  EXPECT_THAT(engine_->Warnings(), IsEmpty());
  rules_.SetForwardDrops({"ip filter FORWARD"});
  EXPECT_THAT(engine_->Warnings(), ElementsAre(HasSubstr("\"ip filter FORWARD\"")));
}

TEST_F(NetworkEngineTest, ForwardingThatWasTurnedOnIsWrittenDown) {
  EXPECT_THAT(engine_->HostChanges(), ElementsAre(HasSubstr("ip_forward")));
  Restart({});
  EXPECT_THAT(engine_->HostChanges(), ElementsAre(HasSubstr("ip_forward")));
}

TEST_F(NetworkEngineTest, PruneTakesNetworksWithoutContainers) {
  ASSERT_TRUE(engine_->Create({.name = "used"}, "me").ok());
  ASSERT_TRUE(engine_->Create({.name = "idle"}, "me").ok());
  AttachRequest request = Web();
  request.networks = {{.network = "used"}};
  ASSERT_TRUE(Reserve(request).ok());
  EXPECT_THAT(*engine_->Prune("me"), ElementsAre("idle"));
  EXPECT_THAT(*engine_->List(), SizeIs(2));
}

TEST_F(NetworkEngineTest, ChangesAreTold) {
  const int64_t before = events_->Position()->newest;
  ASSERT_TRUE(engine_->Create({.name = "a"}, "uid=7").ok());
  AttachRequest request = Web();
  request.networks = {{.network = "a"}};
  ASSERT_TRUE(engine_->Attach(request).ok());
  ASSERT_TRUE(Forget(request.container_id).ok());
  ASSERT_TRUE(engine_->Delete("a", "uid=8").ok());
  std::vector<std::string> actions;
  const std::vector<Event> events = *events_->Read(before, 10);
  for (const Event& event : events) actions.push_back(event.action);
  EXPECT_THAT(actions, ElementsAre("create", "connect", "disconnect", "destroy"));
}

TEST_F(NetworkEngineTest, TearDownLeavesNothing) {
  AttachRequest request = Web();
  request.ports = {{.host_port = 0, .container_port = 80}};
  ASSERT_TRUE(engine_->Attach(request).ok());
  ASSERT_TRUE(links_.EnsureBridge({.name = "docker0"}).ok());
  ASSERT_EQ(TearDownNetworks(links_, rules_, Options()), absl::OkStatus());
  EXPECT_THAT(links_.namespaces(), IsEmpty());
  EXPECT_THAT(links_.bridges(), SizeIs(1));
  EXPECT_THAT(rules_.ports(), IsEmpty());
  EXPECT_FALSE(Exists(directory_ + "/dns"));
}

}  // namespace
}  // namespace darse::runtime

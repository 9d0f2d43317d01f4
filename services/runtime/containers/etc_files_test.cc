#include "services/runtime/containers/etc_files.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(EtcFilesTest, ContainerFindsItselfByHostname) {
  EXPECT_THAT(HostsFile({.hostname = "abc", .name = "web", .addresses = {"10.0.0.2"}}),
              HasSubstr("10.0.0.2\tabc web\n"));
}

TEST(EtcFilesTest, HostGatewayBecomesAnAddress) {
  EXPECT_THAT(HostsFile({.gateway = "10.0.0.1", .extra_hosts = {"host:host-gateway"}}),
              HasSubstr("10.0.0.1\thost\n"));
}

TEST(EtcFilesTest, HostGatewayWithoutANetworkIsLeftOut) {
  EXPECT_THAT(HostsFile({.extra_hosts = {"host:host-gateway"}}), Not(HasSubstr("\thost\n")));
}

TEST(EtcFilesTest, AddressOfVersionSixKeepsItsColons) {
  EXPECT_THAT(HostsFile({.extra_hosts = {"six:fd00::1"}}), HasSubstr("fd00::1\tsix\n"));
}

}  // namespace
}  // namespace darse::runtime

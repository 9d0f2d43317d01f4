#include "services/runtime/containers/spec_check.h"

#include <signal.h>

#include "gtest/gtest.h"

namespace darse::runtime {
namespace {

v1::ContainerSpec Minimal() {
  v1::ContainerSpec spec;
  spec.set_image("busybox");
  return spec;
}

absl::Status Check(v1::ContainerSpec spec) {
  std::vector<std::string> warnings;
  return CheckSpec(spec, warnings);
}

TEST(SpecCheckTest, AnImageAloneIsEnough) { EXPECT_TRUE(Check(Minimal()).ok()); }

TEST(SpecCheckTest, ARootFilesystemIsNeeded) {
  EXPECT_EQ(Check({}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(SpecCheckTest, NameWithASlashIsRefused) {
  v1::ContainerSpec spec = Minimal();
  spec.set_name("a/b");
  EXPECT_EQ(Check(spec).code(), absl::StatusCode::kInvalidArgument);
}

TEST(SpecCheckTest, EnvWithoutAValueIsRefused) {
  v1::ContainerSpec spec = Minimal();
  spec.add_env("HOME");
  EXPECT_FALSE(Check(spec).ok());
}

TEST(SpecCheckTest, TwoMountsOnOneTargetAreRefusedHoweverTheyAreWritten) {
  v1::ContainerSpec spec = Minimal();
  for (const char* target : {"/data", "//data/./"}) {
    v1::Mount* mount = spec.add_mounts();
    mount->set_type(v1::MOUNT_TYPE_VOLUME);
    mount->set_target(target);
  }
  EXPECT_FALSE(Check(spec).ok());
}

TEST(SpecCheckTest, RelativeBindSourceIsRefused) {
  v1::ContainerSpec spec = Minimal();
  v1::Mount* mount = spec.add_mounts();
  mount->set_type(v1::MOUNT_TYPE_BIND);
  mount->set_source("data");
  mount->set_target("/data");
  EXPECT_FALSE(Check(spec).ok());
}

TEST(SpecCheckTest, PortsOnTheHostNetworkAreDroppedWithAWarning) {
  v1::ContainerSpec spec = Minimal();
  spec.set_network_mode(v1::NETWORK_MODE_HOST);
  spec.add_ports()->set_container_port(80);
  std::vector<std::string> warnings;
  ASSERT_TRUE(CheckSpec(spec, warnings).ok());
  EXPECT_EQ(warnings.size(), 1u);
  EXPECT_TRUE(spec.ports().empty());
}

TEST(SpecCheckTest, OnePortCannotBePublishedTwice) {
  v1::ContainerSpec spec = Minimal();
  for (int container_port : {80, 81}) {
    v1::PortMapping* port = spec.add_ports();
    port->set_container_port(container_port);
    port->set_host_port(8080);
  }
  EXPECT_FALSE(Check(spec).ok());
}

TEST(SpecCheckTest, AutoRemoveExcludesRestarts) {
  v1::ContainerSpec spec = Minimal();
  spec.set_auto_remove(true);
  spec.mutable_restart_policy()->set_kind(v1::RestartPolicy::ALWAYS);
  EXPECT_FALSE(Check(spec).ok());
}

TEST(SpecCheckTest, SysctlOfTheWholeHostIsRefused) {
  v1::ContainerSpec spec = Minimal();
  (*spec.mutable_sysctls())["kernel.panic"] = "1";
  EXPECT_FALSE(Check(spec).ok());
}

TEST(SpecCheckTest, SignalsHaveNamesAndNumbers) {
  EXPECT_EQ(*ParseSignal("SIGHUP"), SIGHUP);
  EXPECT_EQ(*ParseSignal("term"), SIGTERM);
  EXPECT_EQ(*ParseSignal("9"), SIGKILL);
  EXPECT_EQ(*ParseSignal("SIGRTMIN+3"), 37);
  EXPECT_FALSE(ParseSignal("SIGNOTHING").ok());
  EXPECT_FALSE(ParseSignal("0").ok());
}

TEST(SpecCheckTest, AMaximumOfRestartsIsForThoseThatRestart) {
  auto check = [](v1::RestartPolicy::Kind kind, int retries, int window, int delay) {
    v1::RestartPolicy policy;
    policy.set_kind(kind);
    policy.set_max_retries(retries);
    if (window != 0) policy.mutable_window()->set_seconds(window);
    if (delay != 0) policy.mutable_delay()->set_seconds(delay);
    return CheckRestartPolicy(policy, false).ok();
  };
  EXPECT_TRUE(check(v1::RestartPolicy::ALWAYS, 3, 60, 86400));
  EXPECT_TRUE(check(v1::RestartPolicy::ON_FAILURE, 3, 0, 0));
  EXPECT_FALSE(check(v1::RestartPolicy::ALWAYS, 0, 60, 0));
  EXPECT_FALSE(check(v1::RestartPolicy::ALWAYS, 3, -1, 0));
  EXPECT_FALSE(check(v1::RestartPolicy::ALWAYS, 3, 0, 86401));
  EXPECT_FALSE(check(v1::RestartPolicy::NO, 3, 0, 0));
  EXPECT_FALSE(check(v1::RestartPolicy::NO, 0, 0, 1));
}

TEST(SpecCheckTest, UserNamespacesAreTheContainersOrTheHosts) {
  v1::ContainerSpec spec = Minimal();
  spec.set_userns_mode("private");
  EXPECT_TRUE(Check(spec).ok());
  spec.set_userns_mode("keep-id");
  EXPECT_EQ(Check(spec).code(), absl::StatusCode::kInvalidArgument);
}

TEST(SpecCheckTest, CapabilitiesTakeAPrefixOrNone) {
  EXPECT_EQ(*ParseCapability("net_admin"), "CAP_NET_ADMIN");
  EXPECT_EQ(*ParseCapability("CAP_CHOWN"), "CAP_CHOWN");
  EXPECT_FALSE(ParseCapability("FLY").ok());
}

TEST(SpecCheckTest, CleanPathNeverLeavesTheRoot) {
  EXPECT_EQ(CleanPath("/../../etc//passwd/"), "/etc/passwd");
  EXPECT_EQ(CleanPath("/"), "/");
}

}  // namespace
}  // namespace darse::runtime

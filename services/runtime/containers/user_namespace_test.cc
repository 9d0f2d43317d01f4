#include "services/runtime/containers/user_namespace.h"

#include <stdlib.h>
#include <unistd.h>

#include "gtest/gtest.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

v1::ContainerSpec Plain() {
  v1::ContainerSpec spec;
  spec.set_network_mode(v1::NETWORK_MODE_BRIDGE);
  return spec;
}

TEST(UserNamespaceTest, AContainerHasOneUnlessItTakesTheHosts) {
  v1::ContainerSpec spec = Plain();
  spec.add_cap_add("NET_ADMIN");
  spec.add_devices()->set_container_path("/dev/dri/card0");
  (*spec.mutable_sysctls())["net.core.somaxconn"] = "1";
  spec.set_uts_mode("host");
  ResolvedUser user = {.uid = 65535, .gid = 1000};
  EXPECT_EQ(SpecObstacle(spec, user), "");
  user.additional_gids = {65536};
  EXPECT_EQ(SpecObstacle(spec, user), "user or group 65536 is above 65535");
}

TEST(UserNamespaceTest, WhatCountsOnTheHostOnlyIsNamed) {
  using Change = void (*)(v1::ContainerSpec&);
  const std::pair<Change, const char*> kCases[] = {
      {[](auto& spec) { spec.set_userns_mode("host"); }, "it was asked for"},
      {[](auto& spec) { spec.set_privileged(true); }, "it is privileged"},
      {[](auto& spec) { spec.set_snapshot_id("x"); }, "it works on a snapshot"},
      {[](auto& spec) { spec.set_network_mode(v1::NETWORK_MODE_HOST); },
       "it uses the host's network"},
      {[](auto& spec) { spec.set_pid_mode("host"); }, "it sees the host's processes"},
      {[](auto& spec) { spec.set_ipc_mode("host"); }, "it uses the host's IPC namespace"},
      {[](auto& spec) { spec.add_cap_add("SYS_ADMIN"); }, "CAP_SYS_ADMIN counts only there"},
      {[](auto& spec) { (*spec.mutable_sysctls())["kernel.sem"] = "1"; }, "it sets kernel.sem"},
      {[](auto& spec) { spec.add_devices()->set_container_path("/x"); },
       "its device /x is not below /dev"},
      {[](auto& spec) {
         v1::Mount* mount = spec.add_mounts();
         mount->set_target("/mnt");
         mount->set_propagation("rshared");
       },
       "its mounts below /mnt are shared with the host"},
      {[](auto& spec) {
         v1::Mount* mount = spec.add_mounts();
         mount->set_target("/mnt");
         mount->set_propagation("rslave");
       },
       "mounts of the host come in below /mnt"}};
  for (const auto& [change, obstacle] : kCases) {
    v1::ContainerSpec spec = Plain();
    change(spec);
    EXPECT_EQ(SpecObstacle(spec, {}), obstacle);
  }
}

TEST(UserNamespaceTest, TheHostIsTriedAndNothingIsLeft) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  std::string directory = "/var/tmp/darse-userns-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  HostUserNamespaces host(directory);
  EXPECT_TRUE(ListDirectory(directory)->empty());
  EXPECT_EQ(host.obstacle(), host.BindObstacle(directory));
  EXPECT_EQ(host.BindObstacle("/proc"), "a file system at /proc has no id-mapped mounts");
  EXPECT_EQ(host.BindObstacle(directory + "/none"), "");
  ASSERT_EQ(chown(directory.c_str(), 0, 70000), 0);
  EXPECT_EQ(host.BindObstacle(directory), directory + " belongs to 0:70000, above 65535");
  ASSERT_TRUE(RemoveTree(directory).ok());
  // procfs can hold no layers, nor the directories for the trial.
  EXPECT_NE(HostUserNamespaces("/proc").obstacle(), "");
}

}  // namespace
}  // namespace darse::runtime

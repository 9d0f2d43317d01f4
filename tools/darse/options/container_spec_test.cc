#include "tools/darse/options/container_spec.h"

#include <google/protobuf/text_format.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/darse/options/port_option.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ContainerSpecTest : public ::testing::Test {
 protected:
  absl::StatusOr<ContainerSpec> Read(std::vector<std::string> words) {
    static const Verb* const kVerb = new Verb{.name = "run",
                                              .summary = "",
                                              .arguments = "",
                                              .min_arguments = 1,
                                              .max_arguments = -1,
                                              .ends_at_first_argument = true,
                                              .flags = ContainerSpecFlags()};
    words.insert(words.begin(), "run");
    const Verb* const verbs[] = {kVerb};
    auto line = ReadCommandLine(verbs, words);
    if (!line.ok()) return line.status();
    return ReadContainerSpec(line->arguments, around_);
  }
  std::string ErrorOf(std::vector<std::string> words) {
    words.push_back("image");
    auto spec = Read(std::move(words));
    return spec.ok() ? "no error" : std::string(spec.status().message());
  }

  FakeSurroundings around_;
};

TEST_F(ContainerSpecTest, ImageAndCommandAreWhatFollowsTheFlags) {
  auto spec = Read({"--name", "web", "debian", "sh", "-c", "true"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->name(), "web");
  EXPECT_EQ(spec->image(), "debian");
  EXPECT_THAT(spec->command().args(), ElementsAre("sh", "-c", "true"));
  EXPECT_FALSE(spec->has_entrypoint());
}

TEST_F(ContainerSpecTest, WithoutCommandTheImagesIsKept) {
  auto spec = Read({"debian"});
  ASSERT_TRUE(spec.ok());
  EXPECT_FALSE(spec->has_command());
}

TEST_F(ContainerSpecTest, AnEmptyEntrypointTakesTheImagesAway) {
  auto spec = Read({"--entrypoint=", "debian"});
  ASSERT_TRUE(spec.ok());
  EXPECT_TRUE(spec->has_entrypoint());
  EXPECT_EQ(spec->entrypoint().args_size(), 0);
}

TEST_F(ContainerSpecTest, EnvironmentComesFromFilesThenFlagsThenTheClient) {
  around_.variables["HOME_TOWN"] = "x";
  around_.files["env"] = "# remark\nA=1\nB=two words # not a remark\n\nHOME_TOWN\r\n";
  auto spec = Read({"--env-file", "env", "-e", "A=2", "-e", "UNSET", "debian"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->env(), ElementsAre("A=2", "B=two words # not a remark", "HOME_TOWN=x"));
}

TEST_F(ContainerSpecTest, ABadLineInAnEnvFileIsNamed) {
  around_.files["env"] = "A=1\nsome words=1\n";
  EXPECT_THAT(ErrorOf({"--env-file", "env"}), HasSubstr("env:2: \"some words\" is no name"));
  EXPECT_THAT(ErrorOf({"--env-file", "gone"}), HasSubstr("no such file"));
}

TEST_F(ContainerSpecTest, VolumesArePathsNamesOrAnonymous) {
  auto spec = Read({"-v", "data:/data", "-v./src:/src:ro,rslave", "-v", "/cache", "debian"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_EQ(spec->mounts_size(), 3);
  EXPECT_EQ(spec->mounts(0).type(), MOUNT_TYPE_VOLUME);
  EXPECT_EQ(spec->mounts(0).source(), "data");
  EXPECT_EQ(spec->mounts(1).type(), MOUNT_TYPE_BIND);
  EXPECT_EQ(spec->mounts(1).source(), "/here/src");
  EXPECT_TRUE(spec->mounts(1).create_source());
  EXPECT_TRUE(spec->mounts(1).read_only());
  EXPECT_EQ(spec->mounts(1).propagation(), "rslave");
  EXPECT_EQ(spec->mounts(2).source(), "");
  EXPECT_EQ(spec->mounts(2).target(), "/cache");
}

TEST_F(ContainerSpecTest, MountOptionsDependOnTheType) {
  auto spec = Read({"--mount", "type=bind,src=../x,dst=/x,readonly", "--mount",
                    "target=/t,tmpfs-size=1m,tmpfs-mode=0700,type=tmpfs", "--tmpfs",
                    "/run:size=64k,mode=755", "debian"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->mounts(0).source(), "/x");
  EXPECT_TRUE(spec->mounts(0).read_only());
  EXPECT_FALSE(spec->mounts(0).create_source());
  EXPECT_EQ(spec->mounts(1).tmpfs_size_bytes(), 1 << 20);
  EXPECT_EQ(spec->mounts(1).tmpfs_mode(), 0700u);
  EXPECT_EQ(spec->mounts(2).tmpfs_size_bytes(), 65536);
  EXPECT_EQ(spec->mounts(2).tmpfs_mode(), 0755u);
}

TEST_F(ContainerSpecTest, WhatAMountCannotDoIsRefusedByName) {
  EXPECT_THAT(ErrorOf({"-v", "a:/a:Z"}), HasSubstr("SELinux"));
  EXPECT_THAT(ErrorOf({"-v", "a/b:/a"}), HasSubstr("write ./a/b"));
  EXPECT_THAT(ErrorOf({"-v", "a:b"}), HasSubstr("must be absolute"));
  EXPECT_THAT(ErrorOf({"-v", "a:/b:shared"}), HasSubstr("\"shared\" is not supported"));
  EXPECT_THAT(ErrorOf({"--mount", "type=cluster,target=/x"}), HasSubstr("type \"cluster\""));
  EXPECT_THAT(ErrorOf({"--mount", "type=bind,target=/x"}), HasSubstr("needs source"));
  EXPECT_THAT(ErrorOf({"--tmpfs", "/x:uid=7"}), HasSubstr("\"uid=7\" is not supported"));
}

TEST_F(ContainerSpecTest, PortsHaveRangesProtocolsAndAddresses) {
  auto spec = Read({"-p", "8080:80", "-p", "127.0.0.1:53:53/udp", "-p", "9000-9001:90-91", "-p",
                    "70", "-p", "[::1]::71", "debian"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  std::vector<std::string> shown;
  for (const PortMapping& port : spec->ports()) shown.push_back(PortText(port));
  EXPECT_THAT(shown,
              ElementsAre("0.0.0.0:8080->80/tcp", "127.0.0.1:53->53/udp", "0.0.0.0:9000->90/tcp",
                          "0.0.0.0:9001->91/tcp", "0.0.0.0:0->70/tcp", "[::1]:0->71/tcp"));
}

TEST_F(ContainerSpecTest, BadPortsAreNamed) {
  EXPECT_THAT(ErrorOf({"-p", "eighty"}), HasSubstr("\"eighty\" is no port"));
  EXPECT_THAT(ErrorOf({"-p", "70000:80"}), HasSubstr("not within 1-65535"));
  EXPECT_THAT(ErrorOf({"-p", "1-3:1-2"}), HasSubstr("differ in length"));
  EXPECT_THAT(ErrorOf({"-p", "80/icmp"}), HasSubstr("neither tcp nor udp"));
  EXPECT_THAT(ErrorOf({"-p", "80:80", "--network", "host"}), HasSubstr("nothing can be published"));
}

TEST_F(ContainerSpecTest, NetworksAreNamesOrModes) {
  auto spec = Read({"--network", "back", "--network-alias", "db", "--ip", "10.0.0.9", "debian"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_EQ(spec->networks_size(), 1);
  EXPECT_EQ(spec->networks(0).network(), "back");
  EXPECT_THAT(spec->networks(0).aliases(), ElementsAre("db"));
  EXPECT_EQ(spec->networks(0).ipv4_address(), "10.0.0.9");
  EXPECT_EQ(Read({"--network=none", "i"})->network_mode(), NETWORK_MODE_NONE);
  EXPECT_EQ(Read({"--network=container:x", "i"})->network_container(), "x");
  EXPECT_EQ(Read({"--network=name=n,alias=a,ip=10.0.0.2", "i"})->networks(0).aliases(0), "a");
  EXPECT_THAT(ErrorOf({"--network=host", "--network=back"}), HasSubstr("excludes"));
  EXPECT_THAT(ErrorOf({"--ip=10.0.0.2"}), HasSubstr("exactly one --network"));
}

TEST_F(ContainerSpecTest, LimitsAreBytesAndNanoCpus) {
  auto spec = Read({"-m", "512m", "--memory-swap", "1g", "--cpus", "1.5", "--pids-limit", "-1",
                    "--ulimit", "nofile=1024:2048", "--ulimit", "core=0", "--shm-size=1m", "i"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->resources().memory_limit_bytes(), int64_t{512} << 20);
  EXPECT_EQ(spec->resources().memory_swap_limit_bytes(), int64_t{1} << 30);
  EXPECT_EQ(spec->resources().nano_cpus(), 1500000000);
  EXPECT_EQ(spec->resources().pids_limit(), 0);
  EXPECT_EQ(spec->ulimits(0).hard(), 2048);
  EXPECT_EQ(spec->ulimits(1).hard(), 0);
  EXPECT_EQ(spec->shm_size_bytes(), 1 << 20);
  EXPECT_THAT(ErrorOf({"-m", "lots"}), HasSubstr("--memory: \"lots\" is no size"));
  EXPECT_THAT(ErrorOf({"-m", "1g", "--memory-swap", "1m"}), HasSubstr("cannot be less"));
  EXPECT_THAT(ErrorOf({"--cpus", "two"}), HasSubstr("number of cores"));
  EXPECT_THAT(ErrorOf({"--ulimit", "nofile"}), HasSubstr("NAME=SOFT"));
}

TEST_F(ContainerSpecTest, RestartPoliciesAreDockers) {
  EXPECT_EQ(Read({"i"})->restart_policy().kind(), RestartPolicy::NO);
  EXPECT_EQ(Read({"--restart=on-failure:3", "i"})->restart_policy().max_retries(), 3);
  EXPECT_EQ(Read({"--restart=unless-stopped", "i"})->restart_policy().kind(),
            RestartPolicy::UNLESS_STOPPED);
  EXPECT_THAT(ErrorOf({"--restart=sometimes"}), HasSubstr("write no, always"));
  absl::StatusOr<ContainerSpec> bounded =
      Read({"--restart=always", "--restart-max-attempts=5", "--restart-window=10m",
            "--restart-delay=250ms", "i"});
  ASSERT_TRUE(bounded.ok()) << bounded.status();
  EXPECT_EQ(bounded->restart_policy().max_retries(), 5);
  EXPECT_EQ(bounded->restart_policy().window().seconds(), 600);
  EXPECT_EQ(bounded->restart_policy().delay().nanos(), 250'000'000);
  EXPECT_THAT(ErrorOf({"--restart-window=1m"}), HasSubstr("goes with a policy"));
  EXPECT_THAT(ErrorOf({"--restart=on-failure:2", "--restart-max-attempts=3"}),
              HasSubstr("are the same"));
  EXPECT_THAT(ErrorOf({"--restart=always", "--restart-delay=soon"}), HasSubstr("--restart-delay"));
  EXPECT_THAT(ErrorOf({"--restart=always", "--rm"}), HasSubstr("exclude each other"));
}

TEST_F(ContainerSpecTest, HealthFlagsReplaceTheImagesHealthcheck) {
  auto spec =
      Read({"--health-cmd", "curl -f x", "--health-interval=1500ms", "--health-retries=5", "i"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->healthcheck().test(), ElementsAre("CMD-SHELL", "curl -f x"));
  EXPECT_EQ(spec->healthcheck().interval().seconds(), 1);
  EXPECT_EQ(spec->healthcheck().interval().nanos(), 500000000);
  EXPECT_FALSE(spec->healthcheck().has_timeout());
  EXPECT_THAT(Read({"--no-healthcheck", "i"})->healthcheck().test(), ElementsAre("NONE"));
  EXPECT_THAT(ErrorOf({"--no-healthcheck", "--health-cmd=x"}), HasSubstr("excludes"));
  EXPECT_THAT(ErrorOf({"--health-interval=1s"}), HasSubstr("need --health-cmd"));
}

TEST_F(ContainerSpecTest, SecurityOptionsAreReadOrRefused) {
  around_.files["p.json"] = "{}";
  EXPECT_TRUE(Read({"--security-opt=no-new-privileges", "i"})->no_new_privileges());
  EXPECT_EQ(Read({"--security-opt=seccomp=p.json", "i"})->seccomp_profile(), "{}");
  EXPECT_EQ(Read({"--security-opt", "seccomp:unconfined", "i"})->seccomp_profile(), "unconfined");
  EXPECT_THAT(ErrorOf({"--security-opt=apparmor=mine"}), HasSubstr("is not supported"));
}

TEST_F(ContainerSpecTest, TheRestArrivesAsWritten) {
  auto spec = Read({"--device",
                    "/dev/fuse",
                    "--device=/dev/a:/dev/b:r",
                    "--sysctl=net.x=1",
                    "--log-opt=max-size=1m",
                    "--log-opt",
                    "max-file=2",
                    "--add-host",
                    "h:1.2.3.4",
                    "--pid=host",
                    "--oom-score-adj=-5",
                    "-it",
                    "--cap-add",
                    "NET_ADMIN",
                    "-w",
                    "/x",
                    "-u",
                    "1:2",
                    "--stop-timeout",
                    "3",
                    "-l",
                    "a",
                    "i"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->devices(0).permissions(), "rwm");
  EXPECT_EQ(spec->devices(1).container_path(), "/dev/b");
  EXPECT_EQ(spec->sysctls().at("net.x"), "1");
  EXPECT_EQ(spec->log().max_size_bytes(), 1 << 20);
  EXPECT_EQ(spec->log().max_files(), 2);
  EXPECT_THAT(spec->extra_hosts(), ElementsAre("h:1.2.3.4"));
  EXPECT_EQ(spec->pid_mode(), "host");
  EXPECT_EQ(spec->oom_score_adj(), -5);
  EXPECT_TRUE(spec->tty());
  EXPECT_TRUE(spec->stdin_open());
  EXPECT_EQ(spec->stop_timeout().seconds(), 3);
  EXPECT_EQ(spec->labels().at("a"), "");
  EXPECT_THAT(ErrorOf({"--log-opt=tag=x"}), HasSubstr("is not supported"));
  EXPECT_THAT(ErrorOf({"--device=fuse"}), HasSubstr("write /dev/HOST"));
  EXPECT_THAT(ErrorOf({"--pid=container:x"}), HasSubstr("is not supported"));
  EXPECT_THAT(ErrorOf({"--oom-score-adj=2000"}), HasSubstr("not within"));
}

}  // namespace
}  // namespace darse::client

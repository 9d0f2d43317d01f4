#include "services/runtime/containers/oci_config.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/linux/capability/capability.h"
#include "rapidjson/document.h"

namespace darse::runtime {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

OciInput Input() {
  OciInput input;
  input.id = "abc";
  input.spec.mutable_command()->add_args("sh");
  input.spec.set_working_dir("/");
  input.spec.set_network_mode(v1::NETWORK_MODE_BRIDGE);
  input.hostname = "abc";
  input.rootfs_path = "/r";
  input.cgroup_path = "/darse/abc";
  input.netns_path = "/run/netns/abc";
  input.etc_dir = "/etc-of-abc";
  return input;
}

rapidjson::Document Parse(const std::string& json) {
  rapidjson::Document document;
  document.Parse(json.c_str());
  EXPECT_FALSE(document.HasParseError()) << json;
  return document;
}

std::vector<std::string> Targets(const rapidjson::Document& config) {
  std::vector<std::string> targets;
  for (const auto& mount : config["mounts"].GetArray()) {
    targets.push_back(mount["destination"].GetString());
  }
  return targets;
}

TEST(OciConfigTest, HasDockersMountsAndMaskedPaths) {
  rapidjson::Document config = Parse(BuildOciConfig(Input()));
  for (const char* target : {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys",
                             "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}) {
    EXPECT_THAT(Targets(config), Contains(target));
  }
  EXPECT_EQ(config["linux"]["maskedPaths"].Size(), 12u);
  EXPECT_EQ(config["linux"]["readonlyPaths"].Size(), 5u);
}

TEST(OciConfigTest, AUserNamespaceIsJoinedAndMapsWhatIsBound) {
  OciInput input = Input();
  v1::Mount* mount = input.spec.add_mounts();
  mount->set_type(v1::MOUNT_TYPE_BIND);
  mount->set_source("/srv");
  mount->set_target("/data");
  auto options = [&] {
    rapidjson::Document config = Parse(BuildOciConfig(input));
    for (const auto& mounted : config["mounts"].GetArray()) {
      if (mounted["destination"] != "/data") continue;
      std::vector<std::string> words;
      for (const auto& word : mounted["options"].GetArray()) words.push_back(word.GetString());
      return words;
    }
    return std::vector<std::string>();
  };
  EXPECT_THAT(options(), Not(Contains("ridmap")));
  input.userns_path = "/run/userns/abc";
  input.first_id = 1 << 30;
  EXPECT_THAT(options(), Contains("ridmap"));
  rapidjson::Document config = Parse(BuildOciConfig(input));
  const auto& namespaces = config["linux"]["namespaces"];
  EXPECT_STREQ(namespaces[namespaces.Size() - 1]["path"].GetString(), "/run/userns/abc");
  EXPECT_EQ(config["linux"]["uidMappings"][0]["hostID"].GetInt(), 1 << 30);
  EXPECT_EQ(config["linux"]["gidMappings"][0]["size"].GetInt(), 65536);
  // As many compose files have it.
  (*input.spec.mutable_sysctls())["net.ipv4.ping_group_range"] = "0 2147483647";
  config = Parse(BuildOciConfig(input));
  EXPECT_STREQ(config["linux"]["sysctl"]["net.ipv4.ping_group_range"].GetString(), "0 65535");
}

TEST(OciConfigTest, HoldsDockersFourteenCapabilities) {
  rapidjson::Document config = Parse(BuildOciConfig(Input()));
  EXPECT_EQ(config["process"]["capabilities"]["bounding"].Size(), 14u);
  EXPECT_EQ(config["process"]["capabilities"]["effective"].Size(), 14u);
}

TEST(OciConfigTest, OrdinaryUserHasNoEffectiveCapability) {
  OciInput input = Input();
  input.user.uid = 1000;
  rapidjson::Document config = Parse(BuildOciConfig(input));
  EXPECT_EQ(config["process"]["capabilities"]["effective"].Size(), 0u);
  EXPECT_EQ(config["process"]["capabilities"]["bounding"].Size(), 14u);
}

TEST(OciConfigTest, DropAllAddOneLeavesOne) {
  v1::ContainerSpec spec;
  spec.add_cap_drop("all");
  spec.add_cap_add("net_bind_service");
  EXPECT_THAT(Capabilities(spec), ElementsAre("CAP_NET_BIND_SERVICE"));
}

TEST(OciConfigTest, PrivilegedSeesUnmaskedPathsAndAllDevices) {
  OciInput input = Input();
  input.spec.set_privileged(true);
  rapidjson::Document config = Parse(BuildOciConfig(input));
  EXPECT_FALSE(config["linux"].HasMember("maskedPaths"));
  EXPECT_TRUE(config["linux"]["resources"]["devices"][0]["allow"].GetBool());
  absl::StatusOr<capability::Set> ours = capability::BoundingSet();
  ASSERT_TRUE(ours.ok()) << ours.status();
  EXPECT_EQ(config["process"]["capabilities"]["bounding"].Size(),
            capability::Names(*ours & capability::KernelSet()).size());
}

TEST(OciConfigTest, HostNetworkMeansNoNetworkNamespace) {
  OciInput input = Input();
  input.netns_path.clear();
  input.spec.set_network_mode(v1::NETWORK_MODE_HOST);
  rapidjson::Document config = Parse(BuildOciConfig(input));
  for (const auto& entry : config["linux"]["namespaces"].GetArray()) {
    EXPECT_STRNE(entry["type"].GetString(), "network");
  }
  EXPECT_FALSE(config["linux"].HasMember("sysctl"));
}

TEST(OciConfigTest, ParentsAreMountedBeforeWhatLiesInThem) {
  OciInput input = Input();
  for (const char* target : {"/a/b/c", "/a"}) {
    v1::Mount* mount = input.spec.add_mounts();
    mount->set_type(v1::MOUNT_TYPE_TMPFS);
    mount->set_target(target);
  }
  std::vector<std::string> targets = Targets(Parse(BuildOciConfig(input)));
  EXPECT_LT(std::find(targets.begin(), targets.end(), "/a"),
            std::find(targets.begin(), targets.end(), "/a/b/c"));
}

TEST(OciConfigTest, OwnHostsFileReplacesOurs) {
  OciInput input = Input();
  v1::Mount* mount = input.spec.add_mounts();
  mount->set_type(v1::MOUNT_TYPE_BIND);
  mount->set_source("/mine");
  mount->set_target("/etc/hosts");
  rapidjson::Document config = Parse(BuildOciConfig(input));
  std::vector<std::string> targets = Targets(config);
  EXPECT_EQ(std::count(targets.begin(), targets.end(), "/etc/hosts"), 1);
}

TEST(OciConfigTest, TmpfsModeIsWrittenInOctal) {
  OciInput input = Input();
  v1::Mount* mount = input.spec.add_mounts();
  mount->set_type(v1::MOUNT_TYPE_TMPFS);
  mount->set_target("/t");
  mount->set_tmpfs_mode(0750);
  EXPECT_THAT(BuildOciConfig(input), ::testing::HasSubstr("\"mode=0750\""));
}

TEST(OciConfigTest, VolumeIsABindOfItsDirectory) {
  OciInput input = Input();
  input.volume_paths["data"] = "/volumes/data/_data";
  v1::Mount* mount = input.spec.add_mounts();
  mount->set_type(v1::MOUNT_TYPE_VOLUME);
  mount->set_source("data");
  mount->set_target("/data");
  EXPECT_THAT(BuildOciConfig(input), ::testing::HasSubstr("\"source\":\"/volumes/data/_data\""));
}

TEST(OciConfigTest, LimitsBecomeCgroupNumbers) {
  OciInput input = Input();
  input.spec.mutable_resources()->set_memory_limit_bytes(64 << 20);
  input.spec.mutable_resources()->set_nano_cpus(1'500'000'000);
  input.spec.mutable_resources()->set_pids_limit(99);
  rapidjson::Document config = Parse(BuildOciConfig(input));
  const auto& resources = config["linux"]["resources"];
  EXPECT_EQ(resources["memory"]["limit"].GetInt64(), 64 << 20);
  EXPECT_EQ(resources["memory"]["swap"].GetInt64(), 128 << 20);
  EXPECT_EQ(resources["cpu"]["quota"].GetInt64(), 150'000);
  EXPECT_EQ(resources["pids"]["limit"].GetInt64(), 99);
}

TEST(OciConfigTest, UnlimitedUlimitIsTheLargestNumber) {
  OciInput input = Input();
  v1::Ulimit* limit = input.spec.add_ulimits();
  limit->set_name("core");
  limit->set_soft(0);
  limit->set_hard(-1);
  rapidjson::Document config = Parse(BuildOciConfig(input));
  EXPECT_EQ(config["process"]["rlimits"][0]["hard"].GetUint64(), UINT64_MAX);
}

TEST(OciConfigTest, EnvOfTheSpecGoesOverTheDefaults) {
  v1::ContainerSpec spec;
  spec.add_env("PATH=/mine");
  spec.add_env("HOME=/elsewhere");
  std::vector<std::string> env = BuildEnv(spec, "h", "/root", true, {"EXTRA=1"});
  EXPECT_THAT(env,
              ElementsAre("PATH=/mine", "HOSTNAME=h", "TERM=xterm", "HOME=/elsewhere", "EXTRA=1"));
}

TEST(OciConfigTest, InitRunsTheCommand) {
  OciInput input = Input();
  input.init_path = "/usr/bin/darse-init";
  rapidjson::Document config = Parse(BuildOciConfig(input));
  EXPECT_STREQ(config["process"]["args"][0].GetString(), "/dev/darse-init");
  EXPECT_STREQ(config["process"]["args"][2].GetString(), "sh");
}

TEST(OciConfigTest, SeccompProfileIsTakenAsItIs) {
  OciInput input = Input();
  input.seccomp_json = R"({"defaultAction":"SCMP_ACT_ERRNO"})";
  rapidjson::Document config = Parse(BuildOciConfig(input));
  EXPECT_STREQ(config["linux"]["seccomp"]["defaultAction"].GetString(), "SCMP_ACT_ERRNO");
}

}  // namespace
}  // namespace darse::runtime

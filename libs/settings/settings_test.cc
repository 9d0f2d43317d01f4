#include "libs/settings/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/os/files.h"

namespace darse {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SettingsTest : public testing::Test {
 protected:
  SettingsTest() {
    char name[] = "/tmp/darse-settings-XXXXXX";
    directory_ = ::mkdtemp(name);
    // Without a file named, the machine's own might be read.
    file_ = directory_ + "/darse.toml";
    WriteFileAtomically(file_, "").IgnoreError();
  }
  ~SettingsTest() override { RemoveTree(directory_).IgnoreError(); }

  absl::StatusOr<Settings> Load(absl::string_view toml, std::vector<std::string> environment = {},
                                std::vector<std::string> flags = {}) {
    EXPECT_TRUE(WriteFileAtomically(file_, toml).ok());
    environment.push_back("DARSE_CONFIG=" + file_);
    flags.insert(flags.begin(), "darse-test");
    auto pointers = [](std::vector<std::string>& strings) {
      std::vector<char*> result;
      for (std::string& text : strings) result.push_back(text.data());
      result.push_back(nullptr);
      return result;
    };
    std::vector<char*> argv = pointers(flags), envp = pointers(environment);
    return LoadSettings(static_cast<int>(flags.size()), argv.data(), envp.data());
  }
  std::string Error(absl::string_view toml, std::vector<std::string> environment = {},
                    std::vector<std::string> flags = {}) {
    auto settings = Load(toml, environment, flags);
    EXPECT_EQ(settings.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(settings.status().message());
  }

  std::string directory_;
  std::string file_;
};

TEST_F(SettingsTest, NothingSetGivesTheDefaults) {
  auto settings = Load("");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->root, "/var/lib/darse");
  EXPECT_EQ(settings->SocketPath("runtime"), "/run/darse/runtime.sock");
  EXPECT_EQ(settings->PidPath("runtime"), "/run/darse/runtime.pid");
  EXPECT_EQ(settings->StateDirectory("runtime"), "/var/lib/darse/runtime");
  EXPECT_EQ(settings->metrics_http, "127.0.0.1:9323");
}

TEST_F(SettingsTest, EveryKeyOfTheFileIsRead) {
  auto settings = Load(
      "root = \"/a/\"\nrun = \"/b\"\nlog_level = \"debug\"\n"
      "[network]\nbridge_prefix = \"tst\"\npool = \"10.1.0.0/16\"\nnft_table = \"t1\"\n"
      "[cgroup]\nparent = \"/x/y\"\n"
      "[shim]\npool_size = 7\n"
      "[metrics]\nhttp = \"off\"\ndatabase_limit_bytes = 2000000\n");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->root, "/a");
  EXPECT_EQ(settings->run, "/b");
  EXPECT_EQ(settings->log_level, LogLevel::kDebug);
  EXPECT_EQ(settings->network_bridge_prefix, "tst");
  EXPECT_EQ(settings->network_pool, "10.1.0.0/16");
  EXPECT_EQ(settings->network_nft_table, "t1");
  EXPECT_EQ(settings->cgroup_parent, "x/y");
  EXPECT_EQ(settings->shim_pool_size, 7);
  EXPECT_EQ(settings->metrics_http, "");
  EXPECT_EQ(settings->metrics_database_limit_bytes, 2000000);
}

TEST_F(SettingsTest, EnvironmentOverFileAndFlagsOverEnvironment) {
  auto settings =
      Load("root = \"/file\"\nrun = \"/file\"\n[cgroup]\nparent = \"file\"\n",
           {"DARSE_RUN=/env", "DARSE_CGROUP_PARENT=env"}, {"--cgroup-parent", "flag", "word"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->root, "/file");
  EXPECT_EQ(settings->run, "/env");
  EXPECT_EQ(settings->cgroup_parent, "flag");
  EXPECT_THAT(settings->arguments, ElementsAre("word"));
}

TEST_F(SettingsTest, AFlagMayHaveItsValueAfterAnEqualsSign) {
  auto settings = Load("", {}, {"--run=/r", "--metrics-http="});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->run, "/r");
  EXPECT_EQ(settings->metrics_http, "");
}

TEST_F(SettingsTest, AnUnknownKeyIsRefusedWithFileAndLine) {
  EXPECT_THAT(Error("run = \"/r\"\ncolour = 1\n"), HasSubstr("darse.toml:2: colour: unknown key"));
  EXPECT_THAT(Error("[network]\nmtu = 1\n"), HasSubstr("darse.toml:2: network.mtu: unknown key"));
  EXPECT_THAT(Error("[nets]\npool = 1\n"), HasSubstr("nets: unknown table"));
}

TEST_F(SettingsTest, ABrokenFileIsRefusedWithItsLine) {
  EXPECT_THAT(Error("root = \"/a\"\nrun = \n"), HasSubstr("darse.toml:2: "));
}

TEST_F(SettingsTest, BadValuesAreRefusedByName) {
  EXPECT_THAT(Error("root = \"relative\""), HasSubstr("root \"relative\": not an absolute path"));
  EXPECT_THAT(Error("root = true"), HasSubstr("root: neither a string nor a whole number"));
  EXPECT_THAT(Error("", {"DARSE_NETWORK_POOL=10.0.0.1/16"}), HasSubstr("DARSE_NETWORK_POOL"));
  EXPECT_THAT(Error("", {"DARSE_NETWORK_POOL=10.0.0/16"}), HasSubstr("not an IPv4 network"));
  EXPECT_THAT(Error("", {}, {"--network-bridge-prefix", "toolongprefix"}),
              HasSubstr("--network-bridge-prefix"));
  EXPECT_THAT(Error("", {}, {"--cgroup-parent", "a/../b"}), HasSubstr("below the cgroup root"));
  EXPECT_THAT(Error("", {}, {"--metrics-http", "9323"}), HasSubstr("host:port"));
  EXPECT_THAT(Error("", {}, {"--log-level", "loud"}), HasSubstr("not one of"));
}

TEST_F(SettingsTest, UnknownFlagsAndMissingValuesAreRefused) {
  EXPECT_THAT(Error("", {}, {"--colour=red"}), HasSubstr("unknown flag --colour"));
  EXPECT_THAT(Error("", {}, {"--root"}), HasSubstr("--root: needs a value"));
}

TEST_F(SettingsTest, ANamedFileMustExist) {
  std::string program = "p", flag = "--config=" + directory_ + "/none";
  char* argv[] = {program.data(), flag.data(), nullptr};
  char* environment[] = {nullptr};
  EXPECT_EQ(LoadSettings(2, argv, environment).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SettingsTest, HelpNamesEverySettingInAllThreeForms) {
  std::string help = SettingsHelp("darse-test");
  EXPECT_THAT(help, HasSubstr("--metrics-database-limit-bytes"));
  EXPECT_THAT(help, HasSubstr("DARSE_METRICS_DATABASE_LIMIT_BYTES"));
  EXPECT_THAT(help, HasSubstr("metrics.database_limit_bytes in the file"));
}

}  // namespace
}  // namespace darse

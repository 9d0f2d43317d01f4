#include "libs/oci/image_config.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace darse::oci {
namespace {

const char kDigestA[] = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

std::string Config(absl::string_view run) {
  return absl::StrCat(R"({"architecture":"amd64","os":"linux","config":)", run,
                      R"(,"rootfs":{"type":"layers","diff_ids":[")", kDigestA, R"("]}})");
}

TEST(ImageConfigTest, ReadsWhatDockerWrites) {
  absl::StatusOr<ImageConfig> config = ParseImageConfig(Config(
      R"({"User":"u:g","Env":["A=1"],"Cmd":["x","y"],"Entrypoint":null,"Volumes":{"/data":{}},
          "ExposedPorts":{"80/tcp":{}},"WorkingDir":"/w","Labels":{"k":"v"},"StopSignal":"SIGINT",
          "Healthcheck":{"Test":["CMD","true"],"Interval":1000000000,"Retries":2}})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->user, "u:g");
  EXPECT_EQ(config->cmd, (std::vector<std::string>{"x", "y"}));
  EXPECT_TRUE(config->entrypoint.empty());
  EXPECT_EQ(config->volumes, std::vector<std::string>{"/data"});
  EXPECT_EQ(config->labels.at("k"), "v");
  ASSERT_TRUE(config->healthcheck.has_value());
  EXPECT_EQ(config->healthcheck->interval, absl::Seconds(1));
  EXPECT_EQ(config->healthcheck->retries, 2);
  EXPECT_EQ(config->diff_ids.size(), 1u);
}

TEST(ImageConfigTest, AWrongTypeIsNamed) {
  absl::StatusOr<ImageConfig> config = ParseImageConfig(Config(R"({"Env":"A=1"})"));
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(config.status().message(), "\"Env\"")) << config.status();
}

TEST(ImageConfigTest, HostileJsonIsRefused) {
  EXPECT_FALSE(ParseImageConfig("").ok());
  EXPECT_FALSE(ParseImageConfig("[]").ok());
  EXPECT_FALSE(ParseImageConfig("{}").ok());
  EXPECT_FALSE(ParseImageConfig(std::string(100000, '[')).ok());
  EXPECT_FALSE(ParseImageConfig(Config("{}") + "x").ok());
  EXPECT_FALSE(ParseImageConfig(Config("{\"User\":\"\xff\"}")).ok());
  EXPECT_FALSE(ParseImageConfig(R"({"rootfs":{"diff_ids":["sha256:../../etc"]}})").ok());
}

TEST(ImageConfigTest, AMadeConfigIsReadAgain) {
  Digest a = *Digest::Parse(kDigestA);
  absl::StatusOr<std::string> json = MakeImageConfig({.config_json = R"({"Cmd":["sh"]})",
                                                      .created = "2026-01-01T00:00:00Z",
                                                      .architecture = "amd64",
                                                      .os = "linux",
                                                      .diff_ids = {a},
                                                      .history = {{.created_by = "test"}}});
  ASSERT_TRUE(json.ok()) << json.status();
  absl::StatusOr<ImageConfig> config = ParseImageConfig(*json);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cmd, std::vector<std::string>{"sh"});
  EXPECT_EQ(config->history[0].created_by, "test");
}

TEST(ImageConfigTest, ChainIdsFollowTheSpec) {
  Digest a = *Digest::Parse(kDigestA);
  Digest b = Digest::Of("b");
  std::vector<Digest> chain = ChainIds({a, b});
  EXPECT_EQ(chain[0], a);
  EXPECT_EQ(chain[1], Digest::Of(absl::StrCat(a.text(), " ", b.text())));
}

// rapidjson's exact strtod read beyond its tables here.
TEST(ImageConfigTest, ANumberOfVeryManyDigitsIsRefusedAndNothingElse) {
  EXPECT_FALSE(ParseImageConfig("0." + std::string(5000, '0') + "1").ok());
  EXPECT_FALSE(ParseImageConfig(R"({"a":0.)" + std::string(5000, '0') + "e-400}").ok());
}

}  // namespace
}  // namespace darse::oci

#include "services/builder/steps/image_config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::builder {
namespace {

constexpr char kBase[] =
    R"({"architecture":"arm64","os":"linux","created":"2024-01-01T00:00:00Z",)"
    R"("config":{"Env":["A=1"],"Cmd":["sh"],"Unknown":[1],"OnBuild":["RUN x"],)"
    R"("Healthcheck":{"Test":["CMD","h"],"Interval":5000000000,"Retries":3}},)"
    R"("rootfs":{"type":"layers","diff_ids":)"
    R"(["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]},)"
    R"("history":[{"created_by":"base"}]})";

TEST(ImageConfigTest, KeepsWhatTheBaseSaysAndAddsTheRest) {
  absl::StatusOr<dockerfile::ContainerConfig> config = ReadContainerConfig(kBase);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->on_build, ::testing::ElementsAre("RUN x"));
  EXPECT_EQ(config->healthcheck->interval, absl::Seconds(5));
  config->on_build.clear();
  config->cmd = {"run"};
  config->exposed_ports = {"80/tcp"};
  config->labels = {{"b", "2"}, {"a", "1"}};
  ImageParts parts{.base_config_json = kBase,
                   .config = *config,
                   .diff_ids = {"sha256:bb"},
                   .history = {{"RUN y", false}, {"CMD run", true}},
                   .created = absl::FromUnixSeconds(86400)};
  EXPECT_EQ(
      *MakeImageConfigJson(parts),
      R"({"architecture":"arm64","os":"linux","created":"1970-01-02T00:00:00Z",)"
      R"("config":{"Unknown":[1],"ExposedPorts":{"80/tcp":{}},"Env":["A=1"],"Cmd":["run"],)"
      R"("Labels":{"a":"1","b":"2"},)"
      R"("Healthcheck":{"Test":["CMD","h"],"Interval":5000000000,"Retries":3}},)"
      R"("rootfs":{"type":"layers","diff_ids":)"
      R"(["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","sha256:bb"]},)"
      R"("history":[{"created_by":"base"},)"
      R"({"created":"1970-01-02T00:00:00Z","created_by":"RUN y"},)"
      R"({"created":"1970-01-02T00:00:00Z","created_by":"CMD run","empty_layer":true}]})");
}

TEST(ImageConfigTest, FromScratchTakesTheHostsPlatform) {
  ImageParts parts{.platform = {.architecture = "amd64"}};
  EXPECT_EQ(*MakeImageConfigJson(parts),
            R"({"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":{},)"
            R"("rootfs":{"type":"layers","diff_ids":[]},"history":[]})");
}

TEST(ImageConfigTest, ABrokenBaseIsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(ReadContainerConfig("[]").status()));
}

}  // namespace
}  // namespace darse::builder

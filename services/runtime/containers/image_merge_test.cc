#include "services/runtime/containers/image_merge.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::runtime {
namespace {

using ::testing::ElementsAre;

oci::ImageConfig Image() {
  oci::ImageConfig image;
  image.entrypoint = {"/entry"};
  image.cmd = {"serve"};
  image.env = {"PATH=/bin", "A=1"};
  image.volumes = {"/data/"};
  image.labels = {{"from", "image"}, {"both", "image"}};
  image.working_dir = "/srv";
  image.user = "app";
  image.stop_signal = "SIGINT";
  return image;
}

v1::ContainerSpec Merge(const v1::ContainerSpec& spec) { return *MergeImage(spec, Image()); }

TEST(ImageMergeTest, EmptySpecTakesTheImagesValues) {
  v1::ContainerSpec merged = Merge({});
  EXPECT_THAT(merged.command().args(), ElementsAre("/entry", "serve"));
  EXPECT_EQ(merged.working_dir(), "/srv");
  EXPECT_EQ(merged.user(), "app");
  EXPECT_EQ(merged.stop_signal(), "SIGINT");
  EXPECT_FALSE(merged.has_healthcheck());
}

TEST(ImageMergeTest, CommandReplacesTheImagesCommandOnly) {
  v1::ContainerSpec spec;
  spec.mutable_command()->add_args("check");
  EXPECT_THAT(Merge(spec).command().args(), ElementsAre("/entry", "check"));
}

TEST(ImageMergeTest, EntrypointDropsTheImagesCommand) {
  v1::ContainerSpec spec;
  spec.mutable_entrypoint()->add_args("/other");
  EXPECT_THAT(Merge(spec).command().args(), ElementsAre("/other"));
}

TEST(ImageMergeTest, EmptiedEntrypointLeavesTheCommandAlone) {
  v1::ContainerSpec spec;
  spec.mutable_entrypoint();
  spec.mutable_command()->add_args("ls");
  EXPECT_THAT(Merge(spec).command().args(), ElementsAre("ls"));
}

TEST(ImageMergeTest, NoCommandAtAllIsRefused) {
  EXPECT_EQ(MergeImage({}, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ImageMergeTest, VariablesOfTheSpecGoOverTheImages) {
  v1::ContainerSpec spec;
  spec.add_env("A=2");
  spec.add_env("B=3");
  EXPECT_THAT(Merge(spec).env(), ElementsAre("PATH=/bin", "A=2", "B=3"));
}

TEST(ImageMergeTest, LabelsOfTheSpecGoOverTheImages) {
  v1::ContainerSpec spec;
  (*spec.mutable_labels())["both"] = "spec";
  v1::ContainerSpec merged = Merge(spec);
  EXPECT_EQ(merged.labels().at("both"), "spec");
  EXPECT_EQ(merged.labels().at("from"), "image");
}

TEST(ImageMergeTest, VolumeOfTheImageGetsAnAnonymousVolume) {
  v1::ContainerSpec merged = Merge({});
  ASSERT_EQ(merged.mounts_size(), 1);
  EXPECT_EQ(merged.mounts(0).target(), "/data");
  EXPECT_EQ(merged.mounts(0).source(), "");
}

TEST(ImageMergeTest, MountOfTheSpecReplacesTheImagesVolume) {
  v1::ContainerSpec spec;
  v1::Mount* mount = spec.add_mounts();
  mount->set_type(v1::MOUNT_TYPE_BIND);
  mount->set_source("/srv/data");
  mount->set_target("/data");
  EXPECT_EQ(Merge(spec).mounts_size(), 1);
}

TEST(ImageMergeTest, HealthcheckWithoutATestChangesTheImagesTimes) {
  oci::ImageConfig image = Image();
  image.healthcheck = oci::Healthcheck{.test = {"CMD", "true"}, .interval = absl::Seconds(9)};
  v1::ContainerSpec spec;
  spec.mutable_healthcheck()->set_retries(7);
  v1::ContainerSpec merged = *MergeImage(spec, image);
  EXPECT_THAT(merged.healthcheck().test(), ElementsAre("CMD", "true"));
  EXPECT_EQ(merged.healthcheck().interval().seconds(), 9);
  EXPECT_EQ(merged.healthcheck().retries(), 7);
}

TEST(ImageMergeTest, TestNoneSwitchesTheImagesHealthcheckOff) {
  oci::ImageConfig image = Image();
  image.healthcheck = oci::Healthcheck{.test = {"CMD", "true"}};
  v1::ContainerSpec spec;
  spec.mutable_healthcheck()->add_test("NONE");
  EXPECT_FALSE(MergeImage(spec, image)->has_healthcheck());
}

}  // namespace
}  // namespace darse::runtime

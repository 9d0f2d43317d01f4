#include "libs/oci/manifest.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace darse::oci {
namespace {

TEST(ManifestTest, AMadeManifestIsReadAgain) {
  Manifest manifest{
      .config = {.media_type = kConfigMediaType, .digest = Digest::Of("c"), .size = 1},
      .layers = {{.media_type = kTarLayerMediaType, .digest = Digest::Of("l"), .size = 7}}};
  absl::StatusOr<Manifest> read = ParseManifest(MakeManifest(manifest));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->config.digest, manifest.config.digest);
  ASSERT_EQ(read->layers.size(), 1u);
  EXPECT_EQ(read->layers[0].size, 7);
}

TEST(ManifestTest, AnIndexKeepsPlatformAndAnnotations) {
  Index index{.manifests = {{.media_type = kManifestMediaType,
                             .digest = Digest::Of("m"),
                             .size = 3,
                             .annotations = {{"k", "v"}},
                             .os = "linux",
                             .architecture = "arm64"}}};
  absl::StatusOr<Index> read = ParseIndex(MakeIndex(index));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->manifests[0].architecture, "arm64");
  EXPECT_EQ(read->manifests[0].annotations.at("k"), "v");
}

TEST(ManifestTest, HostileManifestsAreRefused) {
  EXPECT_FALSE(ParseManifest("{}").ok());
  EXPECT_FALSE(ParseManifest(R"({"schemaVersion":1})").ok());
  EXPECT_FALSE(ParseManifest(R"({"schemaVersion":2,"config":{"digest":"../x"},"layers":[]})").ok());
  std::string digest = Digest::Of("").text();
  EXPECT_FALSE(ParseManifest(absl::StrCat(R"({"schemaVersion":2,"config":{"digest":")", digest,
                                          R"("},"layers":{}})"))
                   .ok());
  EXPECT_FALSE(ParseManifest(absl::StrCat(R"({"schemaVersion":2,"config":{"size":-1,"digest":")",
                                          digest, R"("},"layers":[]})"))
                   .ok());
}

TEST(ManifestTest, DockersListOfImagesIsRead) {
  auto images = ParseSavedImages(
      R"([{"Config":"c.json","RepoTags":null,"Layers":["a/layer.tar","b/layer.tar"]}])");
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_EQ((*images)[0].layers.size(), 2u);
  EXPECT_FALSE(ParseSavedImages(R"([{"Layers":[]}])").ok());
  EXPECT_FALSE(ParseSavedImages(R"({"Config":"x"})").ok());
}

}  // namespace
}  // namespace darse::oci

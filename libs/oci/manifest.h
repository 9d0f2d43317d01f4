// What ties configs and layers together: OCI manifests and indexes, and `docker save`'s
// manifest.json.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/oci/digest.h"

namespace darse::oci {

inline constexpr char kManifestMediaType[] = "application/vnd.oci.image.manifest.v1+json";
inline constexpr char kIndexMediaType[] = "application/vnd.oci.image.index.v1+json";
inline constexpr char kConfigMediaType[] = "application/vnd.oci.image.config.v1+json";
inline constexpr char kTarLayerMediaType[] = "application/vnd.oci.image.layer.v1.tar";

struct Descriptor {
  std::string media_type;
  Digest digest;
  int64_t size = 0;
  std::map<std::string, std::string> annotations;
  // "linux", "arm64"; empty where not said.
  std::string os;
  std::string architecture;

  bool IsIndex() const;
};

struct Manifest {
  Descriptor config;
  // Base layer first.
  std::vector<Descriptor> layers;
};

struct Index {
  std::vector<Descriptor> manifests;
};

// Also Docker's manifest v2, schema 2, and its manifest list. INVALID_ARGUMENT names what is wrong.
absl::StatusOr<Manifest> ParseManifest(absl::string_view json);
absl::StatusOr<Index> ParseIndex(absl::string_view json);

// The same bytes for the same input.
std::string MakeManifest(const Manifest& manifest);
std::string MakeIndex(const Index& index);

// The file oci-layout: INVALID_ARGUMENT for a version other than 1.x.
absl::Status CheckLayout(absl::string_view json);

// One entry of `docker save`'s manifest.json; config and layers are names of members of the
// archive.
struct SavedImage {
  std::string config;
  std::vector<std::string> repo_tags;
  std::vector<std::string> layers;
};

absl::StatusOr<std::vector<SavedImage>> ParseSavedImages(absl::string_view json);
std::string MakeSavedImages(const std::vector<SavedImage>& images);

}  // namespace darse::oci

#include "services/runtime/images/load_plan.h"

#include <map>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/oci/image_config.h"
#include "libs/oci/manifest.h"
#include "libs/oci/reference.h"

namespace darse::runtime {
namespace {

constexpr int kMaxLinks = 8;
constexpr int kMaxIndexDepth = 4;

absl::Status Bad(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("archive: ", why));
}

std::string Quoted(absl::string_view name) {
  return absl::StrCat("\"", absl::CHexEscape(name.substr(0, 200)), "\"");
}

// Docker's old archives name layers by symlinks such as ../<id>/layer.tar: only text is joined
// here.
std::string Normal(absl::string_view path) {
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else {
      parts.push_back(part);
    }
  }
  return absl::StrJoin(parts, "/");
}

class Planner {
 public:
  Planner(const UnpackReport& report,
          absl::FunctionRef<absl::StatusOr<std::string>(int number)> read_blob)
      : report_(report), read_blob_(read_blob) {}

  absl::StatusOr<LoadPlan> Run() {
    if (report_.blobs.contains("manifest.json")) {
      RETURN_IF_ERROR(DockerArchive());
    } else if (report_.blobs.contains("index.json")) {
      RETURN_IF_ERROR(CheckLayoutVersion());
      ASSIGN_OR_RETURN(std::string index, ReadBlob("index.json"));
      RETURN_IF_ERROR(Index(index, "", 0));
    } else {
      return Bad("neither manifest.json (docker save) nor index.json (OCI layout) is in it");
    }
    if (plan_.images.empty()) return Bad("there is no image in it for this machine");
    return std::move(plan_);
  }

 private:
  std::string Follow(absl::string_view name) const {
    std::string at = Normal(name);
    for (int i = 0; i < kMaxLinks; ++i) {
      auto link = report_.links.find(at);
      if (link == report_.links.end()) break;
      at = Normal(link->second);
    }
    return at;
  }

  absl::StatusOr<std::string> ReadBlob(absl::string_view name) {
    auto found = report_.blobs.find(Follow(name));
    if (found == report_.blobs.end()) return Bad(absl::StrCat(Quoted(name), " is missing"));
    return read_blob_(found->second);
  }

  // A JSON member named by its digest, which must be true.
  absl::StatusOr<std::string> ReadDigest(const oci::Digest& digest) {
    ASSIGN_OR_RETURN(std::string bytes, ReadBlob(absl::StrCat("blobs/sha256/", digest.hex())));
    if (oci::Digest::Of(bytes) != digest) {
      return Bad(absl::StrCat("blob ", digest.text(), " has other content"));
    }
    return bytes;
  }

  absl::StatusOr<const UnpackedLayer*> FindLayer(absl::string_view name) {
    auto found = report_.layers.find(Follow(name));
    if (found == report_.layers.end())
      return Bad(absl::StrCat("layer ", Quoted(name), " is missing"));
    return &found->second;
  }

  absl::Status AddImage(std::string config_json, const std::vector<const UnpackedLayer*>& layers,
                        std::vector<std::string> references) {
    ASSIGN_OR_RETURN(oci::ImageConfig config, oci::ParseImageConfig(config_json));
    if (config.diff_ids.size() != layers.size()) {
      return Bad(absl::StrCat("an image's config names ", config.diff_ids.size(),
                              " layers, its manifest ", layers.size()));
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      if (config.diff_ids[i] != layers[i]->diff_id) {
        return Bad(absl::StrCat("layer ", i, " has digest ", layers[i]->diff_id.text(),
                                ", the config says ", config.diff_ids[i].text()));
      }
      if (taken_.emplace(layers[i]->diff_id.text(), true).second) {
        plan_.layers.push_back(*layers[i]);
      }
    }
    ASSIGN_OR_RETURN(references, FullNames(references));
    plan_.images.push_back(
        {.config_json = std::move(config_json), .references = std::move(references)});
    return absl::OkStatus();
  }

  absl::Status DockerArchive() {
    ASSIGN_OR_RETURN(std::string json, ReadBlob("manifest.json"));
    ASSIGN_OR_RETURN(std::vector<oci::SavedImage> images, oci::ParseSavedImages(json));
    for (const oci::SavedImage& image : images) {
      ASSIGN_OR_RETURN(std::string config, ReadBlob(image.config));
      std::vector<const UnpackedLayer*> layers;
      for (const std::string& name : image.layers) {
        ASSIGN_OR_RETURN(const UnpackedLayer* layer, FindLayer(name));
        layers.push_back(layer);
      }
      RETURN_IF_ERROR(AddImage(std::move(config), layers, image.repo_tags));
    }
    return absl::OkStatus();
  }

  absl::Status CheckLayoutVersion() {
    if (!report_.blobs.contains("oci-layout")) return Bad("index.json without oci-layout");
    ASSIGN_OR_RETURN(std::string layout, ReadBlob("oci-layout"));
    return oci::CheckLayout(layout);
  }

  static bool RunsHere(const oci::Descriptor& descriptor) {
    return descriptor.os.empty() ||
           (descriptor.os == "linux" && descriptor.architecture == oci::HostArchitecture());
  }

  // containerd writes the full name, others a name or a bare tag.
  static std::string NameOf(const oci::Descriptor& descriptor) {
    for (const char* key : {"io.containerd.image.name", "org.opencontainers.image.ref.name"}) {
      auto found = descriptor.annotations.find(key);
      if (found == descriptor.annotations.end()) continue;
      bool bare_tag = absl::string_view(key) == "org.opencontainers.image.ref.name" &&
                      !absl::StrContains(found->second, ':') &&
                      !absl::StrContains(found->second, '/');
      if (!bare_tag && oci::Reference::Parse(found->second).ok()) return found->second;
    }
    return "";
  }

  absl::Status Index(absl::string_view json, const std::string& outer_name, int depth) {
    if (depth > kMaxIndexDepth) return Bad("indexes in indexes without end");
    ASSIGN_OR_RETURN(oci::Index index, oci::ParseIndex(json));
    for (const oci::Descriptor& descriptor : index.manifests) {
      std::string name = NameOf(descriptor);
      if (name.empty()) name = outer_name;
      if (descriptor.IsIndex()) {
        ASSIGN_OR_RETURN(std::string inner, ReadDigest(descriptor.digest));
        RETURN_IF_ERROR(Index(inner, name, depth + 1));
      } else if (RunsHere(descriptor)) {
        RETURN_IF_ERROR(OneManifest(descriptor.digest, name));
      }
    }
    return absl::OkStatus();
  }

  absl::Status OneManifest(const oci::Digest& digest, const std::string& name) {
    ASSIGN_OR_RETURN(std::string json, ReadDigest(digest));
    ASSIGN_OR_RETURN(oci::Manifest manifest, oci::ParseManifest(json));
    ASSIGN_OR_RETURN(std::string config, ReadDigest(manifest.config.digest));
    std::vector<const UnpackedLayer*> layers;
    for (const oci::Descriptor& descriptor : manifest.layers) {
      ASSIGN_OR_RETURN(const UnpackedLayer* layer,
                       FindLayer(absl::StrCat("blobs/sha256/", descriptor.digest.hex())));
      if (layer->stored_digest != descriptor.digest) {
        return Bad(absl::StrCat("blob ", descriptor.digest.text(), " has other content"));
      }
      layers.push_back(layer);
    }
    std::vector<std::string> names;
    if (!name.empty()) names.push_back(name);
    return AddImage(std::move(config), layers, std::move(names));
  }

  const UnpackReport& report_;
  absl::FunctionRef<absl::StatusOr<std::string>(int number)> read_blob_;
  LoadPlan plan_;
  std::map<std::string, bool> taken_;
};

}  // namespace

absl::StatusOr<LoadPlan> PlanLoad(
    const UnpackReport& report,
    absl::FunctionRef<absl::StatusOr<std::string>(int number)> read_blob) {
  absl::StatusOr<LoadPlan> plan = Planner(report, read_blob).Run();
  if (absl::IsInvalidArgument(plan.status())) return WithReason(plan.status(), "BAD_ARCHIVE");
  return plan;
}

}  // namespace darse::runtime

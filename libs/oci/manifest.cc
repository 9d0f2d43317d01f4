#include "libs/oci/manifest.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/oci/json_document.h"

namespace darse::oci {
namespace {

constexpr size_t kMaxBytes = 4 << 20;
constexpr char kDockerList[] = "application/vnd.docker.distribution.manifest.list.v2+json";

using JsonWriter = rapidjson::Writer<rapidjson::StringBuffer>;

absl::StatusOr<Descriptor> ReadDescriptor(const JsonValue& value, absl::string_view what) {
  ASSIGN_OR_RETURN(JsonObject object, JsonObject::From(value, what));
  std::string digest;
  RETURN_IF_ERROR(object.Read("digest", &digest));
  ASSIGN_OR_RETURN(Digest parsed, Annotate(Digest::Parse(digest), what));
  Descriptor descriptor{.digest = std::move(parsed)};
  RETURN_IF_ERROR(object.Read("mediaType", &descriptor.media_type));
  RETURN_IF_ERROR(object.Read("size", &descriptor.size));
  if (descriptor.size < 0) return object.WrongType("size", "a size");
  RETURN_IF_ERROR(object.Read("annotations", &descriptor.annotations));
  if (const JsonValue* platform = object.Find("platform")) {
    ASSIGN_OR_RETURN(JsonObject fields, JsonObject::From(*platform, "platform"));
    RETURN_IF_ERROR(fields.Read("os", &descriptor.os));
    RETURN_IF_ERROR(fields.Read("architecture", &descriptor.architecture));
  }
  return descriptor;
}

absl::Status ReadDescriptors(const JsonObject& object, absl::string_view name,
                             std::vector<Descriptor>* out) {
  const JsonValue* value = object.Find(name);
  if (value == nullptr || !value->IsArray()) return object.WrongType(name, "a list");
  for (const JsonValue& item : value->GetArray()) {
    ASSIGN_OR_RETURN(Descriptor descriptor, ReadDescriptor(item, name));
    out->push_back(std::move(descriptor));
  }
  return absl::OkStatus();
}

absl::Status CheckVersion(const JsonObject& object) {
  int64_t version = 0;
  RETURN_IF_ERROR(object.Read("schemaVersion", &version));
  if (version != 2) return object.WrongType("schemaVersion", "2");
  return absl::OkStatus();
}

void Put(JsonWriter& json, const char* key, const std::string& value) {
  json.Key(key);
  json.String(value);
}

void PutDescriptor(JsonWriter& json, const Descriptor& descriptor) {
  json.StartObject();
  Put(json, "mediaType", descriptor.media_type);
  Put(json, "digest", descriptor.digest.text());
  json.Key("size");
  json.Int64(descriptor.size);
  if (!descriptor.annotations.empty()) {
    json.Key("annotations");
    json.StartObject();
    for (const auto& [key, value] : descriptor.annotations) Put(json, key.c_str(), value);
    json.EndObject();
  }
  if (!descriptor.os.empty()) {
    json.Key("platform");
    json.StartObject();
    Put(json, "architecture", descriptor.architecture);
    Put(json, "os", descriptor.os);
    json.EndObject();
  }
  json.EndObject();
}

std::string Text(const rapidjson::StringBuffer& buffer) {
  return std::string(buffer.GetString(), buffer.GetSize());
}

}  // namespace

bool Descriptor::IsIndex() const {
  return media_type == kIndexMediaType || media_type == kDockerList;
}

absl::StatusOr<Manifest> ParseManifest(absl::string_view json) {
  ASSIGN_OR_RETURN(rapidjson::Document document, ParseJson(json, "image manifest", kMaxBytes));
  ASSIGN_OR_RETURN(JsonObject root, JsonObject::From(document, "image manifest"));
  RETURN_IF_ERROR(CheckVersion(root));
  const JsonValue* config = root.Find("config");
  if (config == nullptr) return absl::InvalidArgumentError("image manifest: no \"config\"");
  ASSIGN_OR_RETURN(Descriptor descriptor, ReadDescriptor(*config, "image manifest: config"));
  Manifest manifest{.config = std::move(descriptor)};
  RETURN_IF_ERROR(ReadDescriptors(root, "layers", &manifest.layers));
  return manifest;
}

absl::StatusOr<Index> ParseIndex(absl::string_view json) {
  ASSIGN_OR_RETURN(rapidjson::Document document, ParseJson(json, "image index", kMaxBytes));
  ASSIGN_OR_RETURN(JsonObject root, JsonObject::From(document, "image index"));
  RETURN_IF_ERROR(CheckVersion(root));
  Index index;
  RETURN_IF_ERROR(ReadDescriptors(root, "manifests", &index.manifests));
  return index;
}

std::string MakeManifest(const Manifest& manifest) {
  rapidjson::StringBuffer buffer;
  JsonWriter json(buffer);
  json.StartObject();
  json.Key("schemaVersion");
  json.Int(2);
  Put(json, "mediaType", kManifestMediaType);
  json.Key("config");
  PutDescriptor(json, manifest.config);
  json.Key("layers");
  json.StartArray();
  for (const Descriptor& layer : manifest.layers) PutDescriptor(json, layer);
  json.EndArray();
  json.EndObject();
  return Text(buffer);
}

std::string MakeIndex(const Index& index) {
  rapidjson::StringBuffer buffer;
  JsonWriter json(buffer);
  json.StartObject();
  json.Key("schemaVersion");
  json.Int(2);
  Put(json, "mediaType", kIndexMediaType);
  json.Key("manifests");
  json.StartArray();
  for (const Descriptor& manifest : index.manifests) PutDescriptor(json, manifest);
  json.EndArray();
  json.EndObject();
  return Text(buffer);
}

absl::Status CheckLayout(absl::string_view json) {
  ASSIGN_OR_RETURN(rapidjson::Document document, ParseJson(json, "oci-layout", kMaxBytes));
  ASSIGN_OR_RETURN(JsonObject root, JsonObject::From(document, "oci-layout"));
  std::string version;
  RETURN_IF_ERROR(root.Read("imageLayoutVersion", &version));
  if (!absl::StartsWith(version, "1.")) return root.WrongType("imageLayoutVersion", "1.x");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SavedImage>> ParseSavedImages(absl::string_view json) {
  ASSIGN_OR_RETURN(rapidjson::Document document, ParseJson(json, "manifest.json", kMaxBytes));
  if (!document.IsArray()) return absl::InvalidArgumentError("manifest.json: not a list");
  std::vector<SavedImage> images;
  for (const JsonValue& item : document.GetArray()) {
    ASSIGN_OR_RETURN(JsonObject object, JsonObject::From(item, "manifest.json"));
    SavedImage image;
    RETURN_IF_ERROR(object.Read("Config", &image.config));
    RETURN_IF_ERROR(object.Read("RepoTags", &image.repo_tags));
    RETURN_IF_ERROR(object.Read("Layers", &image.layers));
    if (image.config.empty()) return object.WrongType("Config", "the name of a member");
    images.push_back(std::move(image));
  }
  return images;
}

std::string MakeSavedImages(const std::vector<SavedImage>& images) {
  rapidjson::StringBuffer buffer;
  JsonWriter json(buffer);
  json.StartArray();
  for (const SavedImage& image : images) {
    json.StartObject();
    Put(json, "Config", image.config);
    json.Key("RepoTags");
    json.StartArray();
    for (const std::string& tag : image.repo_tags) json.String(tag);
    json.EndArray();
    json.Key("Layers");
    json.StartArray();
    for (const std::string& layer : image.layers) json.String(layer);
    json.EndArray();
    json.EndObject();
  }
  json.EndArray();
  return Text(buffer);
}

}  // namespace darse::oci

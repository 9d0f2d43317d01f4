#include "tools/darse/image/image_rows.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"

namespace darse::client {

using namespace darse::runtime::v1;  // NOLINT: message names only

std::string FamiliarReference(absl::string_view reference) {
  if (absl::ConsumePrefix(&reference, "docker.io/")) absl::ConsumePrefix(&reference, "library/");
  return std::string(reference);
}

const std::vector<Column>& ImageColumns() {
  static const auto* const kColumns = new std::vector<Column>{{"Repository", "REPOSITORY"},
                                                              {"Tag", "TAG"},
                                                              {"ID", "IMAGE ID"},
                                                              {"CreatedSince", "CREATED"},
                                                              {"Size", "SIZE"}};
  return *kColumns;
}

const std::vector<std::string>& MoreImageFields() {
  static const auto* const kFields = new std::vector<std::string>{"CreatedAt", "Digest"};
  return *kFields;
}

std::vector<Json> ImageRows(const Image& image, bool truncate, absl::Time now) {
  std::vector<std::string> references(image.references().begin(), image.references().end());
  if (references.empty()) references.push_back("<none>:<none>");
  std::vector<Json> rows;
  const absl::Time created = ToTime(image.create_time());
  const bool dated = created > absl::UnixEpoch();
  for (const std::string& reference : references) {
    const std::string familiar = FamiliarReference(reference);
    const size_t colon = familiar.rfind(':');
    rows.push_back(Json::Object({
        {"Repository", familiar.substr(0, colon)},
        {"Tag", colon == std::string::npos ? "<none>" : familiar.substr(colon + 1)},
        {"ID", truncate ? ShortId(image.id()) : image.id()},
        // Images with clamped times have none worth showing.
        {"CreatedSince", dated ? Ago(created, now) : "N/A"},
        {"CreatedAt", dated ? Stamp(created) : "N/A"},
        {"Digest", image.manifest_digest()},
        {"Size", DecimalSize(image.size_bytes())},
    }));
  }
  return rows;
}

Json InspectImage(const Image& image) {
  Json tags = Json::Array();
  for (const std::string& reference : image.references()) tags.Add(FamiliarReference(reference));
  Json layers = Json::Array();
  for (const Layer& layer : image.layers()) layers.Add(layer.diff_id());
  Json config = Json::Object();
  Json author;
  if (absl::StatusOr<Json> parsed = Json::Parse(image.config_json()); parsed.ok()) {
    if (const Json* inner = parsed->Find("config")) config = *inner;
    author = parsed->TextOf("author");
  }
  return Json::Object({
      {"Id", image.id()},
      {"RepoTags", tags},
      {"Digest", image.manifest_digest()},
      {"Created",
       absl::FormatTime(absl::RFC3339_full, ToTime(image.create_time()), absl::UTCTimeZone())},
      {"Author", author},
      {"Architecture", image.architecture()},
      {"Os", image.os()},
      {"Size", image.size_bytes()},
      {"Config", config},
      {"RootFS", Json::Object({{"Type", "layers"}, {"Layers", layers}})},
  });
}

const std::vector<Column>& HistoryColumns() {
  static const auto* const kColumns = new std::vector<Column>{{"CreatedSince", "CREATED"},
                                                              {"CreatedBy", "CREATED BY"},
                                                              {"Size", "SIZE"},
                                                              {"Comment", "COMMENT"}};
  return *kColumns;
}

std::vector<Json> HistoryRows(const GetImageResponse& response, bool truncate, absl::Time now) {
  // Newest first: layers are taken from the top.
  int layer = response.image().layers_size();
  std::vector<Json> rows;
  for (const HistoryEntry& entry : response.history()) {
    int64_t size = 0;
    if (!entry.empty_layer() && layer > 0) size = response.image().layers(--layer).size_bytes();
    const absl::Time created = ToTime(entry.create_time());
    rows.push_back(Json::Object({
        {"CreatedSince", created > absl::UnixEpoch() ? Ago(created, now) : "N/A"},
        {"CreatedAt", Stamp(created)},
        {"CreatedBy", truncate ? Shorten(entry.created_by(), 60) : entry.created_by()},
        {"Size", DecimalSize(size)},
        {"Comment", entry.comment()},
    }));
  }
  return rows;
}

}  // namespace darse::client

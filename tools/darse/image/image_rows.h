// Images as rows of `images` and as `inspect` prints them, with docker's field names. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "darse/runtime/v1/image_service.pb.h"
#include "tools/darse/output/json.h"
#include "tools/darse/output/listing.h"

namespace darse::client {

// "docker.io/library/debian:bookworm" → "debian:bookworm", as docker shows it.
std::string FamiliarReference(absl::string_view reference);

const std::vector<Column>& ImageColumns();
const std::vector<std::string>& MoreImageFields();
// A row for each name; one with "<none>" for an image without.
std::vector<Json> ImageRows(const darse::runtime::v1::Image& image, bool truncate, absl::Time now);
Json InspectImage(const darse::runtime::v1::Image& image);

const std::vector<Column>& HistoryColumns();
std::vector<Json> HistoryRows(const darse::runtime::v1::GetImageResponse& response, bool truncate,
                              absl::Time now);

}  // namespace darse::client

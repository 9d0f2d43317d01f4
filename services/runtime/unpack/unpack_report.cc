#include "services/runtime/unpack/unpack_report.h"

#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

std::string Line(std::vector<std::string> fields) {
  for (std::string& field : fields) field = absl::CHexEscape(field);
  return absl::StrCat(absl::StrJoin(fields, "\t"), "\n");
}

absl::Status Senseless(absl::string_view line) {
  return absl::InternalError(absl::StrCat("unpacker said \"", line.substr(0, 200), "\""));
}

absl::Status ReadLayer(const std::vector<std::string>& fields, absl::string_view line,
                       UnpackReport* report) {
  int number;
  int64_t bytes;
  if (fields.size() < 6 || !absl::SimpleAtoi(fields[2], &number) ||
      !absl::SimpleAtoi(fields[5], &bytes)) {
    return Senseless(line);
  }
  absl::StatusOr<oci::Digest> diff_id = oci::Digest::Parse(fields[3]);
  absl::StatusOr<oci::Digest> stored = oci::Digest::Parse(fields[4]);
  if (!diff_id.ok() || !stored.ok()) return Senseless(line);
  UnpackedLayer layer{
      .number = number, .diff_id = *diff_id, .stored_digest = *stored, .bytes = bytes};
  layer.opaque.assign(fields.begin() + 6, fields.end());
  report->layers.emplace(fields[1], std::move(layer));
  return absl::OkStatus();
}

}  // namespace

std::string BlobLine(absl::string_view name, int number) {
  return Line({"blob", std::string(name), absl::StrCat(number)});
}

std::string LayerLine(absl::string_view name, const UnpackedLayer& layer) {
  std::vector<std::string> fields = {"layer",
                                     std::string(name),
                                     absl::StrCat(layer.number),
                                     layer.diff_id.text(),
                                     layer.stored_digest.text(),
                                     absl::StrCat(layer.bytes)};
  fields.insert(fields.end(), layer.opaque.begin(), layer.opaque.end());
  return Line(std::move(fields));
}

std::string LinkLine(absl::string_view name, absl::string_view target) {
  return Line({"link", std::string(name), std::string(target)});
}

std::string EndLine(const absl::Status& status) {
  return Line(
      {"end", absl::StrCat(static_cast<int>(status.code())), std::string(status.message())});
}

absl::StatusOr<UnpackReport> ParseReport(absl::string_view lines) {
  UnpackReport report;
  std::optional<absl::Status> end;
  for (absl::string_view line : absl::StrSplit(lines, '\n', absl::SkipEmpty())) {
    std::vector<std::string> fields;
    for (absl::string_view field : absl::StrSplit(line, '\t')) {
      std::string text;
      if (!absl::CUnescape(field, &text)) return Senseless(line);
      fields.push_back(std::move(text));
    }
    int number;
    if (fields[0] == "layer") {
      RETURN_IF_ERROR(ReadLayer(fields, line, &report));
    } else if (fields[0] == "blob" && fields.size() == 3 && absl::SimpleAtoi(fields[2], &number)) {
      report.blobs[fields[1]] = number;
    } else if (fields[0] == "link" && fields.size() == 3) {
      report.links[fields[1]] = fields[2];
    } else if (fields[0] == "end" && fields.size() == 3 && absl::SimpleAtoi(fields[1], &number)) {
      end = absl::Status(static_cast<absl::StatusCode>(number), fields[2]);
    } else {
      return Senseless(line);
    }
  }
  if (!end) return absl::InternalError("the unpacker ended without a word");
  RETURN_IF_ERROR(*end);
  return report;
}

}  // namespace darse::runtime

#include "tools/darse/output/listing.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "tools/darse/output/template.h"
#include "tools/darse/output/units.h"

namespace darse::client {
namespace {

std::string Heading(const std::vector<Column>& columns, absl::string_view field) {
  for (const Column& column : columns) {
    if (column.field == field) return column.heading;
  }
  return absl::AsciiStrToUpper(field);
}

// A list without rows must not accept a template that one with rows refuses.
absl::Status CheckFields(const Template& parsed, const std::vector<Column>& columns,
                         const std::vector<std::string>& more_fields) {
  Json sample = Json::Object();
  for (const Column& column : columns) sample.Set(column.field, "");
  for (const std::string& field : more_fields) sample.Set(field, "");
  sample.Set("LabelMap", Json::Object());
  return parsed.Render(sample).status();
}

}  // namespace

std::string Table(const std::vector<std::vector<std::string>>& lines) {
  std::vector<size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], Width(line[i]));
  }
  std::string out;
  for (const auto& line : lines) {
    std::string text;
    for (size_t i = 0; i < line.size(); ++i) {
      absl::StrAppend(&text, line[i], std::string(widths[i] - Width(line[i]) + 3, ' '));
    }
    absl::StrAppend(&out, absl::StripTrailingAsciiWhitespace(text), "\n");
  }
  return out;
}

absl::StatusOr<std::string> Listing(const std::vector<Json>& rows,
                                    const std::vector<Column>& columns, absl::string_view format,
                                    const std::vector<std::string>& more_fields) {
  std::string out;
  if (format == "json") {
    for (const Json& row : rows) absl::StrAppend(&out, row.Compact(), "\n");
    return out;
  }
  std::vector<std::vector<std::string>> lines;
  if (format.empty() || format == "table") {
    std::vector<std::string>& headings = lines.emplace_back();
    for (const Column& column : columns) headings.push_back(column.heading);
    for (const Json& row : rows) {
      std::vector<std::string>& line = lines.emplace_back();
      for (const Column& column : columns) {
        const Json* cell = row.Find(column.field);
        line.push_back(cell ? cell->Plain() : "");
      }
    }
    return Table(lines);
  }
  const bool table = absl::ConsumePrefix(&format, "table ");
  ASSIGN_OR_RETURN(Template parsed, Template::Parse(format));
  if (rows.empty()) RETURN_IF_ERROR(CheckFields(parsed, columns, more_fields));
  if (table) {
    std::vector<std::string>& headings = lines.emplace_back();
    for (const std::string& field : parsed.Fields()) headings.push_back(Heading(columns, field));
  }
  for (const Json& row : rows) {
    ASSIGN_OR_RETURN(std::string line, parsed.Render(row));
    if (table) {
      lines.push_back(absl::StrSplit(line, '\t'));
    } else {
      absl::StrAppend(&out, line, "\n");
    }
  }
  return table ? Table(lines) : out;
}

absl::StatusOr<std::string> Inspection(const std::vector<Json>& values, absl::string_view format) {
  if (format.empty() || format == "json") {
    Json array = Json::Array();
    for (const Json& value : values) array.Add(value);
    return (format.empty() ? array.Indented() : array.Compact()) + "\n";
  }
  ASSIGN_OR_RETURN(Template parsed, Template::Parse(format));
  std::string out;
  for (const Json& value : values) {
    ASSIGN_OR_RETURN(std::string text, parsed.Render(value));
    absl::StrAppend(&out, text, "\n");
  }
  return out;
}

}  // namespace darse::client

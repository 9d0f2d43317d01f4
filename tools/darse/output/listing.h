// Rows of a list command (ps, images, volume ls, …) in the form that --format, -q and --no-trunc
// ask for.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/darse/output/json.h"

namespace darse::client {

struct Column {
  // Field of the row, and its heading.
  const char* field;
  const char* heading;
};

// Text in columns, three blanks apart, each as wide as its widest cell; no blanks at a line's end.
std::string Table(const std::vector<std::vector<std::string>>& lines);

// `format`: "" or "table" (the `columns`), "json" (one object a line), "table TEMPLATE" or
// TEMPLATE. INVALID_ARGUMENT for a template with an unknown field, also when there are no rows:
// then `columns` and `more_fields` say which fields there are.
absl::StatusOr<std::string> Listing(const std::vector<Json>& rows,
                                    const std::vector<Column>& columns, absl::string_view format,
                                    const std::vector<std::string>& more_fields = {});

// For inspect: "" or "json" a JSON array, otherwise a template over each value.
absl::StatusOr<std::string> Inspection(const std::vector<Json>& values, absl::string_view format);

}  // namespace darse::client

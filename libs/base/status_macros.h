// RETURN_IF_ERROR, ASSIGN_OR_RETURN and Annotate, until Debian's Abseil has them.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace darse {

// Prefixes the message with what was being done: "doing: why". Keeps code and payloads; OK stays
// OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view doing) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(doing, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

template <typename T>
absl::StatusOr<T> Annotate(absl::StatusOr<T> value, absl::string_view doing) {
  if (value.ok()) return value;
  return Annotate(value.status(), doing);
}

}  // namespace darse

#define RETURN_IF_ERROR(expr)                      \
  do {                                             \
    absl::Status darse_status_ = (expr);           \
    if (!darse_status_.ok()) return darse_status_; \
  } while (false)

#define DARSE_CONCAT_INNER_(a, b) a##b
#define DARSE_CONCAT_(a, b) DARSE_CONCAT_INNER_(a, b)
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL_(DARSE_CONCAT_(darse_statusor_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL_(statusor, lhs, expr)        \
  auto statusor = (expr);                                  \
  if (!statusor.ok()) return std::move(statusor).status(); \
  lhs = std::move(statusor).value()

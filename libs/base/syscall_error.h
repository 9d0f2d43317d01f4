// A failed system call as a status that still knows its errno: "doing: No such file or directory".
#pragma once

#include <string.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace darse {

inline constexpr char kErrnoUrl[] = "darse/errno";

inline absl::Status SyscallError(int error, absl::string_view doing) {
  absl::Status status = absl::ErrnoToStatus(error, doing);
  status.SetPayload(kErrnoUrl, absl::Cord(absl::StrCat(error)));
  return status;
}

// 0 if the status does not come from SyscallError.
inline int ErrnoOf(const absl::Status& status) {
  absl::optional<absl::Cord> payload = status.GetPayload(kErrnoUrl);
  int error = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &error)) return 0;
  return error;
}

}  // namespace darse

#include "libs/container/failure.h"

#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/reason.h"
#include "libs/base/syscall_error.h"

namespace darse::container {

absl::Status AtStep(absl::string_view step, absl::Status status) {
  if (!status.ok() && !status.GetPayload(kStepUrl).has_value()) {
    status.SetPayload(kStepUrl, absl::Cord(step));
  }
  return status;
}

std::string StepOf(const absl::Status& status) {
  absl::optional<absl::Cord> payload = status.GetPayload(kStepUrl);
  return payload.has_value() ? std::string(*payload) : std::string();
}

std::string EncodeFailure(const absl::Status& status) {
  constexpr size_t kLongest = 4096;
  return absl::StrCat(static_cast<int>(status.code()), "\n", StepOf(status), "\n", ErrnoOf(status),
                      "\n", Reason(status), "\n", status.message().substr(0, kLongest));
}

absl::Status DecodeFailure(absl::string_view bytes) {
  std::vector<std::string> lines = absl::StrSplit(bytes, absl::MaxSplits('\n', 4));
  int code = 0, error = 0;
  if (lines.size() != 5 || !absl::SimpleAtoi(lines[0], &code) ||
      !absl::SimpleAtoi(lines[2], &error)) {
    return absl::InternalError("a failure that cannot be read");
  }
  absl::Status status(static_cast<absl::StatusCode>(code), lines[4]);
  if (status.ok()) return absl::InternalError(lines[4]);
  if (!lines[1].empty()) status.SetPayload(kStepUrl, absl::Cord(lines[1]));
  if (error != 0) status.SetPayload(kErrnoUrl, absl::Cord(absl::StrCat(error)));
  if (!lines[3].empty()) status.SetPayload(kReasonUrl, absl::Cord(lines[3]));
  return status;
}

}  // namespace darse::container

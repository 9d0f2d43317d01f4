// What the absence of a service means to a person: what goes on without it, what waits for it. One
// place for the table of promises that `darse status` and every error about a missing service
// print.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tools/darse/session/method.h"

namespace darse::client {

const char* StillWorks(Service service);
const char* Waits(Service service);

// Since when a service is missing, as far as anyone knows.
struct Absence {
  std::optional<absl::Time> since;
  // Who says so: "the scheduler"; empty if it is only the newest time at which its files changed.
  std::string witness;
};

// "since 12:01:07 (the scheduler saw it go)", "not heard of after 12:01:07", "since when is not
// known".
std::string SinceText(const Absence& absence, absl::Time now);

// Several lines without "darse: ".
std::string MissingText(Service service, absl::string_view socket_path, const Absence& absence,
                        absl::string_view why, absl::Time now);

}  // namespace darse::client

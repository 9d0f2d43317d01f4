// Makes an image from a distribution's own package archive: debootstrap in a process tree of its
// own, then everything that belongs to this machine or this day is taken out.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/clock.h"
#include "services/runtime/images/image_engine.h"

namespace darse::runtime {

struct BootstrapRequest {
  // "debian:bookworm"
  std::string distribution;
  // Empty: `distribution`.
  std::string reference;
  // Empty: the host's own.
  std::string mirror;
  std::vector<std::string> include_packages;
};

struct BootstrapWatch {
  // A line of progress.
  std::function<void(absl::string_view line)> on_line;
  // Asked several times a second; true ends it with CANCELLED.
  std::function<bool()> cancelled;
};

// Answers the image's id. INVALID_ARGUMENT for a distribution that debootstrap does not know.
// Whatever happens, nothing of an unfinished one stays: if this process dies, debootstrap dies with
// it and Recover() removes the rest.
absl::StatusOr<std::string> Bootstrap(ImageEngine& images, Clock& clock,
                                      const BootstrapRequest& request, const BootstrapWatch& watch,
                                      absl::string_view actor);

}  // namespace darse::runtime

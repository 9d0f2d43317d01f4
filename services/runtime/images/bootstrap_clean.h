// What makes a fresh root filesystem fit to be an image.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace darse::runtime {

// The date of the archive's Release file, which apt's lists still hold; `fallback` if they do not.
absl::Time ReleaseDate(const std::string& root, absl::Time fallback);

// Takes out caches, logs, device nodes and what names this machine; sets apt up for a container.
absl::Status CleanBootstrap(const std::string& root, absl::string_view sources_list);

}  // namespace darse::runtime

// The options of an OCI mount ("ro", "rbind", "nosuid", "size=64m", …), sorted by what the kernel
// does with them. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace darse::mnt {

struct Options {
  bool bind = false;
  bool recursive = false;  // of the bind
  // MOUNT_ATTR_… for this mount, and for it with all below it ("rro").
  uint64_t set = 0, clear = 0;
  uint64_t set_recursive = 0, clear_recursive = 0;
  // MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, or 0.
  uint64_t propagation = 0;
  bool propagation_recursive = false;
  bool copy_up = false;  // tmpfs: start with what the image has there
  bool id_map = false;   // "idmap"
  bool id_map_recursive = false;
  // For the file system: a flag where the second is empty.
  std::vector<std::pair<std::string, std::string>> data;

  bool operator==(const Options&) const = default;
};

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& options);
// "private", "rslave", …; INVALID_ARGUMENT otherwise. The second says whether it is recursive.
absl::StatusOr<std::pair<uint64_t, bool>> ParsePropagation(const std::string& name);

}  // namespace darse::mnt

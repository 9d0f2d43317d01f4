// Which ids of the host the containers' user namespaces have.
#pragma once

#include <cstdint>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "libs/linux/namespace/id_maps.h"

namespace darse::runtime {

// Above what distributions give to people (/etc/subuid), below where ids become negative for
// programs that think they are int.
inline constexpr uint32_t kFirstId = 0x4000'0000;
inline constexpr uint32_t kIdsOfOne = 65536;
inline constexpr uint32_t kIdRanges = 8192;

// 0 to 65535 inside are `first` and those after it outside, users and groups.
ns::IdMaps MapsFrom(uint32_t first);

// Ranges, each named by its first id. Nothing on disk has such an id, so a range may be used again
// at once. Thread-safe.
class IdRanges {
 public:
  IdRanges();
  // RESOURCE_EXHAUSTED when all are in use.
  absl::StatusOr<uint32_t> Take();
  // One more user of a range, of this process or of one before.
  void Share(uint32_t first);
  void Return(uint32_t first);

 private:
  absl::Mutex mu_;
  uint32_t next_ ABSL_GUARDED_BY(mu_);
  // By first id.
  std::map<uint32_t, int> users_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::runtime

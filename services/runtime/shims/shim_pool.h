// Shims that were started in advance (services/shim/parked.h), each with the id that its container
// will have: ids mean nothing, so the pool may choose them, and everything that is named after one
// can be made before there is a container.
//
// One is used once. A runtime that dies takes its pool with it: the shims end at end-of-file.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/unique_fd.h"
#include "libs/os/spawn.h"

namespace darse::runtime {

struct ParkedShim {
  std::string id;
  std::string cgroup_path;
  Process process;
  // SOCK_SEQPACKET; the shim's report fd.
  UniqueFd socket;
};

// Thread-safe.
class ShimPool {
 public:
  struct Options {
    // How many are kept; 0: none.
    int size = 0;
    // Starts the shim for a new id; see ShimClient::Park.
    std::function<absl::StatusOr<ParkedShim>()> park;
    // Bytes that the machine can still give, and all it has.
    std::function<std::pair<int64_t, int64_t>()> memory;
    // Of one that is let go of: collects its exit, and takes back what was made for its container.
    std::function<void(const ParkedShim& shim)> let_go;
  };
  ShimPool(Options options, Clock& clock);
  // Lets go of all.
  ~ShimPool();

  // One that lives, or nullopt when there is none: never waits.
  std::optional<ParkedShim> Take();
  // Of one that was taken and is not wanted after all.
  void LetGo(ParkedShim shim);
  // Until the pool is as full as it gets; false at the deadline.
  bool WaitUntilFull(absl::Time deadline);

 private:
  void Fill();
  bool Wanted() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MemoryIsShort() const;

  const Options options_;
  Clock& clock_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  absl::Time last_taken_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  std::vector<ParkedShim> parked_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

// Of /proc/meminfo: MemAvailable and MemTotal.
std::pair<int64_t, int64_t> HostMemory();

}  // namespace darse::runtime

// The newest Observed, shared by those who see (the observe loop) and those who act (steps).
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "services/scheduler/observe/observed.h"

namespace darse::scheduler {

// Thread-safe. Answers may arrive in any order: of two views of a container the one with the higher
// revision stays, and one that was deleted does not come back.
class ObservedCache {
 public:
  Observed Snapshot() const;

  // As last stored; not synced.
  void Restore(const std::vector<SeenContainer>& containers);
  // Everything there was at `as_of`. What was put since then stays.
  void Replace(const std::vector<runtime::v1::Container>& containers,
               const std::vector<runtime::v1::Network>& networks,
               const std::vector<runtime::v1::Volume>& volumes, absl::Time as_of);
  // True if that changes it.
  bool SetSynced(bool synced);

  // True if it belongs to a stack and was not known so, or is gone and was known.
  bool PutContainer(const runtime::v1::Container& container, absl::Time now);
  bool RemoveContainer(const std::string& id);
  void PutNetwork(const runtime::v1::Network& network);
  void RemoveNetwork(const std::string& name);
  void SetNetworks(const std::vector<runtime::v1::Network>& networks);
  void PutVolume(const runtime::v1::Volume& volume);
  void RemoveVolume(const std::string& name);
  void SetVolumes(const std::vector<runtime::v1::Volume>& volumes);

  // `id` empty: there is no such image.
  void PutImage(const std::string& reference, const std::string& id);
  void ForgetImages();

 private:
  bool Put(const runtime::v1::Container& container, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool WasRemoved(const std::string& id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  Observed seen_ ABSL_GUARDED_BY(mu_);
  // Newest last; ids are never used again, so it only has to outlast answers under way.
  std::deque<std::string> removed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::scheduler

// Throws away what has grown old: contexts, ended builds, cache entries.
#pragma once

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "services/builder/builds/build_engine.h"
#include "services/builder/cache/cache_engine.h"
#include "services/builder/contexts/context_engine.h"

namespace darse::builder {

struct HousekeepingPolicy {
  absl::Duration every = absl::Minutes(10);
  absl::Duration context_age = absl::Hours(24);
  absl::Duration cache_age = absl::Hours(24 * 30);
  int kept_builds = 100;
};

// Thread-safe.
class HousekeepingLoop {
 public:
  HousekeepingLoop(HousekeepingPolicy policy, ContextEngine& contexts, BuildEngine& builds,
                   CacheEngine& cache, Clock& clock);
  ~HousekeepingLoop();

 private:
  void Loop();
  void Once();

  const HousekeepingPolicy policy_;
  ContextEngine& contexts_;
  BuildEngine& builds_;
  CacheEngine& cache_;
  Clock& clock_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace darse::builder

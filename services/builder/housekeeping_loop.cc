#include "services/builder/housekeeping_loop.h"

#include <utility>

#include "libs/base/log.h"

namespace darse::builder {
namespace {

void LogError(absl::string_view what, const absl::Status& status) {
  // Without the runtime no layer is let go; next time, then.
  if (status.ok() || absl::IsUnavailable(status)) return;
  Log(LogLevel::kWarning, what, {{"error", status.ToString()}});
}

}  // namespace

HousekeepingLoop::HousekeepingLoop(HousekeepingPolicy policy, ContextEngine& contexts,
                                   BuildEngine& builds, CacheEngine& cache, Clock& clock)
    : policy_(std::move(policy)),
      contexts_(contexts),
      builds_(builds),
      cache_(cache),
      clock_(clock),
      thread_([this] { Loop(); }) {}

HousekeepingLoop::~HousekeepingLoop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

void HousekeepingLoop::Loop() {
  absl::MutexLock lock(&mu_);
  while (!mu_.AwaitWithTimeout(absl::Condition(&stopping_), policy_.every)) {
    mu_.Unlock();
    Once();
    mu_.Lock();
  }
}

void HousekeepingLoop::Once() {
  LogError("contexts not collected", contexts_.Collect(policy_.context_age).status());
  LogError("old builds not forgotten", builds_.Trim(policy_.kept_builds));
  LogError("cache not pruned", cache_.Prune(clock_.Now() - policy_.cache_age).status());
}

}  // namespace darse::builder

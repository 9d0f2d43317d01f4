// Gathers what a plan is made from: what is there, what the images are, which peers are away.
#pragma once

#include <map>
#include <string>

#include "libs/base/clock.h"
#include "services/scheduler/observe/observed_cache.h"
#include "services/scheduler/peers/builder.h"
#include "services/scheduler/peers/runtime.h"
#include "services/scheduler/stacks/plan.h"

namespace darse::scheduler {

// Thread-safe.
class Survey {
 public:
  Survey(Runtime& runtime, Builder& builder, ObservedCache& cache)
      : runtime_(runtime), builder_(builder), cache_(cache) {}

  // Asks the runtime for images that are not in the cache yet.
  Plan PlanFor(const DesiredStack& desired);
  std::map<std::string, ImageState> Images(const DesiredStack& desired);
  ImageState ImageOf(const DesiredStack& desired, const v1::ServiceSpec& service);
  // Id; empty if there is none or the runtime is away, with `missing` saying that there is none.
  std::string FindImage(const std::string& reference, bool* missing);
  // Empty, or "runtime since 12:01:07".
  std::string RuntimeMissing() const;
  std::string BuilderMissing() const;

 private:
  ImageState BuiltImage(const ServiceRecord& record, const v1::ServiceSpec& service);

  Runtime& runtime_;
  Builder& builder_;
  ObservedCache& cache_;
};

}  // namespace darse::scheduler

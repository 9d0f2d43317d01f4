// One build from its beginning to its end: stages, then the image, which gets its tags when all of
// it is there.
//
// If the builder dies in the middle, the build begins again at the next start and finds in the
// cache what was done.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "libs/base/clock.h"
#include "libs/dockerfile/build_plan.h"
#include "services/builder/builds/build_input.h"
#include "services/builder/builds/build_journal.h"
#include "services/builder/cache/cache_engine.h"
#include "services/builder/cancellation.h"
#include "services/builder/contexts/context_engine.h"
#include "services/builder/runtime.h"
#include "services/builder/steps/build_session.h"
#include "services/builder/steps/stage_engine.h"

namespace darse::builder {

// What builds share. All of it outlives them.
struct BuildParts {
  sqlite::Database& db;
  Clock& clock;
  Runtime& runtime;
  ContextEngine& contexts;
  CacheEngine& cache;
  RunSlots& slots;
  dockerfile::Platform platform;
};

// One use.
class BuildRun {
 public:
  // `cancellation` ends it early; `is_stopping` tells that the builder itself ends, so that the
  // build is not over.
  BuildRun(const BuildParts& parts, BuildJournal& journal, Cancellation& cancellation,
           std::function<bool()> is_stopping);

  // Everything that happens to the build is in its journal afterwards; an error here is the
  // journal's own.
  absl::Status Execute();

 private:
  absl::Status RemoveLeftovers();
  absl::StatusOr<std::string> Build();
  absl::StatusOr<std::string> BuildOnce(const BuildInput& input, CacheEngine::Session& found,
                                        const OpenContext* context);
  absl::StatusOr<std::string> MakeImage(const BuildInput& input, const StageResult& target,
                                        BuildSession& session);

  const BuildParts parts_;
  BuildJournal& journal_;
  Cancellation& cancellation_;
  const std::function<bool()> is_stopping_;
  const BuildRecord begun_;
  CacheEngine::Session found_;
};

}  // namespace darse::builder

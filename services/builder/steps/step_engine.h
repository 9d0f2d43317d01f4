// Does one step over the files that the steps before left, or finds in the cache what came of it
// before.
//
//   key → cache → (claim key) → snapshot over the parent → files written, copied, or a command run
//   → layer → cache
//
// If the runtime goes away in the middle, the step waits; a command goes on under its shim
// meanwhile. What cannot go on begins again with a new snapshot. If the builder dies, its next
// start deletes the container and the snapshot.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/dockerfile/step.h"
#include "services/builder/cache/cache_engine.h"
#include "services/builder/contexts/context_engine.h"
#include "services/builder/contexts/copy_selection.h"
#include "services/builder/steps/build_session.h"

namespace darse::builder {

inline constexpr char kBuildLabel[] = "darse.build";
inline constexpr char kStepLabel[] = "darse.build.step";

// Where a step stands in its build.
struct StepSite {
  int number = 0;
  // "[web 2/5] RUN apt-get update"
  std::string title;
  // Of the files below; empty for none.
  std::string parent_chain_id;
};

struct StepOutcome {
  std::string chain_id;
  // Empty: no file changed.
  std::string diff_id;
};

struct StepOptions {
  int64_t clamp_time_seconds = 0;
  // For RUN without --network.
  std::string network;
};

// Thread-safe.
class StepEngine {
 public:
  // `context` may be null: there is none.
  StepEngine(BuildSession& session, CacheEngine& cache, CacheEngine::Session& found,
             RunSlots& slots, const OpenContext* context, StepOptions options);

  // Errors say file, line and instruction, and keep the code of what went wrong.
  absl::StatusOr<StepOutcome> Run(const StepSite& site, const dockerfile::Step& step);
  // COPY --from: `source_chain_id` is where it copies from.
  absl::StatusOr<StepOutcome> CopyFrom(const StepSite& site, const dockerfile::Step& step,
                                       absl::string_view source_chain_id);

 private:
  using Body = absl::FunctionRef<absl::Status(absl::string_view snapshot_id)>;

  absl::StatusOr<StepOutcome> Cached(const StepSite& site, const dockerfile::Step& step,
                                     const std::string& key, Body body);
  absl::StatusOr<std::optional<StepOutcome>> Find(const StepSite& site, const std::string& key);
  absl::StatusOr<StepOutcome> OnSnapshot(const StepSite& site, const dockerfile::Step& step,
                                         const std::string& key, Body body);
  absl::StatusOr<std::optional<NewLayer>> TryOnSnapshot(const StepSite& site, Body body);

  absl::StatusOr<StepOutcome> DoRun(const StepSite& site, const dockerfile::Step& step,
                                    dockerfile::RunStep run);
  absl::Status RunCommand(const StepSite& site, const dockerfile::RunStep& run,
                          absl::string_view snapshot_id);
  absl::Status Follow(const StepSite& site, absl::string_view container_id);
  absl::StatusOr<StepOutcome> DoCopy(const StepSite& site, const dockerfile::Step& step,
                                     const dockerfile::CopyStep& copy);
  absl::Status CopyContext(const dockerfile::CopyStep& copy, const Selection& selection,
                           absl::string_view snapshot_id);
  absl::Status WriteSelection(const dockerfile::CopyStep& copy, Selection selection,
                              absl::string_view snapshot_id);
  absl::StatusOr<std::pair<std::string, std::string>> Destination(const dockerfile::CopyStep& copy,
                                                                  bool single_file,
                                                                  absl::string_view snapshot_id);
  absl::StatusOr<StepOutcome> DoWorkdir(const StepSite& site, const dockerfile::Step& step,
                                        const dockerfile::WorkdirStep& workdir);
  absl::StatusOr<std::string> DigestOfChain(absl::string_view chain_id,
                                            const std::vector<std::string>& paths);

  BuildSession& session_;
  Runtime& runtime_;
  CacheEngine& cache_;
  CacheEngine::Session& found_;
  RunSlots& slots_;
  const OpenContext* context_;
  const StepOptions options_;
};

}  // namespace darse::builder

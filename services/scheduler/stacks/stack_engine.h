// What clients ask of the scheduler: every verb stores what is wanted and answers; the converge
// loop does the rest.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "darse/scheduler/v1/stack_service.pb.h"
#include "libs/base/clock.h"
#include "services/scheduler/contexts/context_directory.h"
#include "services/scheduler/observe/observed_cache.h"
#include "services/scheduler/stacks/converge_loop.h"
#include "services/scheduler/stacks/stack_board.h"
#include "services/scheduler/stacks/stack_book.h"
#include "services/scheduler/stacks/survey.h"

namespace darse::scheduler {

struct ApplyAnswer {
  int64_t revision = 0;
  bool changed = false;
  std::vector<Step> plan;
  std::vector<std::string> orphans;
  std::string waiting;
};

// What references mean now: service -> image id; empty: there is none. Services of which nothing is
// known are not in it.
using Pins = std::map<std::string, std::string>;

// --- pure parts of Apply

// Services of `request` that are applied: those named and, unless told otherwise, what they depend
// on; all if none is named. INVALID_ARGUMENT for a name that is not there.
absl::StatusOr<std::vector<std::string>> SelectedServices(const v1::ApplyStackRequest& request);
// `before` with the selected services of `request` in place of its own.
v1::StackSpec MergeSpec(const v1::StackSpec& before, const v1::StackSpec& request,
                        const std::vector<std::string>& selected);
// What the request makes of the present stack (nullptr: there is none).
absl::StatusOr<DesiredStack> Wanted(const v1::ApplyStackRequest& request,
                                    const DesiredStack* before, const Pins& pins, absl::Time now);

// Thread-safe.
class StackEngine {
 public:
  StackEngine(StackBook& book, StackBoard& board, ObservedCache& cache, Survey& survey,
              ConvergeLoop& loop, ContextDirectory& contexts, Clock& clock)
      : book_(book),
        board_(board),
        cache_(cache),
        survey_(survey),
        loop_(loop),
        contexts_(contexts),
        clock_(clock) {}

  // INVALID_ARGUMENT for a spec that contradicts itself. Applying the same again changes nothing.
  absl::StatusOr<ApplyAnswer> Apply(const v1::ApplyStackRequest& request);
  // UNAVAILABLE while nothing is known of the runtime yet.
  absl::StatusOr<std::vector<Step>> PlanOnly(const v1::PlanStackRequest& request);
  // NOT_FOUND.
  absl::StatusOr<v1::Stack> Get(absl::string_view name) const;
  // By name, after `after`.
  std::vector<v1::Stack> List(absl::string_view after, size_t most) const;
  // NOT_FOUND if neither a stack nor a container of one is known by that name.
  absl::Status Delete(absl::string_view name, bool delete_volumes,
                      std::optional<absl::Duration> timeout);
  // NOT_FOUND; INVALID_ARGUMENT for a service that is not in the stack.
  absl::Status Restart(absl::string_view name, const std::vector<std::string>& services);
  // Sentences about what waits for the peer ("runtime", "builder").
  std::vector<std::string> WaitingFor(absl::string_view peer) const;

 private:
  Pins FindPins(const v1::StackSpec& spec) const;
  void PruneContexts() const;

  StackBook& book_;
  StackBoard& board_;
  ObservedCache& cache_;
  Survey& survey_;
  ConvergeLoop& loop_;
  ContextDirectory& contexts_;
  Clock& clock_;
};

}  // namespace darse::scheduler

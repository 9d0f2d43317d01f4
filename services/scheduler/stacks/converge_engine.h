// Takes one step of a plan: the effect at a peer, and the record of it.
//
// Order: intent (which request makes the container, which build was begun) is stored, then the
// effect, then what came of it. After a crash in between, the next plan shows what is still to be
// done, and a request that was sent already answers with what it made the first time.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "libs/base/clock.h"
#include "services/scheduler/contexts/context_directory.h"
#include "services/scheduler/observe/observed_cache.h"
#include "services/scheduler/peers/builder.h"
#include "services/scheduler/peers/runtime.h"
#include "services/scheduler/stacks/stack_board.h"
#include "services/scheduler/stacks/stack_book.h"
#include "services/scheduler/stacks/survey.h"

namespace darse::scheduler {

// Thread-safe; steps of one key must not be taken at the same time.
class ConvergeEngine {
 public:
  ConvergeEngine(StackBook& book, StackBoard& board, ObservedCache& cache, Survey& survey,
                 Runtime& runtime, Builder& builder, ContextDirectory& contexts, Clock& clock)
      : book_(book),
        board_(board),
        cache_(cache),
        survey_(survey),
        runtime_(runtime),
        builder_(builder),
        contexts_(contexts),
        clock_(clock) {}

  // UNAVAILABLE if a peer went away in the middle. A build that failed is recorded, not answered.
  absl::Status Take(const std::string& stack, const Step& step);
  // Stores which images the references of a stack mean, where that is not known yet.
  absl::Status PinImages(const std::string& stack);

 private:
  absl::Status CreateNetwork(const DesiredStack& desired, const Step& step);
  absl::Status CreateVolume(const DesiredStack& desired, const Step& step);
  absl::Status Create(const DesiredStack& desired, const Step& step);
  absl::Status Recreate(const DesiredStack& desired, const Step& step);
  absl::Status StartTask(const DesiredStack& desired, const Step& step);
  absl::Status Restart(const DesiredStack& desired, const Step& step);
  absl::Status Delete(const DesiredStack& desired, const Step& step);
  absl::Status Build(const DesiredStack& desired, const Step& step);

  // Stops and deletes.
  absl::Status Remove(const DesiredStack& desired, const std::string& container_id,
                      bool delete_volumes);
  // Id of the request that makes this slot's container; the same until its outcome is recorded.
  absl::StatusOr<std::string> RequestFor(const std::string& stack, const Slot& slot);
  // The outcome of the request is known, or does not matter any more.
  absl::Status ForgetRequest(const std::string& stack, const Slot& slot);
  // Dependents that asked for it restart after `service` did.
  void RestartDependents(DesiredStack& stack, const std::string& service) const;
  absl::Status BeginBuild(const std::string& stack, const v1::ServiceSpec& service,
                          std::string* build_id);
  absl::Status SendContext(const v1::ServiceSpec& service);
  absl::Status FollowBuild(const std::string& stack, const v1::ServiceSpec& service,
                           const std::string& build_id);
  absl::Status RecordBuildError(const std::string& stack, const v1::ServiceSpec& service,
                                absl::string_view error);

  StackBook& book_;
  StackBoard& board_;
  ObservedCache& cache_;
  Survey& survey_;
  Runtime& runtime_;
  Builder& builder_;
  ContextDirectory& contexts_;
  Clock& clock_;
};

}  // namespace darse::scheduler

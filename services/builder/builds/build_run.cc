#include "services/builder/builds/build_run.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "services/builder/steps/image_config.h"
#include "services/builder/steps/step_engine.h"

namespace darse::builder {
namespace {

// Layers that the cache leads to may be gone; more often than this they do not go while a build
// lasts.
constexpr int kMaxRounds = 3;

}  // namespace

BuildRun::BuildRun(const BuildParts& parts, BuildJournal& journal, Cancellation& cancellation,
                   std::function<bool()> is_stopping)
    : parts_(parts),
      journal_(journal),
      cancellation_(cancellation),
      is_stopping_(std::move(is_stopping)),
      begun_(journal.record()),
      // With no_cache only what this very build did before a restart is taken.
      found_(parts.cache, begun_.spec.no_cache() ? begun_.created_at : absl::InfinitePast()) {}

absl::Status BuildRun::Execute() {
  RETURN_IF_ERROR(journal_.Change([&](BuildRecord& record) {
    record.state = BuildState::kRunning;
    record.started_at = parts_.clock.Now();
  }));
  absl::StatusOr<std::string> image = Build();
  if (!image.ok() && is_stopping_()) return absl::OkStatus();
  return journal_.Change(
      [&](BuildRecord& record) {
        record.finished_at = parts_.clock.Now();
        record.waiting_for.clear();
        if (image.ok()) {
          record.state = BuildState::kSucceeded;
          record.image_id = *image;
        } else if (cancellation_.canceled()) {
          record.state = BuildState::kCanceled;
          record.failed_exit_code = 0;
        } else {
          record.state = BuildState::kFailed;
          record.error = std::string(image.status().message());
        }
      },
      [&](sqlite::Transaction& tx) { return found_.MarkUsed(tx); });
}

// Of an earlier start of the builder: the container may still run, the lease holds its snapshot.
absl::Status BuildRun::RemoveLeftovers() {
  ASSIGN_OR_RETURN(std::vector<std::string> left,
                   parts_.runtime.ListContainers(absl::StrCat(kBuildLabel, "=", begun_.id)));
  for (const std::string& id : left) RETURN_IF_ERROR(parts_.runtime.DeleteContainer(id));
  return parts_.runtime.ReleaseLease(absl::StrCat("builder/build-", begun_.id));
}

absl::StatusOr<std::string> BuildRun::Build() {
  if (begun_.started_at) {
    BuildSession session(begun_.id, parts_.runtime, parts_.clock, journal_, cancellation_);
    RETURN_IF_ERROR(session.WhileAway([&] { return RemoveLeftovers(); }));
  }
  ASSIGN_OR_RETURN(BuildInput input, ReadInput(begun_.spec, parts_.contexts, parts_.platform));
  for (const std::string& warning : input.plan.warnings) journal_.Warning(warning);
  std::optional<OpenContext> context;
  if (!begun_.spec.context_digest().empty()) {
    ASSIGN_OR_RETURN(context, parts_.contexts.Open(begun_.spec.context_digest()));
  }
  for (int round = 1;; ++round) {
    absl::StatusOr<std::string> image = BuildOnce(input, found_, context ? &*context : nullptr);
    if (!absl::IsNotFound(image.status()) || round == kMaxRounds) return image;
    ASSIGN_OR_RETURN(int forgotten, found_.ForgetStale());
    if (forgotten == 0) return image;
  }
}

absl::StatusOr<std::string> BuildRun::BuildOnce(const BuildInput& input,
                                                CacheEngine::Session& found,
                                                const OpenContext* context) {
  // A stage that fails ends the others through this one, which does not count as a wish of the
  // user.
  Cancellation round;
  Cancellation::Listener listener(cancellation_, [&round] { round.Cancel(); });
  BuildSession session(begun_.id, parts_.runtime, parts_.clock, journal_, round);
  std::string network = begun_.spec.network() == "bridge" ? "" : begun_.spec.network();
  StepEngine steps(session, parts_.cache, found, parts_.slots, context,
                   {.clamp_time_seconds = input.source_date_epoch, .network = network});
  StageEngine stages(input.plan, input.scope, session, steps);
  absl::StatusOr<std::string> image = [&]() -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(StageResult target, stages.Run());
    return MakeImage(input, target, session);
  }();
  session.ReleaseLease();
  return image;
}

absl::StatusOr<std::string> BuildRun::MakeImage(const BuildInput& input, const StageResult& target,
                                                BuildSession& session) {
  ImageParts parts{.base_config_json = target.base_config_json,
                   .config = target.state.config,
                   .diff_ids = target.diff_ids,
                   .history = target.history,
                   .platform = parts_.platform,
                   .created = input.source_date_epoch < 0
                                  ? parts_.clock.Now()
                                  : absl::FromUnixSeconds(input.source_date_epoch)};
  for (const auto& [key, value] : begun_.spec.labels()) parts.config.labels[key] = value;
  ASSIGN_OR_RETURN(std::string config, MakeImageConfigJson(parts));
  std::vector<std::string> tags(begun_.spec.tags().begin(), begun_.spec.tags().end());
  std::string id;
  RETURN_IF_ERROR(session.WhileAway([&]() -> absl::Status {
    ASSIGN_OR_RETURN(id, parts_.runtime.CreateImage(config, target.chain_id, tags));
    return absl::OkStatus();
  }));
  return id;
}

}  // namespace darse::builder

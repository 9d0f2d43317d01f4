#include "services/scheduler/observe/observe_loop.h"

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "services/scheduler/stacks/stack_store.h"

namespace darse::scheduler {
namespace {

constexpr char kPeer[] = "runtime";
constexpr absl::Duration kWait = absl::Seconds(1);

}  // namespace

ObserveLoop::ObserveLoop(Runtime& runtime, sqlite::Database& db, ObservedCache& cache, Clock& clock,
                         std::function<void()> on_change)
    : runtime_(runtime), db_(db), cache_(cache), clock_(clock), on_change_(std::move(on_change)) {}

ObserveLoop::~ObserveLoop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void ObserveLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void ObserveLoop::Run() {
  while (!stopping_) {
    if (!runtime_.WaitUntilPresent(clock_.Now() + kWait)) continue;
    const absl::Status ended = Follow();
    cache_.SetSynced(false);
    if (stopping_) return;
    Log(LogLevel::kWarning, "not following the runtime", {{"why", std::string(ended.message())}});
    on_change_();
    // The link notices a runtime that is away; one that answers with errors is not asked in a tight
    // circle.
    absl::SleepFor(absl::Milliseconds(200));
  }
}

absl::Status ObserveLoop::Follow() {
  ASSIGN_OR_RETURN(int64_t after, Resync());
  Log(LogLevel::kInfo, "following the runtime", {{"after_sequence", absl::StrCat(after)}});
  if (after >= listed_at_) cache_.SetSynced(true);
  on_change_();
  return runtime_.WatchEvents(after, kStackLabel,
                              [this](const std::vector<runtime::v1::Event>& events,
                                     int64_t complete_to) { return Take(events, complete_to); });
}

absl::StatusOr<int64_t> ObserveLoop::Resync() {
  const absl::Time as_of = clock_.Now();
  ASSIGN_OR_RETURN(Runtime::Position position, runtime_.EventPosition());
  ASSIGN_OR_RETURN(std::vector<runtime::v1::Container> containers,
                   runtime_.ListContainers(kStackLabel));
  ASSIGN_OR_RETURN(std::vector<runtime::v1::Network> networks, runtime_.ListNetworks());
  ASSIGN_OR_RETURN(std::vector<runtime::v1::Volume> volumes, runtime_.ListVolumes());
  cache_.Replace(containers, networks, volumes, as_of);
  listed_at_ = position.newest;
  int64_t after = position.newest;
  RETURN_IF_ERROR(db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<int64_t> cursor, StackStore::LoadCursor(tx, kPeer));
    // A log that was trimmed beyond the cursor, or that began anew, has nothing to tell that the
    // list does not.
    const bool can_go_on = cursor && *cursor <= position.newest && *cursor + 1 >= position.oldest;
    after = can_go_on ? *cursor : position.newest;
    RETURN_IF_ERROR(StackStore::DeleteContainers(tx));
    for (const runtime::v1::Container& container : containers) {
      RETURN_IF_ERROR(StackStore::SaveContainer(
          tx, {std::make_shared<runtime::v1::Container>(container), as_of}));
    }
    return StackStore::SaveCursor(tx, kPeer, after);
  }));
  return after;
}

absl::Status ObserveLoop::Take(const std::vector<runtime::v1::Event>& events, int64_t complete_to) {
  ASSIGN_OR_RETURN(bool news, Look(events, complete_to));
  if (complete_to >= listed_at_) news = cache_.SetSynced(true) || news;
  if (news) on_change_();
  return absl::OkStatus();
}

absl::StatusOr<bool> ObserveLoop::Look(const std::vector<runtime::v1::Event>& events,
                                       int64_t complete_to) {
  std::set<std::string> kinds;
  std::set<std::string> containers;
  for (const runtime::v1::Event& event : events) {
    // The list is newer than these.
    if (event.sequence() <= listed_at_) continue;
    if (event.kind() == "container") {
      containers.insert(event.id());
    } else {
      kinds.insert(event.kind());
    }
  }
  // nullopt: gone.
  std::map<std::string, std::optional<SeenContainer>> seen;
  for (const std::string& id : containers) {
    absl::StatusOr<runtime::v1::Container> container = runtime_.GetContainer(id);
    if (absl::IsNotFound(container.status())) {
      seen[id] = std::nullopt;
    } else if (!container.ok()) {
      return container.status();
    } else if (!Label(*container, kStackLabel).empty()) {
      seen[id] = SeenContainer{std::make_shared<runtime::v1::Container>(*std::move(container)),
                               clock_.Now()};
    }
  }
  if (kinds.contains("network")) {
    ASSIGN_OR_RETURN(std::vector<runtime::v1::Network> networks, runtime_.ListNetworks());
    cache_.SetNetworks(networks);
  }
  if (kinds.contains("volume")) {
    ASSIGN_OR_RETURN(std::vector<runtime::v1::Volume> volumes, runtime_.ListVolumes());
    cache_.SetVolumes(volumes);
  }
  if (kinds.contains("image")) cache_.ForgetImages();
  // Relaxed: what is lost with the cursor is read again after it.
  RETURN_IF_ERROR(db_.Write(
      [&](sqlite::Transaction& tx) -> absl::Status {
        for (const auto& [id, container] : seen) {
          RETURN_IF_ERROR(container ? StackStore::SaveContainer(tx, *container)
                                    : StackStore::DeleteContainer(tx, id));
        }
        return StackStore::SaveCursor(tx, kPeer, complete_to);
      },
      sqlite::Durability::kRelaxed));
  for (const auto& [id, container] : seen) {
    if (container) {
      cache_.PutContainer(*container->container, container->observe_time);
    } else {
      cache_.RemoveContainer(id);
    }
  }
  return !kinds.empty() || !containers.empty();
}

}  // namespace darse::scheduler

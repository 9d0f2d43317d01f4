#include "services/builder/builds/build_engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"

namespace darse::builder {
namespace {

constexpr int kMaxEvents = 512;

v1::BuildEvent StateEvent(const BuildRecord& record, absl::Time now) {
  v1::BuildEvent event;
  *event.mutable_time() = TimeToProto(now);
  *event.mutable_build() = ToProto(record);
  return event;
}

}  // namespace

BuildEngine::BuildEngine(BuildParts parts, std::function<std::string()> new_id)
    : parts_(std::move(parts)), new_id_(std::move(new_id)) {}

BuildEngine::~BuildEngine() { Stop(); }

absl::Status BuildEngine::Recover() {
  std::vector<BuildRecord> left;
  RETURN_IF_ERROR(parts_.db.Write([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(left, store_.ListActive(tx));
    for (BuildRecord& record : left) {
      if (record.state == BuildState::kQueued) continue;
      record.state = BuildState::kQueued;
      record.waiting_for.clear();
      RETURN_IF_ERROR(store_.Update(tx, record));
      std::vector<v1::BuildEvent> events = {StateEvent(record, parts_.clock.Now())};
      RETURN_IF_ERROR(store_.Append(tx, record.id, events));
    }
    return absl::OkStatus();
  }));
  absl::MutexLock lock(&mu_);
  for (const BuildRecord& record : left) queue_.push_back(record.id);
  return absl::OkStatus();
}

void BuildEngine::Start(int workers) {
  for (int i = 0; i < workers; ++i) workers_.emplace_back([this] { Work(); });
}

void BuildEngine::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    for (auto& [id, active] : active_) active.cancellation->Cancel();
  }
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

absl::StatusOr<BuildRecord> BuildEngine::Create(v1::BuildSpec spec, absl::string_view request_id) {
  std::optional<BuildRecord> known;
  auto find = [&](sqlite::Transaction& tx) -> absl::Status {
    if (request_id.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(known, store_.FindRequest(tx, request_id));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(parts_.db.Read(find));
  if (known) return *std::move(known);
  RETURN_IF_ERROR(ReadInput(spec, parts_.contexts, parts_.platform).status());
  BuildRecord record{.id = new_id_(), .spec = std::move(spec), .created_at = parts_.clock.Now()};
  RETURN_IF_ERROR(parts_.db.Write([&](sqlite::Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(find(tx));
    if (known) return absl::OkStatus();
    RETURN_IF_ERROR(store_.Insert(tx, request_id, record));
    std::vector<v1::BuildEvent> events = {StateEvent(record, parts_.clock.Now())};
    return store_.Append(tx, record.id, events);
  }));
  if (known) return *std::move(known);
  absl::MutexLock lock(&mu_);
  queue_.push_back(record.id);
  return record;
}

absl::StatusOr<BuildRecord> BuildEngine::Get(absl::string_view id) {
  BuildRecord record;
  RETURN_IF_ERROR(parts_.db.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(record, store_.Get(tx, id));
    return absl::OkStatus();
  }));
  return record;
}

absl::StatusOr<std::vector<BuildRecord>> BuildEngine::List(int64_t before, int max) {
  std::vector<BuildRecord> records;
  RETURN_IF_ERROR(parts_.db.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(records, store_.List(tx, before, max));
    return absl::OkStatus();
  }));
  return records;
}

absl::Status BuildEngine::Cancel(absl::string_view id) {
  // The wish first: if the builder dies now, the build does not begin again.
  RETURN_IF_ERROR(parts_.db.Write([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(BuildRecord record, store_.Get(tx, id));
    if (HasEnded(record.state)) return absl::OkStatus();
    return store_.RequestCancel(tx, id);
  }));
  absl::MutexLock lock(&mu_);
  auto active = active_.find(std::string(id));
  if (active != active_.end()) {
    active->second.cancellation->Cancel();
    return absl::OkStatus();
  }
  // A queued one is ended by the next worker that is free, before all others.
  auto queued = std::find(queue_.begin(), queue_.end(), id);
  if (queued != queue_.end()) std::rotate(queue_.begin(), queued, queued + 1);
  return absl::OkStatus();
}

absl::StatusOr<BuildEngine::News> BuildEngine::Events(absl::string_view id, int64_t after) {
  News news;
  RETURN_IF_ERROR(parts_.db.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(BuildRecord record, store_.Get(tx, id));
    ASSIGN_OR_RETURN(news.events, store_.Events(tx, id, after, kMaxEvents));
    int64_t last = news.events.empty() ? after : news.events.back().sequence();
    news.is_all = HasEnded(record.state) && last >= record.last_sequence;
    return absl::OkStatus();
  }));
  return news;
}

std::unique_ptr<BuildWatchers::Subscription> BuildEngine::Watch(absl::string_view id,
                                                                std::function<void()> wake) {
  return std::make_unique<BuildWatchers::Subscription>(watchers_, std::string(id), std::move(wake));
}

void BuildEngine::RuntimeChanged(bool present) {
  std::vector<Active> all;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [id, active] : active_) {
      // One that is just being begun has no journal yet, and finds out by itself.
      if (active.journal != nullptr) all.push_back(active);
    }
  }
  std::string text = WaitingText(parts_.runtime.MissingSince().value_or(parts_.clock.Now()));
  for (const Active& active : all) {
    absl::Status shown = active.journal->Change([&](BuildRecord& record) {
      if (record.state != (present ? BuildState::kWaiting : BuildState::kRunning)) return;
      record.state = present ? BuildState::kRunning : BuildState::kWaiting;
      record.waiting_for = present ? "" : text;
    });
    if (!shown.ok()) Log(LogLevel::kWarning, "state not shown", {{"error", shown.ToString()}});
  }
}

absl::Status BuildEngine::Trim(int keep) {
  return parts_.db.Write([&](sqlite::Transaction& tx) { return store_.Trim(tx, keep); });
}

void BuildEngine::Work() {
  while (true) {
    std::string id;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &BuildEngine::HasWork));
      if (stopping_) return;
      id = queue_.front();
      queue_.pop_front();
      active_[id].cancellation = std::make_shared<Cancellation>();
    }
    absl::StatusOr<BuildRecord> record = Get(id);
    if (!record.ok()) {
      Log(LogLevel::kError, "build lost", {{"id", id}, {"error", record.status().ToString()}});
      absl::MutexLock lock(&mu_);
      active_.erase(id);
      continue;
    }
    Active active;
    {
      absl::MutexLock lock(&mu_);
      active = active_[id];
      active.journal = std::make_shared<BuildJournal>(*record, parts_.db, parts_.clock, watchers_);
      active_[id] = active;
      if (stopping_) active.cancellation->Cancel();
    }
    if (record->cancel_requested) active.cancellation->Cancel();
    RunOne(id, active);
    absl::MutexLock lock(&mu_);
    active_.erase(id);
  }
}

void BuildEngine::RunOne(const std::string& id, const Active& active) {
  Log(LogLevel::kInfo, "build begins", {{"id", id}});
  BuildRun run(parts_, *active.journal, *active.cancellation, [this] {
    absl::MutexLock lock(&mu_);
    return stopping_;
  });
  absl::Status status = run.Execute();
  BuildRecord record = active.journal->record();
  Log(status.ok() ? LogLevel::kInfo : LogLevel::kError, "build ends",
      {{"id", id},
       {"state", v1::BuildState_Name(static_cast<v1::BuildState>(record.state))},
       {"error", status.ok() ? record.error : status.ToString()},
       {"steps", absl::StrCat(record.steps_done, "/", record.steps_total)},
       {"cached", absl::StrCat(record.steps_cached)}});
}

}  // namespace darse::builder

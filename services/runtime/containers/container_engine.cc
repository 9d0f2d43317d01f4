// What is common to the verbs, and the verbs that only ask.
#include "services/runtime/containers/container_engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

constexpr int kMaxPage = 1000;

bool LabelsMatch(const ContainerRecord& record, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& label) {
    std::pair<std::string, std::string> parts = absl::StrSplit(label, absl::MaxSplits('=', 1));
    auto found = record.merged.labels().find(parts.first);
    if (found == record.merged.labels().end()) return false;
    return label.find('=') == std::string::npos || found->second == parts.second;
  });
}

bool Matches(const ContainerRecord& record, const ListFilter& filter) {
  auto among = [](const auto& values, const auto& value) {
    return values.empty() || std::find(values.begin(), values.end(), value) != values.end();
  };
  return record.intent != Intent::kCreate && among(filter.states, record.state) &&
         among(filter.names, record.name) && LabelsMatch(record, filter.labels);
}

absl::StatusOr<ContainerCursor> DecodeToken(absl::string_view token) {
  ContainerCursor cursor;
  if (token.empty()) return cursor;
  std::pair<std::string, std::string> parts = absl::StrSplit(token, absl::MaxSplits('-', 1));
  if (!absl::SimpleAtoi(parts.first, &cursor.created_ns)) {
    return absl::InvalidArgumentError("page_token: not one of ours");
  }
  cursor.id = parts.second;
  return cursor;
}

}  // namespace

ContainerEngine::ContainerEngine(sqlite::Database& db, EventLog& events, Clock& clock,
                                 cgroup::CgroupDriver& cgroups, ContainerNeighbours neighbours,
                                 std::function<std::string()> new_id, ContainerOptions options)
    : db_(db),
      events_(events),
      clock_(clock),
      cgroups_(cgroups),
      neighbours_(neighbours),
      new_id_(std::move(new_id)),
      options_(std::move(options)),
      user_namespaces_(options_.root),
      loop_(clock),
      shims_(loop_, clock, options_.shim_program,
             {.message = [this](const std::string& id,
                                const shim::Message& message) { OnShimMessage(id, message); },
              .closed = [this](const std::string& id) { OnShimClosed(id); }}),
      health_(
          clock, pool_,
          {.probe =
               [this](const std::string& id, const HealthPlan& plan, std::function<void()> wake) {
                 return Exec(id, {.args = plan.args, .silent = true}, "runtime", std::move(wake));
               },
           .result =
               [this](const std::string& id, absl::Time started_at, const HealthPlan& plan,
                      const ProbeResult& result) {
                 return RecordProbe(id, started_at, plan, result);
               }}) {}

ContainerEngine::~ContainerEngine() {
  stopping_ = true;
  pool_.Stop();
  // Before what it uses.
  shim_pool_.reset();
}

absl::StatusOr<std::string> ContainerEngine::FindId(absl::string_view reference) {
  std::string id;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(id, ContainerStore::Find(tx, reference));
    return absl::OkStatus();
  }));
  return id;
}

absl::StatusOr<ContainerRecord> ContainerEngine::Read(const std::string& id) {
  ContainerRecord record;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(record, ContainerStore::Get(tx, id));
    return absl::OkStatus();
  }));
  return record;
}

absl::StatusOr<ContainerRecord> ContainerEngine::Get(absl::string_view reference) {
  ContainerRecord record;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::string id, ContainerStore::Find(tx, reference));
    ASSIGN_OR_RETURN(record, ContainerStore::Get(tx, id));
    return absl::OkStatus();
  }));
  return record;
}

std::string ContainerEngine::OciConfig(const std::string& id) {
  return ReadFile(Dir(id).config()).value_or("");
}

absl::Status ContainerEngine::Commit(ContainerRecord& record, const std::vector<NewEvent>& events,
                                     sqlite::Durability durability) {
  RETURN_IF_ERROR(db_.Write(
      [&](sqlite::Transaction& tx) -> absl::Status {
        RETURN_IF_ERROR(ContainerStore::Update(tx, record));
        for (const NewEvent& event : events) RETURN_IF_ERROR(events_.Append(tx, event));
        return absl::OkStatus();
      },
      durability));
  changes_.Notify(record.id);
  LogEvents(record, events);
  return absl::OkStatus();
}

void ContainerEngine::LogEvents(const ContainerRecord& record,
                                const std::vector<NewEvent>& events) {
  for (const NewEvent& event : events) {
    auto code = event.attributes.find("exitCode");
    std::string what = absl::StrCat("container ", event.action);
    if (code == event.attributes.end()) {
      Log(LogLevel::kInfo, what,
          {{"id", record.id}, {"name", record.name}, {"actor", event.actor}});
    } else {
      Log(LogLevel::kInfo, what,
          {{"id", record.id}, {"name", record.name}, {"exit_code", code->second}});
    }
  }
}

NewEvent ContainerEngine::Event(const ContainerRecord& record, absl::string_view action,
                                absl::string_view actor, std::map<std::string, std::string> more) {
  NewEvent event{.kind = "container",
                 .action = std::string(action),
                 .id = record.id,
                 .attributes = std::move(more),
                 .actor = std::string(actor)};
  event.attributes["name"] = record.name;
  event.attributes["image"] = record.spec.image();
  for (const auto& [key, value] : record.merged.labels()) event.attributes.insert({key, value});
  return event;
}

absl::StatusOr<ContainerPage> ContainerEngine::List(const ListFilter& filter, int page_size,
                                                    absl::string_view page_token) {
  if (page_size < 0) return absl::InvalidArgumentError("page_size: is negative");
  if (page_size == 0 || page_size > kMaxPage) page_size = kMaxPage;
  ASSIGN_OR_RETURN(ContainerCursor cursor, DecodeToken(page_token));
  ContainerPage page;
  while (true) {
    std::vector<ContainerRecord> batch;
    RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(batch, ContainerStore::List(tx, cursor, page_size + 1));
      return absl::OkStatus();
    }));
    bool more = batch.size() > static_cast<size_t>(page_size);
    for (ContainerRecord& record : batch) {
      if (page.records.size() == static_cast<size_t>(page_size)) {
        page.next_token = absl::StrCat(cursor.created_ns, "-", cursor.id);
        return page;
      }
      cursor = {absl::ToUnixNanos(record.created_at), record.id};
      if (Matches(record, filter)) page.records.push_back(std::move(record));
    }
    if (!more) return page;
  }
}

absl::StatusOr<std::vector<ContainerRecord>> ContainerEngine::ListAll() {
  std::vector<ContainerRecord> records;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(records, ContainerStore::ListAll(tx));
    return absl::OkStatus();
  }));
  return records;
}

absl::StatusOr<std::vector<std::string>> ContainerEngine::ContainersOf(absl::string_view image_id) {
  std::vector<std::string> ids;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(ids, ContainerStore::ListByImage(tx, image_id));
    return absl::OkStatus();
  }));
  return ids;
}

bool ContainerEngine::SnapshotIsRunning(absl::string_view snapshot_id) {
  absl::StatusOr<std::vector<ContainerRecord>> records = ListAll();
  // Better refuse than pull a root filesystem away.
  if (!records.ok()) return true;
  return std::any_of(records->begin(), records->end(), [&](const ContainerRecord& record) {
    return record.snapshot_id() == snapshot_id && IsLive(record.state);
  });
}

absl::StatusOr<std::string> ContainerEngine::FindForWait(absl::string_view reference) {
  absl::StatusOr<std::string> id = FindId(reference);
  if (id.ok() || !absl::IsNotFound(id.status())) return id;
  absl::MutexLock lock(&mu_);
  if (tombstones_.count(std::string(reference)) != 0) return std::string(reference);
  return id;
}

absl::StatusOr<WaitAnswer> ContainerEngine::CheckWait(const std::string& id,
                                                      WaitCondition condition) {
  absl::StatusOr<ContainerRecord> record = Read(id);
  if (absl::IsNotFound(record.status())) {
    absl::MutexLock lock(&mu_);
    auto found = tombstones_.find(id);
    if (found == tombstones_.end() || condition == WaitCondition::kHealthy) return record.status();
    return WaitAnswer{true, found->second.exit_code, found->second.oom_killed};
  }
  RETURN_IF_ERROR(record.status());
  WaitAnswer answer{false, record->exit_code, record->oom_killed};
  switch (condition) {
    case WaitCondition::kNotRunning:
      answer.holds = !IsLive(record->state);
      return answer;
    case WaitCondition::kRemoved:
      return answer;
    case WaitCondition::kHealthy:
      if (!record->merged.has_healthcheck()) {
        return absl::FailedPreconditionError(
            absl::StrCat("container \"", record->name, "\" has no healthcheck"));
      }
      if (!IsLive(record->state) && record->state != ContainerState::kCreated) {
        return absl::FailedPreconditionError(
            absl::StrCat("container \"", record->name, "\" exited with code ", record->exit_code));
      }
      answer.holds = IsLive(record->state) && record->health.status == HealthStatus::kHealthy;
      return answer;
  }
  return answer;
}

bool ContainerEngine::WaitUntilDown(const std::string& id, absl::Time deadline) {
  absl::Mutex mu;
  bool woken = true;
  std::unique_ptr<ChangeHub::Subscription> subscription = changes_.Subscribe(id, [&] {
    absl::MutexLock lock(&mu);
    woken = true;
  });
  while (true) {
    absl::StatusOr<ContainerRecord> record = Read(id);
    if (!record.ok() || !IsLive(record->state)) return true;
    absl::MutexLock lock(&mu);
    if (!mu.AwaitWithTimeout(absl::Condition(&woken), deadline - clock_.Now())) return false;
    woken = false;
  }
}

absl::StatusOr<ShimAnswer> ContainerEngine::Ask(const std::string& id, shim::Request request,
                                                std::span<const int> fds) {
  absl::StatusOr<ShimAnswer> answer = shims_.Call(id, request, fds);
  if (!absl::IsUnavailable(answer.status())) return answer;
  // The shim dropped us, or we did not reach it when the runtime started.
  if (!Dir(id).ShimIsAlive()) return answer;
  RETURN_IF_ERROR(Subscribe(id));
  return shims_.Call(id, std::move(request), fds);
}

}  // namespace darse::runtime

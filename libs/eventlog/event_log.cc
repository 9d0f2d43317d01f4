#include "libs/eventlog/event_log.h"

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"

namespace darse {
namespace {

constexpr char kInsert[] =
    "INSERT INTO events (sequence, time_ns, kind, action, id, attributes, actor) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)";
// Kinds are few and events are read in order: filtered here, not by an index.
constexpr char kRead[] =
    "SELECT sequence, time_ns, kind, action, id, attributes, actor FROM events "
    "WHERE sequence > ? ORDER BY sequence";
constexpr char kNewest[] = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
constexpr char kOldest[] = "SELECT min(sequence) FROM events";
constexpr char kTrim[] = "DELETE FROM events WHERE sequence <= ?";

std::string ToJson(const std::map<std::string, std::string>& attributes) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  writer.StartObject();
  for (const auto& [key, value] : attributes) {
    writer.Key(key.data(), key.size());
    writer.String(value.data(), value.size());
  }
  writer.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize());
}

absl::StatusOr<std::map<std::string, std::string>> FromJson(const std::string& json) {
  rapidjson::Document document;
  document.Parse(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) {
    return absl::DataLossError(absl::StrCat("event attributes: ", json));
  }
  std::map<std::string, std::string> attributes;
  for (const auto& member : document.GetObject()) {
    if (!member.value.IsString()) {
      return absl::DataLossError(absl::StrCat("event attributes: ", json));
    }
    attributes[member.name.GetString()] =
        std::string(member.value.GetString(), member.value.GetStringLength());
  }
  return attributes;
}

absl::StatusOr<EventPosition> ReadPosition(sqlite::Transaction& tx) {
  EventPosition position;
  ASSIGN_OR_RETURN(sqlite::Statement newest, tx.Prepare(kNewest));
  ASSIGN_OR_RETURN(bool any, newest.Step());
  if (any) position.newest = newest.Int(0);
  ASSIGN_OR_RETURN(sqlite::Statement oldest, tx.Prepare(kOldest));
  RETURN_IF_ERROR(oldest.Step().status());
  position.oldest = oldest.IsNull(0) ? position.newest + 1 : oldest.Int(0);
  return position;
}

}  // namespace

// AUTOINCREMENT: a sequence is not given again when its event was trimmed.
const char EventLog::kSchema[] = R"sql(
CREATE TABLE events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  time_ns INTEGER NOT NULL,     -- since the epoch
  kind TEXT NOT NULL,
  action TEXT NOT NULL,
  id TEXT NOT NULL,
  attributes TEXT NOT NULL,     -- a JSON object of strings
  actor TEXT NOT NULL
) STRICT;
)sql";

struct EventLog::Wakes {
  absl::Mutex mu;
  int64_t newest ABSL_GUARDED_BY(mu) = 0;
  int64_t next_key ABSL_GUARDED_BY(mu) = 0;
  struct Subscriber {
    std::function<void()> wake;
    std::function<bool(const NewEvent&)> wanted;
  };
  std::map<int64_t, Subscriber> subscribers ABSL_GUARDED_BY(mu);

  // Under the lock, so that a subscription that is gone is never called.
  void Appended(int64_t sequence, const NewEvent& event) {
    absl::MutexLock lock(&mu);
    newest = std::max(newest, sequence);
    for (const auto& [key, subscriber] : subscribers) {
      if (subscriber.wanted == nullptr || subscriber.wanted(event)) subscriber.wake();
    }
  }
};

std::shared_ptr<EventLog::Wakes> EventLog::MakeWakes() { return std::make_shared<Wakes>(); }

absl::Status EventLog::Append(sqlite::Transaction& tx, const NewEvent& event) {
  return Insert(tx, event, std::nullopt);
}

absl::Status EventLog::AppendFirst(const NewEvent& event) {
  return db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(EventPosition position, ReadPosition(tx));
    // An empty log has told nothing yet: this event is durable, and the others come after it.
    if (position.newest == 0) return Append(tx, event);
    return Insert(tx, event, position.newest + kMostTakenBack + 1);
  });
}

absl::Status EventLog::Insert(sqlite::Transaction& tx, const NewEvent& event,
                              std::optional<int64_t> sequence) {
  ASSIGN_OR_RETURN(sqlite::Statement insert, tx.Prepare(kInsert));
  insert.Bind(sequence, absl::ToUnixNanos(clock_.Now()), event.kind, event.action, event.id,
              ToJson(event.attributes), event.actor);
  RETURN_IF_ERROR(Annotate(insert.Run(), "append event"));
  tx.AfterCommit(
      [wakes = wakes_, sequence = tx.LastInsertId(), event] { wakes->Appended(sequence, event); });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Event>> EventLog::Read(int64_t after_sequence, int max,
                                                  const std::vector<std::string>& kinds) {
  std::vector<Event> events;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(EventPosition position, ReadPosition(tx));
    // Beyond the end: the log was lost and began anew.
    if (after_sequence + 1 < position.oldest || after_sequence > position.newest) {
      return WithReason(
          absl::OutOfRangeError(absl::StrCat("events after ", after_sequence, ": the log holds ",
                                             position.oldest, " to ", position.newest)),
          "EVENTS_TRIMMED");
    }
    ASSIGN_OR_RETURN(sqlite::Statement read, tx.Prepare(kRead));
    read.Bind(after_sequence);
    while (events.size() < static_cast<size_t>(max)) {
      ASSIGN_OR_RETURN(bool row, read.Step());
      if (!row) break;
      Event event{.sequence = read.Int(0),
                  .time = absl::FromUnixNanos(read.Int(1)),
                  .kind = read.Text(2),
                  .action = read.Text(3),
                  .id = read.Text(4),
                  .actor = read.Text(6)};
      if (!kinds.empty() && std::find(kinds.begin(), kinds.end(), event.kind) == kinds.end()) {
        continue;
      }
      ASSIGN_OR_RETURN(event.attributes, FromJson(read.Text(5)));
      events.push_back(std::move(event));
    }
    return absl::OkStatus();
  }));
  return events;
}

absl::StatusOr<EventPosition> EventLog::Position() {
  EventPosition position;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(position, ReadPosition(tx));
    return absl::OkStatus();
  }));
  return position;
}

bool EventLog::WaitFor(int64_t after_sequence, absl::Time deadline) {
  // What was written before this process started.
  absl::StatusOr<EventPosition> position = Position();
  if (position.ok() && position->newest > after_sequence) return true;
  absl::MutexLock lock(&wakes_->mu);
  auto appended = [this, after_sequence]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(wakes_->mu) {
    return wakes_->newest > after_sequence;
  };
  return wakes_->mu.AwaitWithDeadline(absl::Condition(&appended), deadline);
}

std::unique_ptr<EventLog::Subscription> EventLog::Subscribe(
    std::function<void()> wake, std::function<bool(const NewEvent&)> wanted) {
  absl::MutexLock lock(&wakes_->mu);
  int64_t key = wakes_->next_key++;
  wakes_->subscribers[key] = {std::move(wake), std::move(wanted)};
  return std::make_unique<Subscription>(wakes_, key);
}

EventLog::Subscription::~Subscription() {
  absl::MutexLock lock(&wakes_->mu);
  wakes_->subscribers.erase(key_);
}

absl::Status EventLog::Trim(int64_t keep) {
  return db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(EventPosition position, ReadPosition(tx));
    ASSIGN_OR_RETURN(sqlite::Statement trim, tx.Prepare(kTrim));
    trim.Bind(position.newest - keep);
    return Annotate(trim.Run(), "trim events");
  });
}

}  // namespace darse

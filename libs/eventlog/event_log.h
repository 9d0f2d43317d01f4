// The log of what happened, kept in the database whose changes it tells: an event is appended in
// the transaction of its change, so none is lost and none is made up. Sequences grow, never repeat.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/sqlite/database.h"

namespace darse {

struct NewEvent {
  std::string kind;
  std::string action;
  std::string id;
  std::map<std::string, std::string> attributes;
  std::string actor;
};

struct Event {
  int64_t sequence = 0;
  absl::Time time;
  std::string kind;
  std::string action;
  std::string id;
  std::map<std::string, std::string> attributes;
  std::string actor;
};

struct EventPosition {
  // Of the newest event ever written; 0 if there was none.
  int64_t newest = 0;
  // Of the oldest event still kept; newest + 1 if none is.
  int64_t oldest = 1;
};

// Thread-safe. Both references must outlive it.
class EventLog {
 public:
  // CREATE TABLE statements, to be part of a migration of the owner's database.
  static const char kSchema[];

  EventLog(sqlite::Database& db, Clock& clock) : db_(db), clock_(clock) {}
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // Written with the transaction's other changes; wakes subscribers after its commit.
  absl::Status Append(sqlite::Transaction& tx, const NewEvent& event);

  // The first event of a process that commits some of the others relaxed: a power loss may have
  // taken back events that readers have seen, so its sequence leaves room for kMostTakenBack of
  // them, and no reader's cursor points beyond the log or at another event.
  absl::Status AppendFirst(const NewEvent& event);
  static constexpr int64_t kMostTakenBack = 1000;

  // Events after `after_sequence`, oldest first, at most `max`, of these kinds (empty: all).
  // OUT_OF_RANGE with reason EVENTS_TRIMMED when some of them are no longer kept.
  absl::StatusOr<std::vector<Event>> Read(int64_t after_sequence, int max,
                                          const std::vector<std::string>& kinds = {});
  absl::StatusOr<EventPosition> Position();

  // True when there is an event after `after_sequence`, false at the deadline.
  bool WaitFor(int64_t after_sequence, absl::Time deadline);

  // Calls `wake` after each commit that appended something `wanted` (empty: anything), on the
  // thread that commits: it must only wake somebody. Not called any more once the subscription is
  // destroyed.
  class Subscription;
  std::unique_ptr<Subscription> Subscribe(std::function<void()> wake,
                                          std::function<bool(const NewEvent&)> wanted = nullptr);

  // Forgets all but the newest `keep` events.
  absl::Status Trim(int64_t keep);

 private:
  // Outlives the log while a subscription does.
  struct Wakes;
  sqlite::Database& db_;
  Clock& clock_;
  absl::Status Insert(sqlite::Transaction& tx, const NewEvent& event,
                      std::optional<int64_t> sequence);
  std::shared_ptr<Wakes> wakes_ = MakeWakes();
  static std::shared_ptr<Wakes> MakeWakes();
};

class EventLog::Subscription {
 public:
  Subscription(std::shared_ptr<Wakes> wakes, int64_t key) : wakes_(std::move(wakes)), key_(key) {}
  ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

 private:
  std::shared_ptr<Wakes> wakes_;
  int64_t key_;
};

}  // namespace darse

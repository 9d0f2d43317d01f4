#include "services/builder/builds/build_journal.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::builder {
namespace {

// As much of a step's output is kept.
constexpr int64_t kMaxOutputBytes = 2 << 20;

bool SameToWatchers(const BuildRecord& a, const BuildRecord& b) {
  return a.state == b.state && a.waiting_for == b.waiting_for && a.image_id == b.image_id &&
         a.error == b.error && a.failed_exit_code == b.failed_exit_code;
}

}  // namespace

BuildJournal::BuildJournal(BuildRecord record, sqlite::Database& db, Clock& clock,
                           BuildWatchers& watchers)
    : db_(db), clock_(clock), watchers_(watchers), record_(std::move(record)) {}

BuildRecord BuildJournal::record() {
  absl::MutexLock lock(&mu_);
  return record_;
}

v1::BuildEvent BuildJournal::NewEvent() const {
  v1::BuildEvent event;
  *event.mutable_time() = TimeToProto(clock_.Now());
  return event;
}

absl::Status BuildJournal::Flush(absl::FunctionRef<absl::Status(sqlite::Transaction&)> also) {
  std::vector<v1::BuildEvent> events = std::exchange(pending_, {});
  return db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(store_.Update(tx, record_));
    RETURN_IF_ERROR(store_.Append(tx, record_.id, events));
    RETURN_IF_ERROR(also(tx));
    tx.AfterCommit([watchers = &watchers_, id = record_.id] { watchers->Wake(id); });
    return absl::OkStatus();
  });
}

absl::Status BuildJournal::Flush() {
  return Flush([](sqlite::Transaction&) { return absl::OkStatus(); });
}

absl::Status BuildJournal::Change(absl::FunctionRef<void(BuildRecord&)> change) {
  return Change(change, [](sqlite::Transaction&) { return absl::OkStatus(); });
}

absl::Status BuildJournal::Change(absl::FunctionRef<void(BuildRecord&)> change,
                                  absl::FunctionRef<absl::Status(sqlite::Transaction&)> also) {
  absl::MutexLock lock(&mu_);
  BuildRecord next = record_;
  change(next);
  if (SameToWatchers(next, record_)) return absl::OkStatus();
  if (next.state != record_.state && !MayFollow(record_.state, next.state)) {
    return absl::FailedPreconditionError(absl::StrCat("build ", record_.id, " has ended"));
  }
  record_ = std::move(next);
  v1::BuildEvent event = NewEvent();
  *event.mutable_build() = ToProto(record_);
  pending_.push_back(std::move(event));
  return Flush(also);
}

void BuildJournal::BeginSteps(int total) {
  absl::MutexLock lock(&mu_);
  record_.steps_total = total;
  record_.steps_cached = 0;
  record_.steps_done = 0;
}

void BuildJournal::StepCached(int step, absl::string_view name) {
  absl::MutexLock lock(&mu_);
  v1::BuildEvent started = NewEvent();
  started.mutable_step_started()->set_step(step);
  started.mutable_step_started()->set_name(std::string(name));
  pending_.push_back(std::move(started));
  v1::BuildEvent finished = NewEvent();
  finished.mutable_step_finished()->set_step(step);
  finished.mutable_step_finished()->set_cached(true);
  pending_.push_back(std::move(finished));
  ++record_.steps_cached;
  ++record_.steps_done;
}

absl::Status BuildJournal::StepStarted(int step, absl::string_view name) {
  absl::MutexLock lock(&mu_);
  v1::BuildEvent event = NewEvent();
  event.mutable_step_started()->set_step(step);
  event.mutable_step_started()->set_name(std::string(name));
  pending_.push_back(std::move(event));
  return Flush();
}

absl::Status BuildJournal::StepFinished(int step, absl::string_view error) {
  absl::MutexLock lock(&mu_);
  v1::BuildEvent event = NewEvent();
  event.mutable_step_finished()->set_step(step);
  event.mutable_step_finished()->set_error(std::string(error));
  pending_.push_back(std::move(event));
  if (error.empty()) ++record_.steps_done;
  return Flush();
}

absl::Status BuildJournal::Output(int step, absl::string_view text, bool is_stderr) {
  absl::MutexLock lock(&mu_);
  int64_t& kept = kept_[step];
  if (kept >= kMaxOutputBytes) return absl::OkStatus();
  kept += static_cast<int64_t>(text.size());
  v1::BuildEvent event = NewEvent();
  event.mutable_output()->set_step(step);
  event.mutable_output()->set_text(std::string(text));
  event.mutable_output()->set_stderr(is_stderr);
  pending_.push_back(std::move(event));
  if (kept >= kMaxOutputBytes) {
    v1::BuildEvent note = NewEvent();
    note.mutable_output()->set_step(step);
    note.mutable_output()->set_text("[darse: more output of this step is not kept]\n");
    pending_.push_back(std::move(note));
  }
  return Flush();
}

void BuildJournal::Warning(absl::string_view text) {
  absl::MutexLock lock(&mu_);
  v1::BuildEvent event = NewEvent();
  event.set_warning(std::string(text));
  pending_.push_back(std::move(event));
}

}  // namespace darse::builder

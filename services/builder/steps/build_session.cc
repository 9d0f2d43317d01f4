#include "services/builder/steps/build_session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"

namespace darse::builder {
namespace {

// Longer than any build runs.
constexpr absl::Duration kLeaseTime = absl::Hours(24);
constexpr absl::Duration kLook = absl::Milliseconds(100);

}  // namespace

absl::Status RunSlots::Take(Cancellation& cancellation) {
  absl::MutexLock lock(&mu_);
  auto is_free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return free_ > 0; };
  // The cancellation has a mutex of its own, so it is looked at now and then.
  while (!mu_.AwaitWithTimeout(absl::Condition(&is_free), kLook)) {
    if (cancellation.canceled()) return absl::CancelledError("the build was canceled");
  }
  --free_;
  return absl::OkStatus();
}

void RunSlots::GiveBack() {
  absl::MutexLock lock(&mu_);
  ++free_;
}

BuildSession::BuildSession(std::string build_id, Runtime& runtime, Clock& clock,
                           BuildJournal& journal, Cancellation& cancellation)
    : build_id_(std::move(build_id)),
      lease_(absl::StrCat("builder/build-", build_id_)),
      runtime_(runtime),
      clock_(clock),
      journal_(journal),
      cancellation_(cancellation) {}

std::string WaitingText(absl::Time since) {
  return absl::StrCat("waiting for runtime since ",
                      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", since, absl::UTCTimeZone()));
}

absl::Status BuildSession::WaitForRuntime() {
  std::string text = WaitingText(runtime_.MissingSince().value_or(clock_.Now()));
  if (journal_.record().state != BuildState::kWaiting) {
    RETURN_IF_ERROR(journal_.Change([&](BuildRecord& record) {
      record.state = BuildState::kWaiting;
      record.waiting_for = text;
    }));
  }
  // Not before the first look: a call may fail a moment before the link sees the runtime go, or
  // come.
  do {
    if (cancellation_.canceled()) return absl::CancelledError("the build was canceled");
    absl::SleepFor(kLook);
  } while (!runtime_.WaitUntilPresent(clock_.Now() + kLook));
  return journal_.Change([](BuildRecord& record) {
    record.state = BuildState::kRunning;
    record.waiting_for.clear();
  });
}

absl::Status BuildSession::WhileAway(absl::FunctionRef<absl::Status()> call) {
  while (true) {
    if (cancellation_.canceled()) return absl::CancelledError("the build was canceled");
    absl::Status status = call();
    if (!IsAway(status)) return status;
    RETURN_IF_ERROR(WaitForRuntime());
  }
}

absl::Status BuildSession::UseImage(absl::string_view image_id) {
  absl::MutexLock lock(&mu_);
  if (!images_.insert(std::string(image_id)).second || !leased_) return absl::OkStatus();
  return runtime_.UpdateLease(lease_, {.add_image_ids = {std::string(image_id)}});
}

absl::Status BuildSession::EnsureLease() {
  absl::MutexLock lock(&mu_);
  if (leased_) return absl::OkStatus();
  RETURN_IF_ERROR(runtime_.AcquireLease(lease_, clock_.Now() + kLeaseTime));
  RETURN_IF_ERROR(
      runtime_.UpdateLease(lease_, {.add_image_ids = {images_.begin(), images_.end()}}));
  leased_ = true;
  return absl::OkStatus();
}

void BuildSession::ReleaseLease() {
  absl::MutexLock lock(&mu_);
  // If the runtime is away now, the lease expires.
  if (leased_) runtime_.ReleaseLease(lease_).IgnoreError();
  leased_ = false;
}

}  // namespace darse::builder

#include "services/runtime/containers/health_loop.h"

#include <signal.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"

namespace darse::runtime {
namespace {

constexpr size_t kMaxOutput = 4 << 10;
// What a probe that was killed counts as.
constexpr int kTimedOut = -1;
constexpr absl::Duration kRetryWhenPaused = absl::Seconds(1);

}  // namespace

HealthLoop::HealthLoop(Clock& clock, SerialPool& pool, HealthCallbacks callbacks)
    : clock_(clock), pool_(pool), callbacks_(std::move(callbacks)) {
  thread_ = std::thread([this] { Run(); });
}

HealthLoop::~HealthLoop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    entries_.clear();
    changed_.SignalAll();
  }
  thread_.join();
}

void HealthLoop::Watch(const std::string& id, absl::Time container_started_at,
                       const HealthPlan& plan, absl::Duration delay) {
  auto entry = std::make_shared<Entry>();
  entry->id = id;
  entry->container_started_at = container_started_at;
  entry->plan = plan;
  entry->due = clock_.Now() + delay;
  absl::MutexLock lock(&mu_);
  if (stopping_) return;
  entries_[id] = std::move(entry);
  changed_.SignalAll();
}

void HealthLoop::Forget(const std::string& id) {
  absl::MutexLock lock(&mu_);
  entries_.erase(id);
}

bool HealthLoop::IsCurrent(const std::shared_ptr<Entry>& entry) const {
  auto found = entries_.find(entry->id);
  return found != entries_.end() && found->second == entry;
}

void HealthLoop::Run() {
  while (true) {
    std::vector<std::shared_ptr<Entry>> ready;
    {
      absl::MutexLock lock(&mu_);
      while (ready.empty()) {
        if (stopping_) return;
        absl::Time next = absl::InfiniteFuture();
        for (const auto& [id, entry] : entries_) {
          bool waits_for_pool = entry->busy && !entry->stream;
          if (entry->woken || (entry->due <= clock_.Now() && !waits_for_pool)) {
            ready.push_back(entry);
          } else if (!waits_for_pool) {
            next = std::min(next, entry->due);
          }
        }
        if (ready.empty()) changed_.WaitWithDeadline(&mu_, next);
      }
      for (const std::shared_ptr<Entry>& entry : ready) entry->woken = false;
    }
    for (const std::shared_ptr<Entry>& entry : ready) {
      bool running;
      {
        absl::MutexLock lock(&mu_);
        running = entry->stream.has_value();
        if (!running) entry->busy = true;
      }
      if (running) {
        Drain(entry);
      } else {
        Begin(entry);
      }
    }
  }
}

void HealthLoop::Begin(const std::shared_ptr<Entry>& entry) {
  pool_.Post("health " + entry->id, [this, entry] {
    absl::Time now = clock_.Now();
    std::weak_ptr<Entry> weak = entry;
    absl::StatusOr<ProcessStream> stream = callbacks_.probe(entry->id, entry->plan, [this, weak] {
      std::shared_ptr<Entry> alive = weak.lock();
      absl::MutexLock lock(&mu_);
      // Output may come before the stream is known here; Run() looks again then.
      if (alive == nullptr || !IsCurrent(alive) || !alive->stream) return;
      alive->woken = true;
      changed_.SignalAll();
    });
    if (!stream.ok() && absl::IsFailedPrecondition(stream.status()) &&
        Reason(stream.status()).empty()) {
      absl::MutexLock lock(&mu_);
      entry->busy = false;
      entry->due = now + kRetryWhenPaused;
      changed_.SignalAll();
      return;
    }
    {
      absl::MutexLock lock(&mu_);
      entry->probe_started_at = now;
      entry->output.clear();
      if (stream.ok()) {
        entry->stream = *std::move(stream);
        entry->due = now + entry->plan.timeout;
        entry->woken = true;
        changed_.SignalAll();
        return;
      }
    }
    Finish(entry, 1, std::string(stream.status().message()));
  });
}

void HealthLoop::Drain(const std::shared_ptr<Entry>& entry) {
  ProcessStream stream;
  absl::Time due;
  {
    absl::MutexLock lock(&mu_);
    if (!IsCurrent(entry)) return;
    stream = *entry->stream;
    due = entry->due;
  }
  while (true) {
    absl::StatusOr<StdioOutput> output = stream.stdio->Read();
    if (!output.ok()) return Finish(entry, 1, std::string(output.status().message()));
    if (output->kind == StdioOutput::Kind::kExit) {
      return Finish(entry, output->exit_code, entry->output);
    }
    if (output->kind == StdioOutput::Kind::kNothing) break;
    if (entry->output.size() < kMaxOutput) entry->output += output->bytes;
  }
  if (clock_.Now() < due) return;
  stream.signal(SIGKILL).IgnoreError();
  Finish(entry, kTimedOut,
         absl::StrCat("no result within ", absl::FormatDuration(entry->plan.timeout), ": killed"));
}

void HealthLoop::Finish(const std::shared_ptr<Entry>& entry, int exit_code, std::string output) {
  ProbeResult result{.ended_at = clock_.Now(), .exit_code = exit_code};
  result.output = output.substr(0, kMaxOutput);
  {
    absl::MutexLock lock(&mu_);
    if (entry->stream) entry->stream->stdio->Close();
    entry->stream.reset();
    entry->busy = true;
    result.started_at = entry->probe_started_at;
  }
  pool_.Post("health " + entry->id, [this, entry, result = std::move(result)] {
    {
      absl::MutexLock lock(&mu_);
      if (!IsCurrent(entry)) return;
    }
    std::optional<absl::Duration> delay =
        callbacks_.result(entry->id, entry->container_started_at, entry->plan, result);
    absl::MutexLock lock(&mu_);
    entry->busy = false;
    if (!IsCurrent(entry)) return;
    if (!delay) {
      entries_.erase(entry->id);
      return;
    }
    entry->due = clock_.Now() + *delay;
    changed_.SignalAll();
  });
}

}  // namespace darse::runtime

// Runs the probes of healthchecks when they are due, and hands each result on. One thread; a probe
// that hangs keeps nobody else waiting.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "services/runtime/containers/change_hub.h"
#include "services/runtime/containers/health_policy.h"
#include "services/runtime/containers/stdio_session.h"

namespace darse::runtime {

struct HealthCallbacks {
  // Starts a probe in the container. FAILED_PRECONDITION without a reason: not now (it is paused);
  // try again later. Other errors are failed probes.
  std::function<absl::StatusOr<ProcessStream>(const std::string& id, const HealthPlan& plan,
                                              std::function<void()> wake)>
      probe;
  // Takes a result; answers when the next probe is due, or nothing if there is to be none.
  std::function<std::optional<absl::Duration>(const std::string& id,
                                              absl::Time container_started_at,
                                              const HealthPlan& plan, const ProbeResult& result)>
      result;
};

// Thread-safe.
class HealthLoop {
 public:
  HealthLoop(Clock& clock, SerialPool& pool, HealthCallbacks callbacks);
  ~HealthLoop();
  HealthLoop(const HealthLoop&) = delete;
  HealthLoop& operator=(const HealthLoop&) = delete;

  // From this start of the container on, first after `delay`; replaces what was watched of it
  // before.
  void Watch(const std::string& id, absl::Time container_started_at, const HealthPlan& plan,
             absl::Duration delay);
  void Forget(const std::string& id);

 private:
  struct Entry {
    std::string id;
    absl::Time container_started_at;
    HealthPlan plan;
    // Of the next probe, or of the running one's timeout.
    absl::Time due;
    bool busy = false;
    std::optional<ProcessStream> stream;
    absl::Time probe_started_at;
    std::string output;
    bool woken = false;
  };
  void Run();
  void Begin(const std::shared_ptr<Entry>& entry);
  void Drain(const std::shared_ptr<Entry>& entry);
  void Finish(const std::shared_ptr<Entry>& entry, int exit_code, std::string output);
  bool IsCurrent(const std::shared_ptr<Entry>& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Clock& clock_;
  SerialPool& pool_;
  const HealthCallbacks callbacks_;
  absl::Mutex mu_;
  absl::CondVar changed_;
  std::map<std::string, std::shared_ptr<Entry>> entries_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace darse::runtime

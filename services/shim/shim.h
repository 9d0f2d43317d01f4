// One container: its processes, its life and its end. See protocol.h for what others see of it.
//
//   kStarting --started--> kRunning --exit, restart wanted--> kRestarting --delay over--> kStarting
//   …
//                              |                                   |
//                              +--exit, no restart--> kExited <----+-- stop
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "services/shim/client_hub.h"
#include "services/shim/exit_journal.h"
#include "services/shim/log_writer.h"
#include "services/shim/poller.h"
#include "services/shim/protocol.h"
#include "services/shim/restart_policy.h"
#include "services/shim/shim_config.h"
#include "services/shim/starter.h"
#include "services/shim/stdio_relay.h"

namespace darse::shim {

struct ShimOptions {
  std::string state_dir;
  std::string run_dir;
  UniqueFd report;
  UniqueFd attach[3];
  // For the first start, if it has a socket; and its LaunchOptions::clearance.
  ParkedStarter starter;
  UniqueFd clearance;
};

// One thread only. SIGCHLD must be blocked.
class Shim {
 public:
  Shim(ShimOptions options, ShimConfig config);

  // Until the final exit was recorded and told, or the first start failed (which was told).
  absl::Status Run();

 private:
  struct PendingExec {
    ClientId client;
    uint64_t request_id;
    std::string exec_id;
    UniqueFd socket;
  };

  absl::Status Open();
  // What the first process does not need: made beside it.
  absl::Status OpenFiles();
  absl::Status BeginFirstProcess();
  // Ends what was begun: its process may have run for a moment.
  void AbandonStart();
  void OnStarted();
  void OnStartFailed(const absl::Status& status);

  void OnChildren();
  void OnExit(int wait_status);
  void Conclude(ExitRecord record, int64_t ran_ms);
  void OnOom();
  void TellOom();
  bool WasOomKilled();

  void OnRequest(ClientId client, const Request& request, std::vector<UniqueFd> fds);
  absl::Status Serve(ClientId client, const Request& request, std::vector<UniqueFd>& fds);
  absl::Status Signal(int signal);
  absl::Status Stop(int signal);
  absl::Status Shutdown();
  absl::Status BeginExec(ClientId client, const Request& request, std::vector<UniqueFd>& fds);
  void OnExecStarted(uint64_t number);
  Message StateMessage() const;

  void WaitOnce();
  int TimeoutMs() const;
  void Finish();

  ShimOptions options_;
  ShimConfig config_;
  Poller poller_;
  LogWriter log_;
  StdioRelay stdio_;
  ClientHub clients_;
  ExitJournalFile journal_;
  std::unique_ptr<cgroup::CgroupDriver> cgroups_;
  UniqueFd children_;  // signalfd

  State state_ = State::kStarting;
  bool first_start_ = true;
  bool done_ = false;
  UniqueFd starting_;
  pid_t pid_ = 0;
  int64_t started_ns_ = 0;
  int64_t started_ms_ = 0;
  std::string cgroup_path_;
  bool own_pid_namespace_ = false;
  bool stop_requested_ = false;
  int64_t restart_at_ms_ = 0;
  RestartHistory history_;
  ExitRecord newest_exit_;
  UniqueFd oom_;
  uint64_t oom_kills_ = 0;  // when the process started
  uint64_t oom_told_ = 0;
  bool idle_ = false;  // memory has been given back since the last event
  // Keeps the mount namespace from being torn down before the exit is told: that takes longer than
  // telling.
  UniqueFd mount_namespace_;

  uint64_t next_exec_ = 1;
  std::map<uint64_t, PendingExec> starting_execs_;
  std::map<pid_t, std::string> execs_;
  // Children that ended before their starter could say whose they are.
  std::vector<std::pair<pid_t, int>> early_exits_;
};

}  // namespace darse::shim

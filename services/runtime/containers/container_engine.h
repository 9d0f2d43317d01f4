// The verbs of containers. What each leaves behind when the runtime dies in the middle is said
// beside it; Recover() is what sets it right.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/eventlog/event_log.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/sqlite/database.h"
#include "services/runtime/containers/change_hub.h"
#include "services/runtime/containers/container_dir.h"
#include "services/runtime/containers/container_store.h"
#include "services/runtime/containers/health_loop.h"
#include "services/runtime/containers/log_reader.h"
#include "services/runtime/containers/root_view.h"
#include "services/runtime/containers/stdio_session.h"
#include "services/runtime/containers/user_namespace.h"
#include "services/runtime/images/image_engine.h"
#include "services/runtime/networks/network_engine.h"
#include "services/runtime/shims/io_loop.h"
#include "services/runtime/shims/shim_client.h"
#include "services/runtime/snapshots/snapshot_engine.h"
#include "services/runtime/volumes/volume_engine.h"

namespace darse::runtime {

class LogFollower;

struct ContainerOptions {
  // <root>/runtime and <run>.
  std::string root;
  std::string run;
  std::string cgroup_parent;
  // Paths of programs; without an init, specs that ask for one are refused.
  std::string shim_program;
  std::string init_program;
  // Shims started in advance.
  int shim_pool_size = 0;
};

struct CreatedContainer {
  ContainerRecord record;
  std::vector<std::string> warnings;
  // As found when it was made, for a start that follows at once; unset for a repeated request.
  std::optional<RootPlan> root;
};

struct ListFilter {
  std::vector<ContainerState> states;
  // "key" or "key=value".
  std::vector<std::string> labels;
  std::vector<std::string> names;
};

struct ContainerPage {
  std::vector<ContainerRecord> records;
  // Empty after the last page.
  std::string next_token;
};

enum class WaitCondition { kNotRunning, kRemoved, kHealthy };
struct WaitAnswer {
  bool holds = false;
  int exit_code = 0;
  bool oom_killed = false;
};

struct ExecOptions {
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string working_dir;
  std::string user;
  bool tty = false;
  bool stdin_open = false;
  bool privileged = false;
  bool detach = false;
  uint32_t columns = 0;
  uint32_t rows = 0;
  // Leaves no events: a probe of the runtime's own.
  bool silent = false;
};

struct ContainerProcess {
  int64_t pid = 0;
  int64_t parent_pid = 0;
  uint32_t uid = 0;
  std::string command;
  absl::Duration cpu_time;
  int64_t resident_bytes = 0;
  absl::Time started_at;
};

struct ContainerFigures {
  std::string id;
  std::string name;
  absl::Time time;
  cgroup::Stats stats;
  int64_t network_receive_bytes = 0;
  int64_t network_transmit_bytes = 0;
};

// The engines beside this one; all must outlive it.
struct ContainerNeighbours {
  ImageEngine& images;
  SnapshotEngine& snapshots;
  NetworkEngine& networks;
  VolumeEngine& volumes;
};

// Thread-safe.
class ContainerEngine {
 public:
  ContainerEngine(sqlite::Database& db, EventLog& events, Clock& clock,
                  cgroup::CgroupDriver& cgroups, ContainerNeighbours neighbours,
                  std::function<std::string()> new_id, ContainerOptions options);
  ~ContainerEngine();

  // Once, before any other verb: collects exits that happened meanwhile, reconnects to live shims,
  // finishes or undoes what was half done, recovers networks and volumes with it. `rebooted`:
  // nothing of before can be alive. Containers that are to be started again are started behind the
  // caller's back.
  absl::Status Recover(bool rebooted);

  // A crash in the middle: the container is gone after recovery; with `start_follows` also after a
  // crash before it was started.
  absl::StatusOr<CreatedContainer> Create(v1::ContainerSpec spec, absl::string_view request_id,
                                          absl::string_view actor, bool start_follows = false);
  // A crash in the middle: it runs, or it does not and can be started again.
  absl::StatusOr<ContainerRecord> Start(absl::string_view reference, absl::string_view actor);
  // Between its making and its start; an error undoes the making.
  using BeforeStart = std::function<absl::Status(const ContainerRecord& record)>;
  // A crash in the middle: it runs, or is gone after recovery.
  absl::StatusOr<CreatedContainer> Run(v1::ContainerSpec spec, absl::string_view request_id,
                                       absl::string_view actor,
                                       const BeforeStart& before_start = nullptr);
  // Unset timeout: the container's own. A crash in the middle: the stop signal was sent or not; ask
  // again.
  absl::StatusOr<ContainerRecord> Stop(absl::string_view reference,
                                       std::optional<absl::Duration> timeout,
                                       absl::string_view actor);
  absl::Status Kill(absl::string_view reference, absl::string_view signal, absl::string_view actor);
  absl::StatusOr<ContainerRecord> Restart(absl::string_view reference,
                                          std::optional<absl::Duration> timeout,
                                          absl::string_view actor);
  absl::Status Pause(absl::string_view reference, absl::string_view actor);
  absl::Status Unpause(absl::string_view reference, absl::string_view actor);
  // A crash in the middle: recovery finishes the deletion.
  absl::Status Delete(absl::string_view reference, bool force, bool delete_volumes,
                      absl::string_view actor);
  absl::StatusOr<CreatedContainer> Update(absl::string_view reference,
                                          const v1::Resources& resources,
                                          const v1::RestartPolicy* policy, absl::string_view actor);

  absl::StatusOr<ContainerRecord> Get(absl::string_view reference);
  // Of the newest start; empty before.
  std::string OciConfig(const std::string& id);
  absl::StatusOr<ContainerPage> List(const ListFilter& filter, int page_size,
                                     absl::string_view page_token);
  // Id by reference, also of one that was deleted not long ago.
  absl::StatusOr<std::string> FindForWait(absl::string_view reference);
  // Whether the condition holds now; ask again after a change (see changes()). An error if it
  // cannot hold any more.
  absl::StatusOr<WaitAnswer> CheckWait(const std::string& id, WaitCondition condition);
  ChangeHub& changes() { return changes_; }

  absl::StatusOr<std::vector<ContainerProcess>> ListProcesses(absl::string_view reference);
  // Of these, or of all that run.
  absl::StatusOr<std::vector<ContainerFigures>> ReadFigures(
      const std::vector<std::string>& references);

  // `wake` says when to read again.
  absl::StatusOr<ProcessStream> Exec(absl::string_view reference, const ExecOptions& options,
                                     absl::string_view actor, std::function<void()> wake);
  // To one that does not run yet: from its start on.
  absl::StatusOr<ProcessStream> Attach(absl::string_view reference, bool with_stdin,
                                       std::function<void()> wake);

  absl::StatusOr<std::unique_ptr<LogFollower>> OpenLog(absl::string_view reference,
                                                       const LogFilter& filter, bool follow,
                                                       std::function<void()> wake);

  // For the neighbours: containers made of this image, and whether one over this snapshot lives.
  absl::StatusOr<std::vector<std::string>> ContainersOf(absl::string_view image_id);
  bool SnapshotIsRunning(absl::string_view snapshot_id);

  struct DiskUsage {
    int64_t container_bytes = 0;
    int64_t log_bytes = 0;
  };
  absl::StatusOr<DiskUsage> ReadDiskUsage();
  // What of this host makes containers less than they should be, as sentences.
  std::vector<std::string> Warnings() const;
  absl::StatusOr<std::vector<ContainerRecord>> ListAll();

 private:
  // create.cc
  absl::StatusOr<ContainerRecord> NewRecord(v1::ContainerSpec spec, std::string id,
                                            std::string& chain_id);
  // The id of a parked shim if there is one to be had for such a container, else a new one.
  std::string NewId(const v1::ContainerSpec& spec, bool start_follows);
  std::optional<ParkedShim> TakeParked(const std::string& id);
  absl::StatusOr<ParkedShim> ParkShim();
  std::string CgroupPath(absl::string_view id) const {
    return absl::StrCat(options_.cgroup_parent, "/", id);
  }
  // Writes down that it is to be made, with what it will have; all or nothing.
  absl::Status Enter(const ContainerRecord& record, const std::string& chain_id,
                     absl::string_view request_id, SnapshotDirs& dirs);
  absl::StatusOr<RootPlan> Furnish(ContainerRecord& record, SnapshotDirs dirs,
                                   absl::string_view actor);
  absl::Status MakeVolumes(ContainerRecord& record, int root, absl::string_view actor);
  // Finds what a bind names, or makes it where the spec says so.
  absl::Status EnsureSource(const v1::Mount& bind);
  absl::StatusOr<AttachRequest> NetworkRequest(const ContainerRecord& record);
  // start.cc; the container's lock is held.
  absl::Status StartLocked(ContainerRecord& record, absl::string_view actor,
                           std::optional<RootPlan> root = std::nullopt);
  struct StartPlan {
    RootPlan root;
    // By name.
    std::map<std::string, std::string> volume_paths;
    // To a user namespace of its own (user_namespace.h).
    std::string obstacle;
    // What is left of the network once it is attached; may be empty.
    std::function<absl::Status()> complete_network;
  };
  // FAILED_PRECONDITION if it must have a user namespace and cannot.
  absl::StatusOr<StartPlan> PlanStart(const ContainerRecord& record, std::optional<RootPlan> root);
  absl::StatusOr<AttachedNetwork> AttachNetwork(const ContainerRecord& record, StartPlan& plan);
  absl::StatusOr<shim::Message> Launch(const ContainerRecord& record, const StartPlan& plan,
                                       const AttachedNetwork& network);
  absl::Status WriteConfig(const ContainerRecord& record, const StartPlan& plan,
                           const AttachedNetwork& network);
  absl::Status Subscribe(const std::string& id);
  // exit.cc
  void OnShimMessage(const std::string& id, const shim::Message& message);
  void OnShimClosed(const std::string& id);
  void AnnounceExecEnd(const std::string& id, const shim::Message& message);
  void CollectExits(const std::string& id);
  absl::Status CollectExitsLocked(ContainerRecord& record);
  absl::Status ApplyExit(ContainerRecord& record, const shim::ExitRecord& exit);
  absl::Status ApplyRestart(const std::string& id, const shim::Message& message);
  // The container lost its shim: ends what is left of it, and starts it again if its policy says
  // so.
  absl::Status BuryOrphan(ContainerRecord& record, absl::string_view why, bool may_restart);
  // It has ended for good, which `events` tell. One that removes itself is gone after it.
  absl::Status EndLocked(ContainerRecord& record, std::vector<NewEvent> events);
  // Keeps what those who wait for its end will ask for.
  void Bury(const ContainerRecord& record);
  // `before`: of what came before it, and is not told yet.
  absl::Status RemoveLocked(ContainerRecord& record, bool delete_volumes, absl::string_view actor,
                            const std::vector<NewEvent>& before = {});
  std::optional<absl::Duration> RecordProbe(const std::string& id, absl::Time started_at,
                                            const HealthPlan& plan, const ProbeResult& result);
  void WatchHealth(const ContainerRecord& record);
  // recover.cc
  absl::Status RebuildRecords();
  void RemoveStrayDirs(const std::vector<std::string>& known);
  absl::Status RecoverOne(ContainerRecord record, bool rebooted);
  absl::Status AdoptRunning(ContainerRecord& record, const shim::Message& state);
  void StartAgain(const std::string& id, int attempt);
  // stdio.cc
  void EndStreams(const std::string& id, int exit_code);
  struct PendingStream {
    std::weak_ptr<StdioSession> stdio;
    // The shim's ends: in, out, err.
    UniqueFd shim_ends[3];
    // Of the terminal at its start; 0: unknown.
    uint32_t columns = 0, rows = 0;
  };
  std::vector<PendingStream> TakePending(const std::string& id);
  // For one who attached before the start. False: nobody of that stream waits.
  bool ResizePending(const std::string& id, const std::shared_ptr<StdioSession>& stdio,
                     uint32_t columns, uint32_t rows);
  absl::Status AttachLive(const std::string& id, const PendingStream& stream);

  absl::StatusOr<std::string> FindId(absl::string_view reference);
  absl::StatusOr<ContainerRecord> Read(const std::string& id);
  // Writes the record with an event for each action, and wakes who waits. Relaxed: for steps that
  // recovery finds out again, or that a durable one follows.
  absl::Status Commit(ContainerRecord& record, const std::vector<NewEvent>& events,
                      sqlite::Durability durability = sqlite::Durability::kDurable);
  static void LogEvents(const ContainerRecord& record, const std::vector<NewEvent>& events);
  static sqlite::Durability DurabilityOf(const ContainerRecord& record) {
    return record.is_transient() ? sqlite::Durability::kRelaxed : sqlite::Durability::kDurable;
  }
  NewEvent Event(const ContainerRecord& record, absl::string_view action, absl::string_view actor,
                 std::map<std::string, std::string> more = {});
  absl::StatusOr<ShimAnswer> Ask(const std::string& id, shim::Request request,
                                 std::span<const int> fds = {});
  // Until it is not live any more; false at the deadline.
  bool WaitUntilDown(const std::string& id, absl::Time deadline);
  absl::Status StopLive(const std::string& id, std::optional<absl::Duration> timeout,
                        absl::string_view actor);
  ContainerDir Dir(absl::string_view id) const { return {options_.root, options_.run, id}; }

  sqlite::Database& db_;
  EventLog& events_;
  Clock& clock_;
  cgroup::CgroupDriver& cgroups_;
  ContainerNeighbours neighbours_;
  const std::function<std::string()> new_id_;
  const ContainerOptions options_;
  const HostUserNamespaces user_namespaces_;
  ChangeHub changes_;
  KeyedLocks locks_;

  struct Tombstone {
    int exit_code = 0;
    bool oom_killed = false;
  };
  struct Stream {
    std::string container_id;
    std::weak_ptr<StdioSession> stdio;
    // Of an exec: its end is an event.
    bool announced = false;
  };
  absl::Mutex mu_;
  // Of the containers deleted last, or just being deleted, for those who still wait.
  std::map<std::string, Tombstone> tombstones_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> tombstone_order_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Stream> execs_ ABSL_GUARDED_BY(mu_);
  std::vector<Stream> attachments_ ABSL_GUARDED_BY(mu_);
  // Of containers that do not run yet.
  std::map<std::string, std::vector<PendingStream>> pending_ ABSL_GUARDED_BY(mu_);
  // Of containers that are made and not yet started.
  std::map<std::string, ParkedShim> parked_ ABSL_GUARDED_BY(mu_);
  std::atomic<bool> stopping_{false};

  IoLoop loop_;
  SerialPool pool_{6};
  ShimClient shims_;
  // From Recover() on.
  std::unique_ptr<ShimPool> shim_pool_;
  HealthLoop health_;
};

}  // namespace darse::runtime

// Starts shims and talks to them: one connection a live container, all served by the io loop.
#pragma once

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
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/unique_fd.h"
#include "libs/os/spawn.h"
#include "services/runtime/shims/io_loop.h"
#include "services/runtime/shims/shim_pool.h"
#include "services/shim/protocol.h"

namespace darse::runtime {

struct ShimAnswer {
  shim::Message message;
  // The terminal's master, in the answer to an exec with a terminal.
  std::vector<UniqueFd> fds;
};

struct ShimLaunch {
  std::string id;
  std::string state_dir;
  std::string run_dir;
  // Ends for the first attacher, -1 where there is none; they stay the caller's.
  int attach_stdin = -1;
  int attach_stdout = -1;
  int attach_stderr = -1;
  // What is left to do of the namespaces that it joins; empty: nothing. Called once, before the
  // process goes on; a parked shim makes it meanwhile.
  std::function<absl::Status()> complete;
};

// What shims report by themselves. Called on the loop's thread: must not block.
struct ShimEvents {
  std::function<void(const std::string& id, const shim::Message& message)> message;
  // The connection ended: the shim did, or it dropped us.
  std::function<void(const std::string& id)> closed;
};

// Thread-safe.
class ShimClient {
 public:
  // `program` is the path of darse-shim.
  ShimClient(IoLoop& loop, Clock& clock, std::string program, ShimEvents events);
  ~ShimClient();

  // Spawns a shim, or takes the one that was `parked` for this id, and waits for its report; is
  // connected then, so that no message is missed. The error of a process that could not be started
  // has the shim's sentence and reason, or is that of `complete`. Nothing is left behind then.
  absl::StatusOr<shim::Message> Launch(const ShimLaunch& launch,
                                       std::optional<ParkedShim> parked = std::nullopt);
  // Spawns a shim for a container that is to come. The attach ends of `launch` are not looked at:
  // they are known at the launch.
  absl::StatusOr<ParkedShim> Park(const ShimLaunch& launch, const std::string& cgroup_path);
  // Collects the exit status of a shim that was let go of, when it comes.
  void ReapLater(int pid);

  // Connects and subscribes; answers the shim's state. NOT_FOUND or UNAVAILABLE when no shim is
  // there.
  absl::StatusOr<shim::Message> Connect(const std::string& id, const std::string& run_dir);
  // Closes without telling ShimEvents.
  void Disconnect(const std::string& id);

  // Sends a request and waits for its answer. UNAVAILABLE without a connection, DEADLINE_EXCEEDED
  // from a shim that does not answer within ten seconds; kFailed becomes an error with its sentence
  // and reason.
  absl::StatusOr<ShimAnswer> Call(const std::string& id, shim::Request request,
                                  std::span<const int> fds = {});

 private:
  struct Connection;
  std::shared_ptr<Connection> Find(const std::string& id);
  absl::StatusOr<ShimAnswer> Exchange(Connection& connection, shim::Request request,
                                      std::span<const int> fds);
  std::shared_ptr<Connection> Keep(const std::string& id, UniqueFd socket);
  void Receive(const std::shared_ptr<Connection>& connection);
  struct Spawned {
    Process process;
    UniqueFd socket;
  };
  absl::StatusOr<Spawned> Spawn(const ShimLaunch& launch, const std::vector<std::string>& more_args,
                                const int (&attach)[3]);
  absl::StatusOr<shim::Message> AwaitReport(Process& process, int socket);

  IoLoop& loop_;
  Clock& clock_;
  const std::string program_;
  // The program, so that each shim need not seal and execute itself anew (sealed_program.h);
  // invalid where that cannot be done, and the shim does it.
  UniqueFd sealed_;
  const ShimEvents events_;
  absl::Mutex mu_;
  std::map<std::string, std::shared_ptr<Connection>> connections_ ABSL_GUARDED_BY(mu_);
};

// FAILED_PRECONDITION, INVALID_ARGUMENT, … by what failed, with the shim's sentence and reason.
absl::Status FailureStatus(const shim::Failure& failure);

}  // namespace darse::runtime

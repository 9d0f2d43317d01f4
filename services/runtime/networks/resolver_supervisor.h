// Keeps one darse-dns alive for this run directory.
//
// The resolver lives longer than the runtime: it is started in a session of its own, and a runtime
// that starts finds the one that runs by <run>/dns.pid (pid and start time) instead of starting
// another.
#pragma once

#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"

namespace darse::runtime {

struct ResolverOptions {
  // Of darse-dns; usually beside this program.
  std::string program;
  std::string run_dir;
  std::string resolv_conf = "/etc/resolv.conf";
};

// Owns a thread from Start to its destruction, which leaves the resolver running.
class ResolverSupervisor {
 public:
  explicit ResolverSupervisor(ResolverOptions options);
  ~ResolverSupervisor();
  ResolverSupervisor(const ResolverSupervisor&) = delete;
  ResolverSupervisor& operator=(const ResolverSupervisor&) = delete;

  // Adopts or starts the resolver; from then on it is started again within a second of its end.
  // Once only.
  absl::Status Start();

 private:
  void Watch();
  // Waits for `fd` (none: nothing) at most so long; false when this object is being destroyed.
  bool Sleep(int fd, int milliseconds);

  const ResolverOptions options_;
  UniqueFd stop_;
  std::thread thread_;
};

// Ends the resolver of a run directory, for TearDownNetworks. OK if none runs.
absl::Status StopResolver(absl::string_view run_dir);

}  // namespace darse::runtime

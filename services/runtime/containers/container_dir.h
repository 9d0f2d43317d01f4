// What lies where for one container.
//
//   <root>/containers/<id>/  record, merged   what was asked for: should the database be damaged
//                            exits, log/      see services/shim
//   <run>/containers/<id>/   config.json, shim.json, shim.sock, shim.pid, rootfs/, etc/hosts,
//                            etc/hostname, etc/resolv.conf, and record and merged of a container
//                            that goes with a reboot (is_transient)
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/runtime/containers/container_record.h"
#include "services/shim/exit_record.h"

namespace darse::runtime {

class ContainerDir {
 public:
  ContainerDir(absl::string_view root, absl::string_view run, absl::string_view id);

  const std::string& state() const { return state_; }
  const std::string& run() const { return run_; }
  std::string log() const { return state_ + "/log"; }
  // Below run(), since each start makes them anew.
  std::string etc() const { return run_ + "/etc"; }
  std::string rootfs() const { return run_ + "/rootfs"; }
  std::string config() const { return run_ + "/config.json"; }
  std::string shim_config() const { return run_ + "/shim.json"; }
  // What is bound over files of the container's /etc, by name.
  static constexpr const char* kHosts = "hosts";
  static constexpr const char* kHostname = "hostname";
  static constexpr const char* kResolvConf = "resolv.conf";

  // Both directories and what never changes in them; may be called again.
  absl::Status Make() const;
  // The files that a start writes, empty: in advance, for a container that is to come.
  absl::Status MakeFiles() const;
  absl::Status Remove() const;

  // A damaged database is rebuilt from directories with a record: the first file that goes.
  absl::Status RemoveRecord() const;
  bool HasRecord() const;
  absl::Status WriteRecord(const ContainerRecord& record) const;
  // What can be known without the database: id, name, specs, image, time. DATA_LOSS if it is
  // damaged.
  absl::StatusOr<ContainerRecord> ReadRecord() const;

  // Empty if nothing ever ran.
  absl::StatusOr<std::vector<shim::ExitRecord>> ReadExits() const;
  // True if the shim that was started last still lives.
  bool ShimIsAlive() const;

 private:
  std::string state_;
  std::string run_;
};

// Ids of all containers with a directory.
std::vector<std::string> ListContainerDirs(absl::string_view root);

}  // namespace darse::runtime

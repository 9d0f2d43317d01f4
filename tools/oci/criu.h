// Checkpoint and restore: criu(8) as a program, and what it must be told of a container.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/container/config/spec.h"

namespace darse::ocitool {

// A line of /proc/<pid>/mountinfo (proc(5)).
struct MountLine {
  std::string device;  // "0:27"
  std::string root;    // of the mount, within its file system
  std::string point;
};
std::vector<MountLine> ParseMountLines(absl::string_view mountinfo);

// The mount points that show something from outside the container, which criu cannot make anew:
// what the spec binds, what lies below that, and every piece of a file system that is not whole
// inside.
std::vector<std::string> ExternalMounts(const std::vector<MountLine>& mounts,
                                        const container::Spec& spec);

// Where on this host one of ExternalMounts comes from. `cgroups`: by mount point, the directories
// that a container sees. NOT_FOUND if the spec has nothing there.
absl::StatusOr<std::string> SourceOf(const std::string& mount_point, const container::Spec& spec,
                                     const std::string& bundle,
                                     const std::map<std::string, std::string>& cgroups);

// What a checkpoint must remember beside criu's own images: "darse.json" in their directory.
struct CheckpointNotes {
  std::vector<std::string> external_mounts;
  std::vector<std::string> stdio;  // what 0, 1 and 2 were, as /proc/<pid>/fd shows them
  bool network_by_path = false;

  bool operator==(const CheckpointNotes&) const = default;
};
std::string EncodeNotes(const CheckpointNotes& notes);
// DATA_LOSS if it is not what EncodeNotes makes.
absl::StatusOr<CheckpointNotes> DecodeNotes(const std::string& json);

// 31701 for 3.17.1. NOT_FOUND without criu.
absl::StatusOr<int> CriuVersion();

// Runs criu to its end. `fds`: those that it inherits beside stdio, which is ours, by their number
// there; `before`, if not null, is called with criu's process before it does anything. NOT_FOUND
// without criu, else FAILED_PRECONDITION with the errors from `log`, a file that it writes.
absl::Status RunCriu(const std::vector<std::string>& args,
                     const std::vector<std::pair<int, int>>& fds, const std::string& log,
                     const std::function<absl::Status(pid_t)>& before);

}  // namespace darse::ocitool

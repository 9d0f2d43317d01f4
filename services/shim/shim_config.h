// `<run>/shim.json`: what the shim must know and OCI's config.json beside it does not say.
//
//   {"id":"…64 hex…",
//    "rootfs":{"lower_dirs":["/top","/below"],"upper_dir":"/u","work_dir":"/w"},   or
//    {"path":"/dir"}, each with "id_map":true beside a user namespace in config.json,
//    "log":{"dir":"<state>/log","max_size_bytes":10485760,"max_files":3},
//    "restart":{"kind":"no|on-failure|always|unless-stopped","max_retries":0,
//    "window_ms":0,"delay_ms":100},
//    "stop_signal":15,"stdin_open":false,"transient":false,"columns":0,"rows":0,
//    "seccomp_cache":"<run>/seccomp"}
//
// The rest is in config.json, where OCI puts it: process.terminal (tty), linux.cgroupsPath
// ("/darse/<id>", below each controller's mount), linux.namespaces (a network namespace to join is
// its `path`), root.readonly. root.path is where the rootfs is mounted, in the container's own
// mount namespace only: an existing empty directory (`<run>/rootfs`). An unknown key is an error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/shim/restart_policy.h"

namespace darse::shim {

struct RootfsSource {
  std::vector<std::string> lower_dirs;  // top first; empty: `path` is used as it is
  std::string upper_dir;                // empty, with lower_dirs: the overlay is read-only
  std::string work_dir;
  std::string path;
  // With a user namespace: the ids on disk are those of its inside.
  bool id_map = false;

  bool operator==(const RootfsSource&) const = default;
};

struct LogOptions {
  std::string dir;  // empty: output is not kept
  int64_t max_size_bytes = 10 << 20;
  int32_t max_files = 3;  // `current` included

  bool operator==(const LogOptions&) const = default;
};

struct ShimConfig {
  std::string id;
  RootfsSource rootfs;
  LogOptions log;
  RestartPolicy restart;
  int32_t stop_signal = 15;  // what a stop request without a signal sends
  bool stdin_open = false;   // otherwise stdin is /dev/null (or a terminal nobody types on)
  // After a power cut there is no such container any more: its exits are written, but nobody waits
  // until they are on the disk.
  bool transient = false;
  uint32_t columns = 0;  // first size of the terminal; 0: the kernel's
  uint32_t rows = 0;
  // Directory of compiled filters, shared by all containers; empty: each start compiles its own.
  std::string seccomp_cache;

  bool operator==(const ShimConfig&) const = default;
};

std::string EncodeShimConfig(const ShimConfig& config);
// INVALID_ARGUMENT naming the key.
absl::StatusOr<ShimConfig> DecodeShimConfig(absl::string_view json);

}  // namespace darse::shim

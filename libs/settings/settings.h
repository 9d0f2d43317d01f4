// What a service is told from outside: darse.toml, over it the environment, over it the flags.
//
// Every setting has one name in each: "network.pool" is `pool` in [network], DARSE_NETWORK_POOL and
// --network-pool. An unknown key, flag or malformed value is INVALID_ARGUMENT that names it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/log.h"

namespace darse {

struct Settings {
  // State, one directory a service below it.
  std::string root = "/var/lib/darse";
  // Sockets and pid files.
  std::string run = "/run/darse";
  LogLevel log_level = LogLevel::kInfo;

  // At most 8 characters of [a-z0-9], so that an interface's name fits in 15.
  std::string network_bridge_prefix = "drs";
  // IPv4 CIDR of which each network gets a /24.
  std::string network_pool = "10.89.0.0/16";
  std::string network_nft_table = "darse";

  // Below each controller's mount.
  std::string cgroup_parent = "darse";

  // Shims that wait for a container; 0: each is started when it is needed.
  int shim_pool_size = 4;

  // host:port; port 0: a free one; empty: not served.
  std::string metrics_http = "127.0.0.1:9323";
  int64_t metrics_database_limit_bytes = int64_t{64} << 20;

  // --help or --version was given: print it and exit 0.
  bool show_help = false;
  bool show_version = false;
  // Arguments that are not flags, in order.
  std::vector<std::string> arguments;

  // <root>/<service> and <run>/<service>.<ending>.
  std::string StateDirectory(absl::string_view service) const;
  std::string SocketPath(absl::string_view service) const;
  std::string PidPath(absl::string_view service) const;
};

// The file is --config, else DARSE_CONFIG, else /etc/darse/darse.toml; only the last may be
// missing.
absl::StatusOr<Settings> LoadSettings(int argc, char** argv, char** environment);

// Flags and settings as text for --help.
std::string SettingsHelp(absl::string_view program);

}  // namespace darse

// The OCI image config: how to run an image, and the layers its root filesystem is made of.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/oci/digest.h"

namespace darse::oci {

// Docker's extension of the config. A zero duration or count means Docker's default.
struct Healthcheck {
  // ["CMD", …], ["CMD-SHELL", "…"] or ["NONE"].
  std::vector<std::string> test;
  absl::Duration interval;
  absl::Duration timeout;
  absl::Duration start_period;
  absl::Duration start_interval;
  int retries = 0;
};

struct HistoryEntry {
  // RFC 3339, as written; may be empty.
  std::string created;
  std::string created_by;
  std::string author;
  std::string comment;
  bool empty_layer = false;
};

struct ImageConfig {
  std::string created;
  std::string author;
  std::string architecture;
  std::string os;

  // The "config" object.
  std::string user;
  std::vector<std::string> env;
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  // Paths.
  std::vector<std::string> volumes;
  // "80/tcp".
  std::vector<std::string> exposed_ports;
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::vector<std::string> shell;
  std::optional<Healthcheck> healthcheck;

  // rootfs.diff_ids, base layer first.
  std::vector<Digest> diff_ids;
  std::vector<HistoryEntry> history;
};

// INVALID_ARGUMENT with the member's name for JSON that is malformed, too large or of the wrong
// types. Unknown members are kept out, not refused: the OCI spec lets others add some.
absl::StatusOr<ImageConfig> ParseImageConfig(absl::string_view json);

// What MakeImageConfig puts around the "config" object.
struct NewImageConfig {
  // A JSON object: User, Env, Cmd, …; empty means {}.
  std::string config_json;
  std::string created;
  std::string architecture;
  std::string os;
  std::vector<Digest> diff_ids;
  std::vector<HistoryEntry> history;
};

// The config as JSON, the same bytes for the same input. INVALID_ARGUMENT if `config_json` is no
// object or ParseImageConfig would refuse the whole.
absl::StatusOr<std::string> MakeImageConfig(const NewImageConfig& config);

// "amd64", "arm64", …: what this machine runs, in the OCI spec's (Go's) words.
std::string HostArchitecture();

// Chain ids of all layers, base layer first, as in the OCI image spec.
std::vector<Digest> ChainIds(const std::vector<Digest>& diff_ids);

}  // namespace darse::oci

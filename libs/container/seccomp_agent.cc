#include "libs/container/seccomp_agent.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libs/base/syscall_error.h"
#include "libs/base/unique_fd.h"
#include "libs/container/sync_socket.h"
#include "rapidjson/document.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"

namespace darse::container {
namespace {

// OCI's ContainerProcessState.
std::string EncodeProcessState(const seccomp::Profile& profile, const HookState& state, pid_t pid) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  writer.StartObject();
  writer.Key("ociVersion");
  writer.String(state.oci_version.c_str());
  writer.Key("fds");
  writer.StartArray();
  writer.String("seccompFd");
  writer.EndArray();
  writer.Key("pid");
  writer.Int(pid);
  if (!profile.listener_metadata.empty()) {
    writer.Key("metadata");
    writer.String(profile.listener_metadata.c_str());
  }
  writer.Key("state");
  std::string inner = EncodeHookState(state);
  writer.RawValue(inner.data(), inner.size(), rapidjson::kObjectType);
  writer.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize());
}

absl::StatusOr<UniqueFd> Connect(const std::string& path) {
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError("linux.seccomp.listenerPath: too long for a socket");
  }
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd agent(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!agent.valid()) return SyscallError(errno, "socket");
  if (connect(agent.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
    return absl::UnavailableError(absl::StrCat("linux.seccomp.listenerPath: no agent listens at ",
                                               path, ": ", strerror(errno)));
  }
  return agent;
}

}  // namespace

absl::Status CheckNotifications(const seccomp::Profile& profile) {
  bool notifies = profile.default_action == "SCMP_ACT_NOTIFY";
  for (const seccomp::Rule& rule : profile.rules) {
    if (rule.action != "SCMP_ACT_NOTIFY") continue;
    notifies = true;
    for (const char* needed : {"sendmsg", "recvmsg", "write"}) {
      if (std::find(rule.names.begin(), rule.names.end(), needed) == rule.names.end()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("linux.seccomp: SCMP_ACT_NOTIFY for ", needed,
                       ", which the process needs before an agent can answer"));
    }
  }
  if (profile.default_action == "SCMP_ACT_NOTIFY") {
    return absl::InvalidArgumentError("linux.seccomp.defaultAction: not SCMP_ACT_NOTIFY");
  }
  if (notifies && profile.listener_path.empty()) {
    return absl::InvalidArgumentError("linux.seccomp: SCMP_ACT_NOTIFY needs a listenerPath");
  }
  return absl::OkStatus();
}

absl::Status SendListener(const seccomp::Profile& profile, const HookState& state, pid_t pid,
                          int listener) {
  absl::StatusOr<UniqueFd> agent = Connect(profile.listener_path);
  if (!agent.ok()) return agent.status();
  std::string json = EncodeProcessState(profile, state, pid);
  return SendWithFd(agent->get(), json, listener,
                    absl::StrCat("hand the seccomp listener to ", profile.listener_path));
}

}  // namespace darse::container

#include "libs/container/starting.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/container/failure.h"
#include "libs/container/process_setup.h"
#include "libs/container/seccomp_agent.h"
#include "libs/container/sync_socket.h"
#include "libs/linux/namespace/namespace.h"
#include "libs/linux/seccomp/filter_cache.h"

namespace darse::container {

absl::StatusOr<std::string> CgroupPath(const Spec& spec, const cgroup::CgroupDriver* cgroups,
                                       const std::string& id) {
  if (cgroups == nullptr) return std::string();
  return cgroups->Resolve(spec.cgroups_path, id);
}

absl::StatusOr<std::optional<seccomp::Filter>> CompileFilter(const Spec& spec,
                                                             const std::string& cache) {
  if (!spec.seccomp.has_value()) return std::nullopt;
  RETURN_IF_ERROR(CheckNotifications(*spec.seccomp));
  ASSIGN_OR_RETURN(seccomp::Filter filter, seccomp::CompileCached(*spec.seccomp, cache));
  return filter;
}

absl::Status CheckSelinux(const Process& process, const std::string& mount_label) {
  if (process.selinux_label.empty() && mount_label.empty()) return absl::OkStatus();
  if (access("/sys/fs/selinux/enforce", F_OK) == 0) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat(process.selinux_label.empty() ? "linux.mountLabel" : "process.selinuxLabel",
                   ": this host has no SELinux"));
}

void Reap(pid_t pid) {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void EndChild(pid_t pid, bool as_sibling) {
  kill(pid, SIGKILL);
  if (as_sibling) return;  // its parent reaps it
  Reap(pid);
}

namespace {

// What takes rights on the host that a process in a user namespace does not have: its limits, and
// its stdio, which is to be that user's.
absl::Status ActForChild(uint32_t uid, uint32_t gid, const Listening& listening,
                         Launched& launched) {
  RETURN_IF_ERROR(AtStep("limit", ApplyLimits(listening.process, launched.pid, launched.warnings)));
  ns::IdMaps read;
  const ns::IdMaps* maps = listening.known_maps;
  if (maps == nullptr) {
    ASSIGN_OR_RETURN(read, ns::ReadIdMaps(launched.pid));
    maps = &read;
  }
  std::optional<uint32_t> host_uid = ns::ToHost(maps->uids, uid);
  std::optional<uint32_t> host_gid = ns::ToHost(maps->gids, gid);
  // Who is not mapped cannot be become either, and is told so there.
  if (host_uid.has_value() && host_gid.has_value()) {
    GiveStdio(listening.stdio, *host_uid, *host_gid);
  }
  return absl::OkStatus();
}

absl::Status ActForChild(const SyncMessage& message, const Listening& listening,
                         Launched& launched) {
  std::pair<absl::string_view, absl::string_view> ids = absl::StrSplit(message.text, ' ');
  uint32_t uid = 0, gid = 0;
  if (!absl::SimpleAtoi(ids.first, &uid) || !absl::SimpleAtoi(ids.second, &gid)) {
    return absl::InternalError("bad user");
  }
  return ActForChild(uid, gid, listening, launched);
}

}  // namespace

absl::Status ActEarly(const Listening& listening, Launched& launched) {
  const Process& process = listening.process;
  if (!listening.in_user_namespace || !CanActEarly(process)) return absl::OkStatus();
  return ActForChild(process.user.uid, process.user.gid, listening, launched);
}

absl::Status Listen(int sync, const Listening& listening, Launched& launched) {
  for (bool executing = false;;) {
    ASSIGN_OR_RETURN(SyncMessage message, ReceiveSync(sync));
    switch (message.letter) {
      case 0:
        if (executing) return absl::OkStatus();
        return AtStep("exec",
                      absl::AbortedError("the process ended before it could be started (killed?)"));
      case 'W':
        launched.warnings.push_back(std::move(message.text));
        break;
      case 'T':
        launched.terminal = std::move(message.fd);
        break;
      case 'L':
        RETURN_IF_ERROR(AtStep("seccomp", listening.on_listener(message.fd.get())));
        break;
      case 'A':
        RETURN_IF_ERROR(ActForChild(message, listening, launched));
        RETURN_IF_ERROR(SendSync(sync, 'D'));
        break;
      case 'H':
        RETURN_IF_ERROR(AtStep("hook", listening.on_hooks(launched.pid)));
        RETURN_IF_ERROR(SendSync(sync, 'D'));
        break;
      case 'P': {
        pid_t pid = 0;
        if (!absl::SimpleAtoi(message.text, &pid)) return absl::InternalError("bad pid");
        RETURN_IF_ERROR(listening.on_inside(pid));
        break;
      }
      case 'X':
        executing = true;
        break;
      case 'R':
        if (listening.until_ready) return absl::OkStatus();
        break;
      default:
        return DecodeFailure(message.text);
    }
  }
}

void CloneInside(int sync, absl::Status entered, uint64_t flags,
                 const std::function<void()>& become) {
  ns::Cloned inside;
  if (entered.ok()) {
    absl::StatusOr<ns::Cloned> cloned = ns::Clone({.flags = flags, .as_sibling = true});
    entered = cloned.status();
    if (cloned.ok()) inside = *std::move(cloned);
  }
  if (!entered.ok()) {
    SendSync(sync, 'F', EncodeFailure(AtStep("namespace", entered))).IgnoreError();
    _exit(1);
  }
  if (inside.pid == 0) become();
  SendSync(sync, 'P', absl::StrCat(inside.pid)).IgnoreError();
  _exit(0);
}

}  // namespace darse::container

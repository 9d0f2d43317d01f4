#include "services/shim/starter.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/container/config/spec.h"
#include "libs/container/failure.h"
#include "libs/container/launch.h"
#include "libs/container/sync_socket.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/linux/mount/overlay.h"
#include "libs/os/idle_memory.h"

namespace darse::shim {
namespace {

using container::Launched;
using container::Spec;

absl::StatusOr<std::string> ReadAll(int fd) {
  std::string content;
  char buffer[8192];
  for (;;) {
    ssize_t got = pread(fd, buffer, sizeof(buffer), static_cast<off_t>(content.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SyscallError(errno, "read");
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
  }
}

absl::StatusOr<Spec> ReadSpec(const std::string& bundle_dir) {
  std::string path = absl::StrCat(bundle_dir, "/config.json");
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  ASSIGN_OR_RETURN(std::string json, ReadAll(file.get()));
  return container::ParseSpec(json);
}

// What a parked child has when its job comes.
struct Parked {
  std::unique_ptr<cgroup::CgroupDriver> cgroups;
  // v1; v2 makes the process right in its cgroup, at no cost.
  bool in_cgroup = false;
};

absl::StatusOr<Launched> StartFirst(const StartJob& job, Spec& spec, cgroup::CgroupDriver* cgroups,
                                    bool in_cgroup) {
  const RootfsSource& rootfs = job.config->rootfs;
  container::LaunchOptions options = {.id = job.config->id,
                                      .bundle = job.bundle_dir,
                                      .id_map_root = rootfs.id_map,
                                      // The runtime made both.
                                      .id_maps_are_known = rootfs.id_map,
                                      .as_sibling = true,
                                      .in_cgroup = in_cgroup,
                                      .columns = job.config->columns,
                                      .rows = job.config->rows,
                                      .seccomp_cache = job.config->seccomp_cache};
  if (rootfs.lower_dirs.empty()) {
    spec.root_path = rootfs.path;
  } else {
    options.overlay = {rootfs.lower_dirs, rootfs.upper_dir, rootfs.work_dir};
    std::string place = spec.root_path[0] == '/'
                            ? spec.root_path
                            : absl::StrCat(job.bundle_dir, "/", spec.root_path);
    if (mkdir(place.c_str(), 0700) < 0 && errno != EEXIST) {
      return container::AtStep("rootfs", SyscallError(errno, absl::StrCat("mkdir ", place)));
    }
  }
  for (int i = 0; i < 3; ++i) options.stdio[i] = job.stdio[i];
  options.clearance = job.clearance;
  return container::Launch(spec, cgroups, options);
}

absl::StatusOr<Launched> StartFurther(const StartJob& job, const Spec& spec,
                                      cgroup::CgroupDriver* cgroups) {
  ASSIGN_OR_RETURN(std::string json, ReadAll(job.process_json));
  container::JoinOptions options = {.id = job.config->id,
                                    .target = static_cast<pid_t>(job.join_pid),
                                    .as_sibling = true,
                                    .seccomp_cache = job.config->seccomp_cache};
  ASSIGN_OR_RETURN(options.process, container::ParseProcess(json));
  for (int i = 0; i < 3; ++i) options.stdio[i] = job.stdio[i];
  return container::Join(spec, cgroups, options);
}

absl::Status RunStart(const StartJob& job, int socket, Parked parked) {
  absl::StatusOr<Spec> spec = ReadSpec(job.bundle_dir);
  RETURN_IF_ERROR(container::AtStep("config", spec.status()));
  std::unique_ptr<cgroup::CgroupDriver> cgroups = std::move(parked.cgroups);
  if (cgroups == nullptr) {
    absl::StatusOr<std::unique_ptr<cgroup::CgroupDriver>> opened = cgroup::OpenHostCgroups();
    RETURN_IF_ERROR(container::AtStep("cgroup", opened.status()));
    cgroups = *std::move(opened);
  }
  absl::StatusOr<Launched> launched = job.join_pid == 0
                                          ? StartFirst(job, *spec, cgroups.get(), parked.in_cgroup)
                                          : StartFurther(job, *spec, cgroups.get());
  RETURN_IF_ERROR(launched.status());
  for (const std::string& warning : launched->warnings) {
    RETURN_IF_ERROR(container::SendSync(socket, 'W', warning));
  }
  ASSIGN_OR_RETURN(std::string path, cgroups->Resolve(spec->cgroups_path, job.config->id));
  const container::NamespaceEntry* pid = spec->FindNamespace(CLONE_NEWPID);
  bool own = pid != nullptr && pid->path.empty();
  RETURN_IF_ERROR(container::SendSync(socket, 'S',
                                      absl::StrCat(launched->pid, " ", own ? 1 : 0, " ", path),
                                      launched->terminal.get()));
  // What is left is to tidy up.
  setpriority(PRIO_PROCESS, 0, 19);
  return absl::OkStatus();
}

[[noreturn]] void RunAndExit(const StartJob& job, int socket, Parked parked) {
  absl::Status started = RunStart(job, socket, std::move(parked));
  if (!started.ok()) {
    container::SendSync(socket, 'F', container::EncodeFailure(started)).IgnoreError();
  }
  _exit(0);
}

// Beside those of sync_socket.h, between a shim and its parked child: the child says kReady once;
// then come the container's stdin, stdout and stderr and the clearance, as far as there are any,
// and the job, a state directory.
constexpr char kReady = 'K', kFirstStdio = '0', kClearance = 'C', kJob = 'J';

// The parked child: into the cgroup, and wait.
absl::StatusOr<Parked> EnterCgroup(const std::string& cgroup_path) {
  Parked parked;
  ASSIGN_OR_RETURN(parked.cgroups, cgroup::OpenHostCgroups());
  RETURN_IF_ERROR(parked.cgroups->Create(cgroup_path));
  parked.in_cgroup = !parked.cgroups->OpenDirectory(cgroup_path).ok();
  if (parked.in_cgroup) RETURN_IF_ERROR(parked.cgroups->Attach(cgroup_path, getpid()));
  return parked;
}

absl::StatusOr<ShimConfig> ReadConfig(const std::string& bundle_dir) {
  std::string path = absl::StrCat(bundle_dir, "/shim.json");
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  ASSIGN_OR_RETURN(std::string json, ReadAll(file.get()));
  return DecodeShimConfig(json);
}

[[noreturn]] void RunParked(const std::string& cgroup_path, int socket) {
  absl::StatusOr<Parked> parked = EnterCgroup(cgroup_path);
  if (!parked.ok()) {
    absl::Status failed = container::AtStep("cgroup", parked.status());
    container::SendSync(socket, 'F', container::EncodeFailure(failed)).IgnoreError();
    _exit(1);
  }
  mnt::LearnOverlay();
  MapProgram();
  // What is allocated from here on goes with this process, soon.
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  if (!container::SendSync(socket, kReady).ok()) _exit(1);
  StartJob job;
  UniqueFd stdio[3], clearance;
  for (;;) {
    absl::StatusOr<container::SyncMessage> message = container::ReceiveSync(socket);
    // No job came: the shim is gone, or lets go of us.
    if (!message.ok() || message->letter == 0) _exit(0);
    if (message->letter == kJob) {
      job.bundle_dir = message->text;
      break;
    }
    if (message->letter == kClearance) {
      clearance = std::move(message->fd);
      job.clearance = clearance.get();
      continue;
    }
    int fd = message->letter - kFirstStdio;
    if (fd < 0 || fd > 2) _exit(1);
    stdio[fd] = std::move(message->fd);
    job.stdio[fd] = stdio[fd].get();
  }
  absl::StatusOr<ShimConfig> config = ReadConfig(job.bundle_dir);
  if (!config.ok()) {
    absl::Status failed = container::AtStep("config", config.status());
    container::SendSync(socket, 'F', container::EncodeFailure(failed)).IgnoreError();
    _exit(0);
  }
  job.config = &*config;
  RunAndExit(job, socket, *std::move(parked));
}

}  // namespace

absl::StatusOr<UniqueFd> BeginStart(const StartJob& job) {
  UniqueFd ours, theirs;
  RETURN_IF_ERROR(container::MakeSyncPair(ours, theirs));
  pid_t pid = fork();
  if (pid < 0) return SyscallError(errno, "fork");
  if (pid > 0) return ours;
  ours.Reset();
  RunAndExit(job, theirs.get(), {});
}

absl::StatusOr<ParkedStarter> ParkStarter(const std::string& cgroup_path) {
  UniqueFd ours, theirs;
  RETURN_IF_ERROR(container::MakeSyncPair(ours, theirs));
  pid_t pid = fork();
  if (pid < 0) return SyscallError(errno, "fork");
  if (pid == 0) {
    ours.Reset();
    RunParked(cgroup_path, theirs.get());
  }
  ParkedStarter parked = {.pid = pid, .socket = std::move(ours), .cgroup_path = cgroup_path};
  theirs.Reset();
  absl::StatusOr<container::SyncMessage> ready = container::ReceiveSync(parked.socket.get());
  absl::Status status = ready.status();
  if (ready.ok() && ready->letter != kReady) {
    status = ready->letter == 'F' ? container::DecodeFailure(ready->text)
                                  : absl::InternalError("the parked starter ended");
  }
  if (status.ok()) return parked;
  EndParked(std::move(parked));
  return status;
}

absl::StatusOr<UniqueFd> BeginStart(ParkedStarter parked, const StartJob& job) {
  for (int i = 0; i < 3; ++i) {
    if (job.stdio[i] < 0) continue;
    RETURN_IF_ERROR(container::SendSync(parked.socket.get(), static_cast<char>(kFirstStdio + i), "",
                                        job.stdio[i]));
  }
  if (job.clearance >= 0) {
    RETURN_IF_ERROR(container::SendSync(parked.socket.get(), kClearance, "", job.clearance));
  }
  RETURN_IF_ERROR(container::SendSync(parked.socket.get(), kJob, job.bundle_dir));
  return std::move(parked.socket);
}

void EndParked(ParkedStarter parked) {
  parked.socket.Reset();
  while (waitpid(parked.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

StartResult FinishStart(int socket) {
  StartResult result;
  for (;;) {
    absl::StatusOr<container::SyncMessage> message = container::ReceiveSync(socket);
    if (!message.ok()) {
      result.status = message.status();
      return result;
    }
    if (message->letter == 'W') {
      result.warnings.push_back(std::move(message->text));
      continue;
    }
    if (message->letter == 'F') {
      result.status = container::DecodeFailure(message->text);
      return result;
    }
    std::vector<std::string> words = absl::StrSplit(message->text, absl::MaxSplits(' ', 2));
    if (message->letter != 'S' || words.size() != 3 || !absl::SimpleAtoi(words[0], &result.pid)) {
      result.status = absl::InternalError("the starter ended without an answer (killed?)");
      return result;
    }
    result.own_pid_namespace = words[1] == "1";
    result.cgroup_path = words[2];
    result.terminal = std::move(message->fd);
    return result;
  }
}

}  // namespace darse::shim

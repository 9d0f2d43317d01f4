#include "libs/container/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/container/failure.h"
#include "libs/container/hooks.h"
#include "libs/container/init.h"
#include "libs/container/sync_socket.h"
#include "libs/linux/namespace/namespace.h"
#include "libs/linux/seccomp/filter_cache.h"

namespace darse::container {
namespace {

// The directories that a container sees below /sys/fs/cgroup.
absl::StatusOr<std::map<std::string, std::string>> CgroupDirectories(
    const cgroup::CgroupDriver& cgroups, const std::string& path) {
  ASSIGN_OR_RETURN(cgroup::Hierarchies found, cgroup::FindHierarchies());
  std::map<std::string, std::string> directories;
  if (cgroups.Mode() == "v2") {
    directories[""] = absl::StrCat(found.v2, "/", path);
    return directories;
  }
  found.v1.erase("name=systemd");  // the driver makes no cgroup there
  for (const auto& [controller, mount] : found.v1) {
    directories[mount.substr(mount.rfind('/') + 1)] = absl::StrCat(mount, "/", path);
  }
  if (!found.v2.empty()) directories["unified"] = absl::StrCat(found.v2, "/", path);
  return directories;
}

bool MountsCgroups(const Spec& spec) {
  for (const MountEntry& entry : spec.mounts) {
    if (entry.type == "cgroup" || entry.type == "cgroup2") return true;
  }
  return false;
}

absl::StatusOr<std::optional<seccomp::Filter>> CompileFilter(const Spec& spec,
                                                             const std::string& cache) {
  if (!spec.seccomp.has_value()) return std::nullopt;
  if (!spec.seccomp->listener_path.empty()) {
    return absl::UnimplementedError("linux.seccomp.listenerPath: Darse does not do this yet");
  }
  ASSIGN_OR_RETURN(seccomp::Filter filter, seccomp::CompileCached(*spec.seccomp, cache));
  return filter;
}

void EndChild(pid_t pid, bool as_sibling) {
  kill(pid, SIGKILL);
  if (as_sibling) return;  // its parent reaps it
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

struct Listening {
  bool until_ready;                              // 'R' is the end, not end-of-file
  std::function<absl::Status(pid_t)> on_hooks;   // 'H'
  std::function<absl::Status(pid_t)> on_inside;  // 'P'
};

// Hears the child out. OK: it executes (or waits at the gate).
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
        launched.listener = std::move(message.fd);
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

// A config's device list says what is allowed beyond what every container needs, as in runc: making
// nodes, and using null, zero, full, random, urandom, tty, console, ptmx and pts.
cgroup::Limits WithDefaultDevices(cgroup::Limits limits) {
  if (!limits.devices.has_value()) return limits;
  for (char type : {'c', 'b'}) {
    limits.devices->push_back(
        {.allow = true, .type = type, .read = false, .write = false, .make_node = true});
  }
  constexpr std::pair<int, int> kAlways[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8},   {1, 9},
                                             {5, 0}, {5, 1}, {5, 2}, {136, -1}};
  for (const auto& [major, minor] : kAlways) {
    limits.devices->push_back({.allow = true, .type = 'c', .major = major, .minor = minor});
  }
  return limits;
}

// What Launch knows before it clones.
absl::Status PlanInit(const Spec& spec, cgroup::CgroupDriver* cgroups,
                      const std::string& cgroup_path, const LaunchOptions& options, InitPlan& plan,
                      uint64_t& clone_flags) {
  plan.spec = &spec;
  plan.options = &options;
  plan.rootfs.overlay = options.overlay;
  plan.rootfs.no_pivot = options.no_pivot;
  plan.rootfs.root_path =
      spec.root_path[0] == '/' ? spec.root_path : absl::StrCat(options.bundle, "/", spec.root_path);
  plan.runtime_hooks = !spec.hooks.prestart.empty() || !spec.hooks.create_runtime.empty();
  if (cgroups != nullptr && MountsCgroups(spec)) {
    ASSIGN_OR_RETURN(plan.rootfs.cgroup_directories, CgroupDirectories(*cgroups, cgroup_path));
  }
  for (const NamespaceEntry& entry : spec.namespaces) {
    if (!ns::KernelHas(entry.flag)) {
      return AtStep("namespace", absl::UnimplementedError(
                                     absl::StrCat("linux.namespaces: this kernel has no ",
                                                  ns::ProcName(entry.flag), " namespaces")));
    }
    if (!entry.path.empty()) {
      UniqueFd fd(open(entry.path.c_str(), O_RDONLY | O_CLOEXEC));
      if (!fd.valid()) {
        return AtStep("namespace", SyscallError(errno, absl::StrCat("open ", entry.path)));
      }
      plan.joins.emplace_back(std::move(fd), entry.flag);
    } else if (entry.flag == CLONE_NEWCGROUP) {
      // Made once the process is in its cgroup: what is the root then stays the root.
      plan.new_cgroup_namespace = true;
    } else {
      clone_flags |= entry.flag;
    }
  }
  absl::StatusOr<std::optional<seccomp::Filter>> filter =
      CompileFilter(spec, options.seccomp_cache);
  RETURN_IF_ERROR(AtStep("seccomp", filter.status()));
  plan.filter = *std::move(filter);
  return absl::OkStatus();
}

// A pid namespace is entered by the children of who joins it, so the starter does, and comes back.
absl::Status JoinPidNamespace(InitPlan& plan, UniqueFd& own) {
  for (auto join = plan.joins.begin(); join != plan.joins.end(); ++join) {
    if (join->second != CLONE_NEWPID) continue;
    own.Reset(open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
    RETURN_IF_ERROR(AtStep("namespace", ns::Join(join->first.get(), CLONE_NEWPID)));
    plan.joins.erase(join);
    break;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> CgroupPath(const Spec& spec, const std::string& id) {
  return cgroup::NormalizePath(spec.cgroups_path.empty() ? absl::StrCat("darse/", id)
                                                         : spec.cgroups_path);
}

absl::StatusOr<Launched> Launch(const Spec& spec, cgroup::CgroupDriver* cgroups,
                                const LaunchOptions& options) {
  absl::StatusOr<std::string> cgroup_path = CgroupPath(spec, options.id);
  RETURN_IF_ERROR(AtStep("cgroup", cgroup_path.status()));
  InitPlan plan;
  ns::CloneOptions clone = {.as_sibling = options.as_sibling};
  RETURN_IF_ERROR(PlanInit(spec, cgroups, *cgroup_path, options, plan, clone.flags));

  Launched launched;
  UniqueFd cgroup_fd;
  bool made_cgroup = false;
  absl::Cleanup undo_cgroup = [&] {
    if (made_cgroup) cgroups->Delete(*cgroup_path).IgnoreError();
  };
  if (cgroups != nullptr) {
    made_cgroup = !cgroups->Exists(*cgroup_path);
    RETURN_IF_ERROR(AtStep("cgroup", cgroups->Create(*cgroup_path)));
    absl::StatusOr<std::vector<std::string>> applied =
        cgroups->Apply(*cgroup_path, WithDefaultDevices(spec.limits));
    RETURN_IF_ERROR(AtStep("cgroup", applied.status()));
    launched.warnings = *std::move(applied);
    absl::StatusOr<UniqueFd> directory = cgroups->OpenDirectory(*cgroup_path);
    if (directory.ok()) {
      cgroup_fd = *std::move(directory);
      clone.into_cgroup = cgroup_fd.get();
    }
  }
  UniqueFd starter, child;
  RETURN_IF_ERROR(MakeSyncPair(starter, child));
  HookState state = {.oci_version = spec.oci_version,
                     .id = options.id,
                     .status = "creating",
                     .bundle = options.bundle,
                     .annotations = spec.annotations};
  plan.hook_state = EncodeHookState(state);
  UniqueFd own_pid_namespace;
  RETURN_IF_ERROR(JoinPidNamespace(plan, own_pid_namespace));
  absl::StatusOr<ns::Cloned> cloned = ns::Clone(clone);
  if (own_pid_namespace.valid()) ns::Join(own_pid_namespace.get(), CLONE_NEWPID).IgnoreError();
  RETURN_IF_ERROR(AtStep("clone", cloned.status()));
  if (cloned->pid == 0) {
    starter.Reset();
    RunInit(plan, child.get());
  }
  child.Reset();
  launched.pid = cloned->pid;
  launched.pidfd = std::move(cloned->pidfd);

  absl::Status done;
  if (cgroups != nullptr && clone.into_cgroup < 0 && !options.in_cgroup) {
    done = AtStep("cgroup", cgroups->Attach(*cgroup_path, launched.pid));
  }
  if (done.ok()) done = SendSync(starter.get(), 'G');
  Listening listening = {.until_ready = options.gate >= 0,
                         .on_hooks = [&](pid_t pid) -> absl::Status {
                           state.pid = pid;
                           std::string json = EncodeHookState(state);
                           RETURN_IF_ERROR(RunHooks(spec.hooks.prestart, json));
                           return RunHooks(spec.hooks.create_runtime, json);
                         }};
  if (done.ok()) done = Listen(starter.get(), listening, launched);
  if (!done.ok()) {
    EndChild(launched.pid, options.as_sibling);
    return done;
  }
  std::move(undo_cgroup).Cancel();
  return launched;
}

namespace {

// In a process of its own, because it never comes back out of the namespaces.
[[noreturn]] void EnterAndClone(ExecPlan& plan, int target_pidfd, uint64_t flags, UniqueFd starter,
                                UniqueFd child) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  starter.Reset();
  auto fail = [&](const absl::Status& status) {
    SendSync(child.get(), 'F', EncodeFailure(AtStep("namespace", status))).IgnoreError();
    _exit(1);
  };
  absl::Status joined = ns::Join(target_pidfd, flags);
  if (!joined.ok()) fail(Annotate(joined, "enter the container"));
  absl::StatusOr<ns::Cloned> inside = ns::Clone({.as_sibling = true});
  if (!inside.ok()) fail(inside.status());
  if (inside->pid == 0) RunExec(plan, child.get());
  SendSync(child.get(), 'P', absl::StrCat(inside->pid)).IgnoreError();
  _exit(0);
}

}  // namespace

absl::StatusOr<Launched> Join(const Spec& spec, cgroup::CgroupDriver* cgroups,
                              const JoinOptions& options) {
  absl::StatusOr<std::string> cgroup_path = CgroupPath(spec, options.id);
  RETURN_IF_ERROR(AtStep("cgroup", cgroup_path.status()));
  ExecPlan plan = {.process = &options.process, .options = &options};
  absl::StatusOr<std::optional<seccomp::Filter>> filter =
      CompileFilter(spec, options.seccomp_cache);
  RETURN_IF_ERROR(AtStep("seccomp", filter.status()));
  plan.filter = *std::move(filter);
  absl::StatusOr<UniqueFd> target = ns::OpenPidFd(options.target);
  RETURN_IF_ERROR(AtStep("namespace", target.status()));
  uint64_t flags = 0;
  for (const NamespaceEntry& entry : spec.namespaces) flags |= entry.flag;

  UniqueFd starter, child;
  RETURN_IF_ERROR(MakeSyncPair(starter, child));
  absl::StatusOr<ns::Cloned> cloned = ns::Clone({.as_sibling = options.as_sibling});
  RETURN_IF_ERROR(AtStep("clone", cloned.status()));
  if (cloned->pid == 0) {
    EnterAndClone(plan, target->get(), flags, std::move(starter), std::move(child));
  }
  child.Reset();
  if (!options.as_sibling) {
    while (waitpid(cloned->pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  Launched launched;
  Listening listening = {.until_ready = false, .on_inside = [&](pid_t pid) -> absl::Status {
                           launched.pid = pid;
                           ASSIGN_OR_RETURN(launched.pidfd, ns::OpenPidFd(pid));
                           if (cgroups != nullptr) {
                             RETURN_IF_ERROR(AtStep("cgroup", cgroups->Attach(*cgroup_path, pid)));
                           }
                           return SendSync(starter.get(), 'G');
                         }};
  absl::Status done = Listen(starter.get(), listening, launched);
  if (!done.ok()) {
    if (launched.pid > 0) EndChild(launched.pid, options.as_sibling);
    return done;
  }
  return launched;
}

}  // namespace darse::container

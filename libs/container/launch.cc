#include "libs/container/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/container/failure.h"
#include "libs/container/hooks.h"
#include "libs/container/init.h"
#include "libs/container/process_setup.h"
#include "libs/container/seccomp_agent.h"
#include "libs/container/starting.h"
#include "libs/container/sync_socket.h"
#include "libs/linux/namespace/namespace.h"
#include "libs/linux/namespace/user_namespace.h"
#include "libs/linux/resctrl/resctrl.h"

namespace darse::container {

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

namespace {

bool MountsCgroups(const Spec& spec) {
  for (const MountEntry& entry : spec.mounts) {
    if (entry.type == "cgroup" || entry.type == "cgroup2") return true;
  }
  return false;
}

absl::Status PlanNamespaces(const Spec& spec, InitPlan& plan) {
  for (const NamespaceEntry& entry : spec.namespaces) {
    if (!ns::KernelHas(entry.flag)) {
      return absl::UnimplementedError(absl::StrCat("linux.namespaces: this kernel has no ",
                                                   ns::ProcName(entry.flag), " namespaces"));
    }
    if (!entry.path.empty()) {
      UniqueFd fd(open(entry.path.c_str(), O_RDONLY | O_CLOEXEC));
      if (!fd.valid()) return SyscallError(errno, absl::StrCat("open ", entry.path));
      plan.joins.emplace_back(std::move(fd), entry.flag);
    } else if (entry.flag == CLONE_NEWCGROUP) {
      // Made once the process is in its cgroup: what is the root then stays the root.
      plan.new_cgroup_namespace = true;
    } else {
      plan.new_namespaces |= entry.flag;
    }
  }
  return absl::OkStatus();
}

bool JoinsAny(const InitPlan& plan, uint64_t flags) {
  return std::any_of(plan.joins.begin(), plan.joins.end(),
                     [&](const auto& join) { return (join.second & flags) != 0; });
}

// nullopt without a user namespace.
absl::StatusOr<std::optional<ContainerIds>> IdsOf(const Spec& spec, const InitPlan& plan,
                                                  const LaunchOptions& options) {
  if (spec.FindNamespace(CLONE_NEWUSER) == nullptr) return std::nullopt;
  ContainerIds ids = {.maps = spec.id_maps};
  for (const auto& [fd, flag] : plan.joins) {
    if (flag != CLONE_NEWUSER) continue;
    ids.user_namespace = fd.get();
    if (options.id_maps_are_known) break;
    ASSIGN_OR_RETURN(ids.maps, ns::MapsOfUserNamespace(fd.get()));
    if (!spec.id_maps.empty() && spec.id_maps != ids.maps) {
      return absl::InvalidArgumentError(
          "linux.uidMappings, gidMappings: not those of the user namespace that is joined");
    }
  }
  return ids;
}

absl::Status PlanRoot(const Spec& spec, cgroup::CgroupDriver* cgroups,
                      const std::string& cgroup_path, const LaunchOptions& options,
                      InitPlan& plan) {
  RootSource root = {.overlay = options.overlay,
                     .path = spec.root_path[0] == '/'
                                 ? spec.root_path
                                 : absl::StrCat(options.bundle, "/", spec.root_path),
                     .id_map = options.id_map_root};
  plan.rootfs.root_path = root.path;
  plan.rootfs.no_pivot = options.no_pivot;
  if (cgroups != nullptr && MountsCgroups(spec)) {
    ASSIGN_OR_RETURN(plan.rootfs.cgroup_directories, CgroupDirectories(*cgroups, cgroup_path));
  }
  absl::StatusOr<std::optional<ContainerIds>> ids = IdsOf(spec, plan, options);
  RETURN_IF_ERROR(AtStep("namespace", ids.status()));
  plan.rootfs.in_user_namespace = ids->has_value();
  // Without rights, or in another mount namespace, the paths are the container's to open.
  if (geteuid() != 0 || JoinsAny(plan, CLONE_NEWNS)) {
    plan.root_source = std::move(root);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(plan.rootfs.sources,
                   OpenMountSources(spec, root, ids->has_value() ? &**ids : nullptr,
                                    /*may_make_nodes=*/true));
  return absl::OkStatus();
}

// What Launch knows before it clones.
absl::Status PlanInit(const Spec& spec, cgroup::CgroupDriver* cgroups,
                      const std::string& cgroup_path, const LaunchOptions& options,
                      InitPlan& plan) {
  plan.spec = &spec;
  plan.options = &options;
  plan.runtime_hooks = !spec.hooks.prestart.empty() || !spec.hooks.create_runtime.empty();
  RETURN_IF_ERROR(AtStep("capability", CheckSelinux(spec.process, spec.mount_label)));
  RETURN_IF_ERROR(AtStep("namespace", PlanNamespaces(spec, plan)));
  absl::StatusOr<std::vector<MovingInterface>> interfaces = FindInterfaces(spec.net_devices);
  RETURN_IF_ERROR(AtStep("namespace", interfaces.status()));
  plan.interfaces = *std::move(interfaces);
  RETURN_IF_ERROR(PlanRoot(spec, cgroups, cgroup_path, options, plan));
  absl::StatusOr<std::optional<seccomp::Filter>> filter =
      CompileFilter(spec, options.seccomp_cache);
  RETURN_IF_ERROR(AtStep("seccomp", filter.status()));
  plan.filter = *std::move(filter);
  return absl::OkStatus();
}

absl::Status MoveInto(const Spec& spec, const std::vector<MovingInterface>& interfaces, pid_t pid) {
  std::string path = spec.FindNamespace(CLONE_NEWNET)->path;
  if (path.empty()) path = absl::StrCat("/proc/", pid, "/ns/net");
  UniqueFd network(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!network.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  return MoveInterfaces(interfaces, network.get());
}

absl::Status AwaitClearance(int socket) {
  if (socket < 0) return absl::OkStatus();
  char byte = 0;
  ssize_t got = 0;
  do {
    got = recv(socket, &byte, 1, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return SyscallError(errno, "wait for the network");
  if (got == 0) return absl::AbortedError("the network was not completed");
  return absl::OkStatus();
}

absl::Status MakeTimeNamespace(const Spec& spec) {
  if (unshare(static_cast<int>(ns::kTime)) < 0) {
    return SyscallError(errno, "new time namespace");
  }
  if (spec.time_offsets.empty()) return absl::OkStatus();
  std::string text;
  for (const TimeOffset& offset : spec.time_offsets) {
    absl::StrAppend(&text, offset.clock, " ", offset.seconds, " ", offset.nanoseconds, "\n");
  }
  UniqueFd file(open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC));
  if (!file.valid() || write(file.get(), text.data(), text.size()) < 0) {
    return SyscallError(errno, "linux.timeOffsets");
  }
  return absl::OkStatus();
}

// Some namespaces are entered by the children of who joins or makes them, and others cannot be left
// again or must be joined before a user namespace is made. For them a process in between clones,
// and ends.
bool NeedsProcessBetween(const InitPlan& plan) {
  if ((plan.new_namespaces & ns::kTime) != 0) return true;
  if ((plan.new_namespaces & CLONE_NEWUSER) != 0) return !plan.joins.empty();
  return JoinsAny(plan, CLONE_NEWUSER | CLONE_NEWPID | ns::kTime);
}

[[noreturn]] void JoinAndClone(InitPlan& plan, UniqueFd starter, UniqueFd child) {
  if (StaysClosed(plan)) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  starter.Reset();
  absl::Status entered = ns::JoinAll(plan.joins);
  if (entered.ok() && (plan.new_namespaces & ns::kTime) != 0) {
    entered = MakeTimeNamespace(*plan.spec);
  }
  CloneInside(child.get(), entered, plan.new_namespaces & ~ns::kTime,
              [&] { RunInit(plan, child.get()); });
}

}  // namespace

absl::StatusOr<Launched> Launch(const Spec& spec, cgroup::CgroupDriver* cgroups,
                                const LaunchOptions& options) {
  absl::StatusOr<std::string> cgroup_path = CgroupPath(spec, cgroups, options.id);
  RETURN_IF_ERROR(AtStep("cgroup", cgroup_path.status()));
  InitPlan plan;
  RETURN_IF_ERROR(PlanInit(spec, cgroups, *cgroup_path, options, plan));
  bool between = NeedsProcessBetween(plan);
  ns::CloneOptions clone = {.as_sibling = options.as_sibling};
  if (!between) clone.flags = plan.new_namespaces;

  std::string resctrl_mount;
  if (spec.intel_rdt.has_value()) {
    absl::StatusOr<std::string> mount = resctrl::FindMount();
    RETURN_IF_ERROR(AtStep("cgroup", mount.status()));
    resctrl_mount = *std::move(mount);
  }
  Launched launched;
  UniqueFd cgroup_fd;
  bool made_cgroup = false;
  absl::Cleanup undo_cgroup = [&] {
    if (made_cgroup) cgroups->Delete(*cgroup_path).IgnoreError();
  };
  if (cgroups != nullptr) {
    made_cgroup = !cgroups->Exists(*cgroup_path);
    RETURN_IF_ERROR(AtStep("cgroup", cgroups->Create(*cgroup_path)));
    cgroup::Limits limits = WithDefaultDevices(spec.limits);
    if (options.all_limits) {
      RETURN_IF_ERROR(AtStep("cgroup", cgroup::ApplyAll(*cgroups, *cgroup_path, limits)));
    } else {
      absl::StatusOr<std::vector<std::string>> applied = cgroups->Apply(*cgroup_path, limits);
      RETURN_IF_ERROR(AtStep("cgroup", applied.status()));
      launched.warnings = *std::move(applied);
    }
    absl::StatusOr<UniqueFd> directory = cgroups->OpenDirectory(*cgroup_path);
    // A process between is one more while it clones.
    bool fits = !between || spec.limits.pids_max.value_or(0) != 1;
    if (directory.ok() && fits) {
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
  absl::StatusOr<ns::Cloned> cloned = ns::Clone(clone);
  RETURN_IF_ERROR(AtStep("clone", cloned.status()));
  if (cloned->pid == 0) {
    if (between) JoinAndClone(plan, std::move(starter), std::move(child));
    starter.Reset();
    RunInit(plan, child.get());
  }
  child.Reset();
  launched.spent = std::move(plan.rootfs.sources.spent);
  plan.rootfs.sources = {};

  Listening listening = {.process = spec.process,
                         .stdio = options.stdio,
                         .in_user_namespace = plan.rootfs.in_user_namespace,
                         .known_maps = options.id_maps_are_known ? &spec.id_maps : nullptr,
                         .until_ready = options.gate >= 0,
                         .on_hooks = [&](pid_t pid) -> absl::Status {
                           state.pid = pid;
                           std::string json = EncodeHookState(state);
                           RETURN_IF_ERROR(RunHooks(spec.hooks.prestart, json));
                           return RunHooks(spec.hooks.create_runtime, json);
                         },
                         .on_inside = nullptr,
                         .on_listener =
                             [&](int listener) {
                               state.pid = launched.pid;
                               return SendListener(*spec.seccomp, state, launched.pid, listener);
                             }};
  auto adopt = [&](pid_t pid) -> absl::Status {
    launched.pid = pid;
    if (!launched.pidfd.valid()) {
      ASSIGN_OR_RETURN(launched.pidfd, ns::OpenPidFd(pid));
    }
    if (cgroups != nullptr && clone.into_cgroup < 0 && !options.in_cgroup) {
      RETURN_IF_ERROR(AtStep("cgroup", cgroups->Attach(*cgroup_path, pid)));
    }
    if ((plan.new_namespaces & CLONE_NEWUSER) != 0) {
      RETURN_IF_ERROR(AtStep("namespace", ns::WriteIdMaps(pid, spec.id_maps)));
    }
    if (spec.intel_rdt.has_value()) {
      RETURN_IF_ERROR(
          AtStep("cgroup", resctrl::Enter(resctrl_mount, *spec.intel_rdt, options.id, pid)));
    }
    if (!plan.interfaces.empty()) {
      RETURN_IF_ERROR(AtStep("namespace", MoveInto(spec, plan.interfaces, pid)));
    }
    RETURN_IF_ERROR(AtStep("namespace", AwaitClearance(options.clearance)));
    RETURN_IF_ERROR(ActEarly(listening, launched));
    return SendSync(starter.get(), 'G');
  };
  listening.on_inside = adopt;
  absl::Status done;
  if (between) {
    if (!options.as_sibling) Reap(cloned->pid);
  } else {
    launched.pidfd = std::move(cloned->pidfd);
    done = adopt(cloned->pid);
  }
  if (done.ok()) done = Listen(starter.get(), listening, launched);
  if (!done.ok()) {
    if (launched.pid > 0) EndChild(launched.pid, options.as_sibling);
    if (spec.intel_rdt.has_value()) {
      resctrl::Leave(resctrl_mount, *spec.intel_rdt, options.id).IgnoreError();
    }
    return done;
  }
  std::move(undo_cgroup).Cancel();
  return launched;
}

}  // namespace darse::container

// A further process of a container.
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "libs/base/status_macros.h"
#include "libs/container/failure.h"
#include "libs/container/hooks.h"
#include "libs/container/init.h"
#include "libs/container/launch.h"
#include "libs/container/process_setup.h"
#include "libs/container/seccomp_agent.h"
#include "libs/container/starting.h"
#include "libs/container/sync_socket.h"
#include "libs/linux/namespace/namespace.h"

namespace darse::container {
namespace {

// In a process of its own, because it never comes back out of the namespaces.
[[noreturn]] void EnterAndClone(ExecPlan& plan, int target_pidfd, uint64_t flags, UniqueFd starter,
                                UniqueFd child) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  starter.Reset();
  absl::Status entered = Annotate(ns::Join(target_pidfd, flags), "enter the container");
  CloneInside(child.get(), entered, 0, [&] { RunExec(plan, child.get()); });
}

}  // namespace

absl::StatusOr<Launched> Join(const Spec& spec, cgroup::CgroupDriver* cgroups,
                              const JoinOptions& options) {
  absl::StatusOr<std::string> cgroup_path = CgroupPath(spec, cgroups, options.id);
  RETURN_IF_ERROR(AtStep("cgroup", cgroup_path.status()));
  ExecPlan plan = {.process = &options.process,
                   .options = &options,
                   .in_user_namespace = spec.FindNamespace(CLONE_NEWUSER) != nullptr,
                   .memory_policy = spec.memory_policy};
  absl::StatusOr<std::optional<seccomp::Filter>> filter =
      CompileFilter(spec, options.seccomp_cache);
  RETURN_IF_ERROR(AtStep("seccomp", filter.status()));
  plan.filter = *std::move(filter);
  RETURN_IF_ERROR(AtStep("capability", CheckSelinux(options.process, "")));
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
  if (!options.as_sibling) Reap(cloned->pid);
  Launched launched;
  Listening listening = {.process = options.process,
                         .stdio = options.stdio,
                         .in_user_namespace = plan.in_user_namespace,
                         .known_maps = nullptr,
                         .until_ready = false,
                         .on_hooks = nullptr,
                         .on_inside = nullptr,
                         .on_listener = [&](int listener) {
                           HookState state = {.oci_version = spec.oci_version,
                                              .id = options.id,
                                              .status = "running",
                                              .bundle = options.bundle,
                                              .pid = options.target,
                                              .annotations = spec.annotations};
                           return SendListener(*spec.seccomp, state, launched.pid, listener);
                         }};
  auto adopt = [&](pid_t pid) -> absl::Status {
    launched.pid = pid;
    ASSIGN_OR_RETURN(launched.pidfd, ns::OpenPidFd(pid));
    const Process& process = options.process;
    RETURN_IF_ERROR(
        AtStep("limit", SetCpus(pid, process.cpus_initial, "process.execCPUAffinity.initial")));
    if (cgroups != nullptr) {
      RETURN_IF_ERROR(AtStep("cgroup", cgroups->Attach(*cgroup_path, pid)));
    }
    RETURN_IF_ERROR(
        AtStep("limit", SetCpus(pid, process.cpus_final, "process.execCPUAffinity.final")));
    RETURN_IF_ERROR(ActEarly(listening, launched));
    return SendSync(starter.get(), 'G');
  };
  listening.on_inside = adopt;
  absl::Status done = Listen(starter.get(), listening, launched);
  if (!done.ok()) {
    if (launched.pid > 0) EndChild(launched.pid, options.as_sibling);
    return done;
  }
  return launched;
}

}  // namespace darse::container

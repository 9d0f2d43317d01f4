#include "libs/container/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/container/failure.h"
#include "libs/container/hooks.h"
#include "libs/container/process_setup.h"
#include "libs/container/sync_socket.h"
#include "libs/linux/capability/capability.h"
#include "libs/linux/mount/root_path.h"
#include "libs/linux/namespace/namespace.h"

namespace darse::container {
namespace {

// What a starter has set up for itself must not reach the container.
void ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

absl::Status WaitFor(int sync, char letter) {
  ASSIGN_OR_RETURN(SyncMessage message, ReceiveSync(sync));
  // The starter is gone or has given up: nobody is left to tell.
  if (message.letter != letter) _exit(1);
  return absl::OkStatus();
}

struct Size {
  uint32_t columns, rows;
};

// Opens a terminal of the container's own devpts and hands its master out. Returns the other end.
absl::StatusOr<UniqueFd> OpenTerminal(int root, Size size, int sync) {
  ASSIGN_OR_RETURN(UniqueFd master,
                   mnt::OpenInRoot(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY, 0, /*follow=*/false));
  int unlock = 0;
  if (ioctl(master.get(), TIOCSPTLCK, &unlock) < 0)
    return SyscallError(errno, "unlock the terminal");
  // Not by name: the container could have put something else there.
  UniqueFd terminal(ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.valid()) return SyscallError(errno, "open the terminal");
  if (size.columns != 0 && size.rows != 0) {
    winsize window = {.ws_row = static_cast<unsigned short>(size.rows),
                      .ws_col = static_cast<unsigned short>(size.columns)};
    ioctl(master.get(), TIOCSWINSZ, &window);
  }
  RETURN_IF_ERROR(SendSync(sync, 'T', "", master.get()));
  return terminal;
}

absl::Status TakeTerminal(int terminal) {
  if (ioctl(terminal, TIOCSCTTY, 0) < 0) return SyscallError(errno, "take the terminal");
  return absl::OkStatus();
}

bool IsNullDevice(int fd) {
  struct stat info = {};
  return fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3);
}

// Puts the three where a program looks for them. A source may be any fd, 0 to 2 too. The host's
// null device is replaced by the container's: it lies on a mount that the container has not.
absl::Status PlaceStdio(const int (&stdio)[3]) {
  UniqueFd held[3];
  for (int i = 0; i < 3; ++i) {
    int source = stdio[i];
    UniqueFd null;
    if (source < 0 || IsNullDevice(source)) {
      int mode = source < 0 ? (i == 0 ? O_RDONLY : O_WRONLY) : fcntl(source, F_GETFL) & O_ACCMODE;
      null.Reset(open("/dev/null", mode | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
      if (!null.valid() && source < 0) return SyscallError(errno, "open /dev/null");
      // It was not to wait for another end, had a container put a pipe there; that is refused now.
      fcntl(null.get(), F_SETFL, 0);
      if (source < 0 || IsNullDevice(null.get())) source = null.get();
    }
    held[i].Reset(fcntl(source, F_DUPFD_CLOEXEC, 3));
    if (!held[i].valid()) return SyscallError(errno, "stdio");
  }
  for (int i = 0; i < 3; ++i) {
    if (dup2(held[i].get(), i) < 0) return SyscallError(errno, "stdio");
  }
  return absl::OkStatus();
}

void CloseOnExecFrom(int first) {
  close_range(static_cast<unsigned>(first), ~0u, CLOSE_RANGE_CLOEXEC);
}

absl::Status JoinSessionKeyring(const std::string& id) {
  constexpr int kJoinSessionKeyring = 1;
  std::string name = absl::StrCat("_ses.", id);
  if (syscall(SYS_keyctl, kJoinSessionKeyring, name.c_str()) < 0 && errno != ENOSYS &&
      errno != EDQUOT) {
    return SyscallError(errno, "new session keyring");
  }
  return absl::OkStatus();
}

absl::Status WriteLabel(const char* field, const char* path, const std::string& label) {
  UniqueFd file(open(path, O_WRONLY | O_CLOEXEC));
  if (!file.valid() || write(file.get(), label.data(), label.size()) < 0) {
    return SyscallError(errno, absl::StrCat(field, " \"", label, "\""));
  }
  return absl::OkStatus();
}

absl::Status SetLabels(const Process& process) {
  // Taken on at execve. That the host has SELinux was seen before (PlanInit).
  if (!process.selinux_label.empty()) {
    RETURN_IF_ERROR(
        WriteLabel("process.selinuxLabel", "/proc/thread-self/attr/exec", process.selinux_label));
  }
  if (process.apparmor_profile.empty()) return absl::OkStatus();
  constexpr char kAppArmor[] = "/proc/self/attr/apparmor/exec";
  if (access(kAppArmor, F_OK) < 0) {
    return absl::UnimplementedError("process.apparmorProfile: this host has no AppArmor");
  }
  return WriteLabel("process.apparmorProfile", kAppArmor,
                    absl::StrCat("exec ", process.apparmor_profile));
}

// Root in a new or joined user namespace. Until here the process may have to be dumpable, for who
// maps its ids.
absl::Status BecomeRootInside() {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  return BecomeUser(Identity{});
}

absl::Status EnterNamespaces(InitPlan& plan) {
  RETURN_IF_ERROR(ns::JoinAll(plan.joins));
  if (plan.new_cgroup_namespace && unshare(CLONE_NEWCGROUP) < 0) {
    return SyscallError(errno, "new cgroup namespace");
  }
  RETURN_IF_ERROR(SetUpInterfaces(plan.interfaces));
  const Spec& spec = *plan.spec;
  if (!spec.hostname.empty() && sethostname(spec.hostname.data(), spec.hostname.size()) < 0) {
    return SyscallError(errno, absl::StrCat("hostname \"", spec.hostname, "\""));
  }
  if (!spec.domainname.empty() &&
      setdomainname(spec.domainname.data(), spec.domainname.size()) < 0) {
    return SyscallError(errno, absl::StrCat("domainname \"", spec.domainname, "\""));
  }
  return absl::OkStatus();
}

absl::Status SendWarnings(int sync, const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) RETURN_IF_ERROR(SendSync(sync, 'W', warning));
  return absl::OkStatus();
}

// The half that a container's first process and a further one have in common. Ends in execve.
struct Last {
  const Process& process;
  bool in_user_namespace;
  const std::optional<MemoryPolicy>& memory_policy;
  const std::optional<seccomp::Filter>& filter;
  int preserve_fds;
  bool may_create_cwd;
  std::string id;
};

absl::StatusOr<Command> Prepare(const Last& last, int sync) {
  const Process& process = last.process;
  absl::StatusOr<Identity> identity = ResolveIdentity(process.user);
  RETURN_IF_ERROR(AtStep("user", identity.status()));
  std::vector<std::string> warnings;
  if (last.in_user_namespace && CanActEarly(process)) {
    // The starter has done it, before it said 'G'.
  } else if (last.in_user_namespace) {
    RETURN_IF_ERROR(SendSync(sync, 'A', absl::StrCat(identity->uid, " ", identity->gid)));
    RETURN_IF_ERROR(WaitFor(sync, 'D'));
  } else {
    RETURN_IF_ERROR(AtStep("limit", ApplyLimits(process, 0, warnings)));
  }
  // In a user namespace this reaches a terminal, which is the container's own.
  GiveStdio({0, 1, 2}, identity->uid, identity->gid);
  if (last.memory_policy.has_value()) {
    RETURN_IF_ERROR(AtStep("limit", SetMemoryPolicy(*last.memory_policy)));
  }
  if (process.capabilities.has_value()) {
    const capability::Sets& sets = *process.capabilities;
    if (capability::Set lost = sets.ambient & ~capability::RaisableAmbient(sets); lost != 0) {
      warnings.push_back(absl::StrCat(
          "process.capabilities.ambient: not raised, as they are not permitted and inheritable: ",
          absl::StrJoin(capability::Names(lost), " ")));
    }
  }
  RETURN_IF_ERROR(SendWarnings(sync, warnings));
  // As root, for a directory that the user may only use; again as the user below.
  absl::Status entered = ChangeDirectory(process.cwd, *identity, last.may_create_cwd);
  RETURN_IF_ERROR(AtStep("capability", SetLabels(process)));
  CloseOnExecFrom(3 + last.preserve_fds);
  UniqueFd listener;
  RETURN_IF_ERROR(ApplyPrivileges(process, *identity, last.filter, listener));
  if (listener.valid()) RETURN_IF_ERROR(SendSync(sync, 'L', "", listener.get()));
  if (!entered.ok()) RETURN_IF_ERROR(ChangeDirectory(process.cwd, *identity, false));
  umask(static_cast<mode_t>(process.user.umask.value_or(0022)));
  return ResolveCommand(process, *identity);
}

[[noreturn]] void Fail(int socket, const absl::Status& status) {
  SendSync(socket, 'F', EncodeFailure(status)).IgnoreError();
  _exit(1);
}

absl::Status BuildContainer(InitPlan& plan, int sync) {
  const Spec& spec = *plan.spec;
  const Process& process = spec.process;
  RETURN_IF_ERROR(AtStep("namespace", EnterNamespaces(plan)));
  if (!plan.options->no_new_keyring) {
    RETURN_IF_ERROR(AtStep("namespace", JoinSessionKeyring(plan.options->id)));
  }
  if (plan.root_source.has_value()) {
    ContainerIds ids = {.maps = spec.id_maps};
    ASSIGN_OR_RETURN(
        plan.rootfs.sources,
        OpenMountSources(spec, *plan.root_source, plan.rootfs.in_user_namespace ? &ids : nullptr,
                         /*may_make_nodes=*/false));
  }
  absl::StatusOr<UniqueFd> root = PrepareRoot(plan.rootfs);
  RETURN_IF_ERROR(AtStep("rootfs", root.status()));
  RETURN_IF_ERROR(PopulateRoot(spec, plan.rootfs, root->get()));
  UniqueFd terminal;
  if (process.terminal) {
    Size size = {plan.options->columns != 0 ? plan.options->columns : process.columns,
                 plan.options->rows != 0 ? plan.options->rows : process.rows};
    absl::StatusOr<UniqueFd> opened = OpenTerminal(root->get(), size, sync);
    RETURN_IF_ERROR(AtStep("console", opened.status()));
    terminal = *std::move(opened);
    RETURN_IF_ERROR(AtStep("console", BindConsole(root->get(), terminal.get())));
    RETURN_IF_ERROR(AtStep("console", TakeTerminal(terminal.get())));
  }
  if (plan.runtime_hooks) {
    RETURN_IF_ERROR(SendSync(sync, 'H'));
    RETURN_IF_ERROR(WaitFor(sync, 'D'));
  }
  RETURN_IF_ERROR(AtStep("hook", RunHooks(spec.hooks.create_container, plan.hook_state)));
  RETURN_IF_ERROR(AtStep("pivot", EnterRoot(spec, plan.rootfs, root->get())));
  RETURN_IF_ERROR(SealRoot(spec));
  if (spec.personality.has_value() && ::personality(*spec.personality) < 0) {
    return SyscallError(errno, "linux.personality");
  }
  if (terminal.valid()) {
    int three[3] = {terminal.get(), terminal.get(), terminal.get()};
    return AtStep("console", PlaceStdio(three));
  }
  return AtStep("console", PlaceStdio(plan.options->stdio));
}

// Waits for `start`. Returns the socket to answer on.
absl::StatusOr<UniqueFd> WaitAtGate(int gate) {
  UniqueFd caller(accept4(gate, nullptr, nullptr, SOCK_CLOEXEC));
  if (!caller.valid()) return SyscallError(errno, "wait for start");
  RETURN_IF_ERROR(WaitFor(caller.get(), 'S'));
  return caller;
}

}  // namespace

void RunInit(InitPlan& plan, int sync) {
  // /proc/<pid>/exe, fd and mem of ours are nobody's business in the container.
  if (StaysClosed(plan)) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ResetSignals();
  absl::Status went = WaitFor(sync, 'G');
  if (went.ok() && plan.rootfs.in_user_namespace) went = AtStep("user", BecomeRootInside());
  if (!went.ok()) Fail(sync, went);
  setsid();
  absl::Status built = BuildContainer(plan, sync);
  if (!built.ok()) Fail(sync, built);
  const LaunchOptions& options = *plan.options;
  // The gate must survive; it has CLOEXEC like all else from here on.
  absl::StatusOr<Command> command = Prepare({.process = plan.spec->process,
                                             .in_user_namespace = plan.rootfs.in_user_namespace,
                                             .memory_policy = plan.spec->memory_policy,
                                             .filter = plan.filter,
                                             .preserve_fds = options.preserve_fds,
                                             .may_create_cwd = true,
                                             .id = options.id},
                                            sync);
  if (!command.ok()) Fail(sync, command.status());
  int answer = sync;
  UniqueFd caller;
  if (options.gate >= 0) {
    SendSync(sync, 'R').IgnoreError();
    absl::StatusOr<UniqueFd> opened = WaitAtGate(options.gate);
    if (!opened.ok()) _exit(1);
    caller = *std::move(opened);
    answer = caller.get();
  }
  absl::Status hooked = AtStep("hook", RunHooks(plan.spec->hooks.start_container, plan.hook_state));
  if (!hooked.ok()) Fail(answer, hooked);
  SendSync(answer, 'X').IgnoreError();
  Fail(answer, Execute(*command));
}

void RunExec(ExecPlan& plan, int sync) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ResetSignals();
  absl::Status went = WaitFor(sync, 'G');
  if (went.ok() && plan.in_user_namespace) went = AtStep("user", BecomeRootInside());
  if (!went.ok()) Fail(sync, went);
  setsid();
  JoinSessionKeyring(plan.options->id).IgnoreError();
  const Process& process = *plan.process;
  if (process.terminal) {
    UniqueFd root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    Size size = {plan.options->columns != 0 ? plan.options->columns : process.columns,
                 plan.options->rows != 0 ? plan.options->rows : process.rows};
    absl::StatusOr<UniqueFd> terminal = OpenTerminal(root.get(), size, sync);
    if (!terminal.ok()) Fail(sync, AtStep("console", terminal.status()));
    absl::Status taken = TakeTerminal(terminal->get());
    if (!taken.ok()) Fail(sync, AtStep("console", taken));
    int three[3] = {terminal->get(), terminal->get(), terminal->get()};
    absl::Status placed = PlaceStdio(three);
    if (!placed.ok()) Fail(sync, AtStep("console", placed));
  } else {
    absl::Status placed = PlaceStdio(plan.options->stdio);
    if (!placed.ok()) Fail(sync, AtStep("console", placed));
  }
  absl::StatusOr<Command> command = Prepare({.process = process,
                                             .in_user_namespace = plan.in_user_namespace,
                                             .memory_policy = plan.memory_policy,
                                             .filter = plan.filter,
                                             .preserve_fds = plan.options->preserve_fds,
                                             .may_create_cwd = false,
                                             .id = plan.options->id},
                                            sync);
  if (!command.ok()) Fail(sync, command.status());
  SendSync(sync, 'X').IgnoreError();
  Fail(sync, Execute(*command));
}

}  // namespace darse::container

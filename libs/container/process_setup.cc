#include "libs/container/process_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/container/failure.h"
#include "libs/linux/mount/root_path.h"

namespace darse::container {
namespace {

constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// A small text file of the container; empty if there is none. Anything but a plain file is not
// read: a FIFO would hold us up for ever.
std::string ReadPlainFile(const std::string& path) {
  constexpr size_t kLargest = 4 << 20;
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat node;
  if (!file.valid() || fstat(file.get(), &node) < 0 || !S_ISREG(node.st_mode)) return "";
  std::string content;
  char buffer[4096];
  for (ssize_t got;
       content.size() < kLargest && (got = read(file.get(), buffer, sizeof(buffer))) > 0;) {
    content.append(buffer, static_cast<size_t>(got));
  }
  return content;
}

absl::Status WriteProc(const std::string& path, const std::string& value) {
  UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  if (write(file.get(), value.data(), value.size()) < 0) {
    return SyscallError(errno, absl::StrCat("write ", value, " to ", path));
  }
  return absl::OkStatus();
}

absl::Status ApplyRlimit(const Rlimit& wanted, pid_t pid, std::vector<std::string>& warnings) {
  auto resource = static_cast<__rlimit_resource>(wanted.resource);
  rlimit limit = {.rlim_cur = wanted.soft, .rlim_max = wanted.hard};
  if (prlimit(pid, resource, &limit, nullptr) == 0) return absl::OkStatus();
  if (errno != EPERM) return SyscallError(errno, wanted.name);
  // Not allowed to raise the hard limit: as much of it as we may.
  rlimit now = {};
  prlimit(pid, resource, nullptr, &now);
  limit.rlim_max = std::min<rlim_t>(wanted.hard, now.rlim_max);
  limit.rlim_cur = std::min<rlim_t>(wanted.soft, limit.rlim_max);
  if (prlimit(pid, resource, &limit, nullptr) < 0) return SyscallError(errno, wanted.name);
  warnings.push_back(absl::StrCat(wanted.name, ": this host allows no more than ", now.rlim_max));
  return absl::OkStatus();
}

struct KernelScheduler {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

absl::Status IdError(int error, absl::string_view doing) {
  absl::Status status = SyscallError(error, doing);
  if (error != EINVAL) return status;
  return Annotate(status, "the user namespace does not map this id");
}

absl::Status NotFound(const std::string& name, absl::string_view why) {
  return WithReason(absl::NotFoundError(absl::StrCat("exec \"", name, "\": ", why)),
                    "COMMAND_NOT_FOUND");
}

absl::Status NotExecutable(const std::string& name, absl::string_view why, int error) {
  absl::Status status = SyscallError(error, "exec");
  return WithReason(AtStep("exec", absl::Status([&] {
                             absl::Status named(status.code(),
                                                absl::StrCat("exec \"", name, "\": ", why));
                             named.SetPayload(kErrnoUrl, absl::Cord(absl::StrCat(error)));
                             return named;
                           }())),
                    "COMMAND_NOT_EXECUTABLE");
}

absl::Status CheckExecutable(const std::string& name, const std::string& file) {
  struct stat node;
  if (stat(file.c_str(), &node) < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return NotFound(name, "no such file or directory");
    return NotExecutable(name, "permission denied", errno);
  }
  if (S_ISDIR(node.st_mode)) return NotExecutable(name, "is a directory", EACCES);
  if (faccessat(AT_FDCWD, file.c_str(), X_OK, AT_EACCESS) < 0) {
    return NotExecutable(name, "permission denied", errno);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status BecomeUser(const Identity& identity) {
  if (setgroups(identity.groups.size(), identity.groups.data()) < 0) {
    int error = errno;
    // Who may map itself alone has had to give up setgroups(2), and keeps its own groups.
    bool given_up = error == EPERM && identity.groups.empty() &&
                    ReadPlainFile("/proc/self/setgroups") == "deny\n";
    if (!given_up) {
      return IdError(error, absl::StrCat("setgroups ", absl::StrJoin(identity.groups, ",")));
    }
  }
  if (setresgid(identity.gid, identity.gid, identity.gid) < 0) {
    return IdError(errno, absl::StrCat("become group ", identity.gid));
  }
  if (setresuid(identity.uid, identity.uid, identity.uid) < 0) {
    return IdError(errno, absl::StrCat("become user ", identity.uid));
  }
  return absl::OkStatus();
}

absl::StatusOr<Identity> ResolveIdentity(const User& user) {
  Identity identity;
  if (user.username.empty()) {
    identity.uid = user.uid;
    identity.gid = user.gid;
    identity.home = LookUpHome(user.uid, ReadPlainFile("/etc/passwd"));
  } else {
    ASSIGN_OR_RETURN(identity, LookUpUser(user.username, ReadPlainFile("/etc/passwd"),
                                          ReadPlainFile("/etc/group")));
  }
  identity.groups.insert(identity.groups.end(), user.additional_gids.begin(),
                         user.additional_gids.end());
  for (const std::string& name : user.additional_groups) {
    ASSIGN_OR_RETURN(uint32_t gid, LookUpGroup(name, ReadPlainFile("/etc/group")));
    identity.groups.push_back(gid);
  }
  return identity;
}

absl::Status ApplyLimits(const Process& process, pid_t pid, std::vector<std::string>& warnings) {
  for (const Rlimit& limit : process.rlimits) RETURN_IF_ERROR(ApplyRlimit(limit, pid, warnings));
  if (process.oom_score_adj.has_value()) {
    std::string value = absl::StrCat(*process.oom_score_adj);
    absl::Status wrote = WriteProc(
        absl::StrCat("/proc/", pid == 0 ? "self" : absl::StrCat(pid), "/oom_score_adj"), value);
    // Lowering it wants CAP_SYS_RESOURCE.
    if (ErrnoOf(wrote) == EACCES || ErrnoOf(wrote) == EPERM) {
      warnings.push_back(absl::StrCat("oomScoreAdj: this host does not allow ", value));
    } else {
      RETURN_IF_ERROR(wrote);
    }
  }
  if (process.scheduler.has_value()) {
    const Scheduler& wanted = *process.scheduler;
    KernelScheduler scheduler = {
        sizeof(KernelScheduler), wanted.policy,  wanted.flags,    wanted.nice,
        wanted.priority,         wanted.runtime, wanted.deadline, wanted.period};
    if (syscall(SYS_sched_setattr, pid, &scheduler, 0) < 0)
      return SyscallError(errno, "process.scheduler");
  }
  if (process.io_priority.has_value()) {
    constexpr int kProcess = 1;
    if (syscall(SYS_ioprio_set, kProcess, pid, *process.io_priority) < 0) {
      return SyscallError(errno, "process.ioPriority");
    }
  }
  return absl::OkStatus();
}

void GiveStdio(const int (&fds)[3], uint32_t uid, uint32_t gid) {
  for (int fd : fds) {
    struct stat node;
    if (fd < 0 || fstat(fd, &node) < 0 || node.st_uid == uid) continue;
    if (S_ISCHR(node.st_mode) && node.st_rdev == makedev(1, 3)) continue;  // /dev/null
    if (!S_ISFIFO(node.st_mode) && !isatty(fd)) continue;
    // A terminal's group stays "tty".
    if (fchown(fd, uid, isatty(fd) ? static_cast<gid_t>(-1) : gid) < 0) continue;
  }
}

absl::Status SetCpus(pid_t pid, const std::vector<uint32_t>& cpus, const char* field) {
  if (cpus.empty()) return absl::OkStatus();
  size_t count = *std::max_element(cpus.begin(), cpus.end()) + size_t{1};
  cpu_set_t* set = CPU_ALLOC(count);
  size_t size = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(size, set);
  for (uint32_t cpu : cpus) CPU_SET_S(cpu, size, set);
  int failed = sched_setaffinity(pid, size, set) < 0 ? errno : 0;
  CPU_FREE(set);
  return failed == 0 ? absl::OkStatus() : SyscallError(failed, field);
}

absl::Status SetMemoryPolicy(const MemoryPolicy& policy) {
  constexpr size_t kBits = 8 * sizeof(unsigned long);
  std::vector<unsigned long> mask;
  for (uint32_t node : policy.nodes) {
    if (mask.size() <= node / kBits) mask.resize(node / kBits + 1);
    mask[node / kBits] |= 1ul << node % kBits;
  }
  // The kernel takes one bit less than it is told of.
  unsigned long bits = mask.empty() ? 0 : mask.size() * kBits + 1;
  if (syscall(SYS_set_mempolicy, policy.mode, mask.empty() ? nullptr : mask.data(), bits) < 0) {
    return SyscallError(errno, "linux.memoryPolicy");
  }
  return absl::OkStatus();
}

absl::Status ApplyPrivileges(const Process& process, const Identity& identity,
                             const std::optional<seccomp::Filter>& filter, UniqueFd& listener) {
  // With no_new_privs the filter goes in last and covers the most; without, it needs CAP_SYS_ADMIN
  // and must go in while we have it.
  if (filter.has_value() && !process.no_new_privileges) {
    absl::StatusOr<UniqueFd> loaded = seccomp::Load(*filter);
    RETURN_IF_ERROR(AtStep("seccomp", loaded.status()));
    listener = *std::move(loaded);
  }
  if (process.capabilities.has_value()) {
    RETURN_IF_ERROR(
        AtStep("capability", capability::ApplyBounding(process.capabilities->bounding)));
    // The kernel would drop them all with uid 0.
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) {
      return AtStep("capability", SyscallError(errno, "keep capabilities"));
    }
  }
  RETURN_IF_ERROR(AtStep("user", BecomeUser(identity)));
  if (process.capabilities.has_value()) {
    RETURN_IF_ERROR(AtStep("capability", capability::ApplyRest(*process.capabilities)));
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  }
  if (process.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    return AtStep("seccomp", SyscallError(errno, "no_new_privs"));
  }
  if (filter.has_value() && process.no_new_privileges) {
    absl::StatusOr<UniqueFd> loaded = seccomp::Load(*filter);
    RETURN_IF_ERROR(AtStep("seccomp", loaded.status()));
    listener = *std::move(loaded);
  }
  return absl::OkStatus();
}

absl::Status ChangeDirectory(const std::string& cwd, const Identity& identity, bool may_create) {
  if (chdir(cwd.c_str()) == 0) return absl::OkStatus();
  if (errno == ENOENT && may_create) {
    UniqueFd root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    absl::StatusOr<UniqueFd> made =
        mnt::EnsureInRoot(root.get(), cwd, mnt::NodeKind::kDirectory, 0755);
    if (made.ok()) {
      std::string by_fd = absl::StrCat("/proc/self/fd/", made->get());
      if (chown(by_fd.c_str(), identity.uid, identity.gid) == 0 && chdir(cwd.c_str()) == 0) {
        return absl::OkStatus();
      }
    }
  }
  return AtStep("cwd", SyscallError(errno, absl::StrCat("working directory \"", cwd, "\"")));
}

absl::StatusOr<Command> ResolveCommand(const Process& process, const Identity& identity) {
  Command command = {.args = process.args, .env = process.env};
  std::string path = kDefaultPath;
  bool has_home = false;
  for (const std::string& variable : command.env) {
    if (absl::StartsWith(variable, "PATH=")) path = variable.substr(5);
    has_home |= absl::StartsWith(variable, "HOME=");
  }
  if (!has_home) command.env.push_back(absl::StrCat("HOME=", identity.home));
  const std::string& name = command.args[0];
  if (name.empty()) return AtStep("exec", NotFound(name, "the command is empty"));
  if (absl::StrContains(name, '/')) {
    RETURN_IF_ERROR(AtStep("exec", CheckExecutable(name, name)));
    command.file = name;
    return command;
  }
  absl::Status denied;
  for (absl::string_view directory : absl::StrSplit(path, ':')) {
    std::string file = absl::StrCat(directory.empty() ? "." : directory, "/", name);
    absl::Status usable = CheckExecutable(name, file);
    if (usable.ok()) {
      command.file = std::move(file);
      return command;
    }
    // Remembered, as a shell does: a file that is there but not executable is the better answer.
    if (Reason(usable) == "COMMAND_NOT_EXECUTABLE" && denied.ok() &&
        !absl::StrContains(usable.message(), "is a directory")) {
      denied = usable;
    }
  }
  if (!denied.ok()) return AtStep("exec", denied);
  return AtStep("exec", NotFound(name, "not found in PATH"));
}

absl::Status Execute(const Command& command) {
  std::vector<char*> args, env;
  for (const std::string& arg : command.args) args.push_back(const_cast<char*>(arg.c_str()));
  for (const std::string& variable : command.env)
    env.push_back(const_cast<char*>(variable.c_str()));
  args.push_back(nullptr);
  env.push_back(nullptr);
  execve(command.file.c_str(), args.data(), env.data());
  int error = errno;
  const std::string& name = command.args[0];
  switch (error) {
    case ENOENT:
      // The file was there a moment ago: what is missing is what its first line or ELF header
      // names.
      return AtStep("exec", NotFound(name, "the interpreter that it names does not exist"));
    case EACCES:
    case EPERM:
      return NotExecutable(name, "permission denied", error);
    case ENOEXEC:
      return NotExecutable(name, "not a program of this machine, nor a script with \"#!\"", error);
    case E2BIG:
      return AtStep("exec", SyscallError(error, absl::StrCat("exec \"", name, "\"")));
    default:
      return NotExecutable(name, strerror(error), error);
  }
}

}  // namespace darse::container

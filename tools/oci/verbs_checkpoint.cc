// checkpoint and restore, as runc's: through criu(8).
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/container/hooks.h"
#include "libs/container/launch.h"
#include "libs/os/path_in_root.h"
#include "tools/oci/bundle_state.h"
#include "tools/oci/criu.h"
#include "tools/oci/flags.h"
#include "tools/oci/lifecycle.h"
#include "tools/oci/terminal.h"
#include "tools/oci/verbs.h"

namespace darse::ocitool {
namespace {

using cgroup::CgroupDriver;
using container::Spec;

// How criu calls a network namespace that config.json names.
constexpr char kNetwork[] = "darse-net";
// What criu's script, which gets no arguments, must know.
constexpr char kIdVariable[] = "DARSE_OCI_RESTORE_ID";
constexpr char kBundleVariable[] = "DARSE_OCI_RESTORE_BUNDLE";

struct Directories {
  std::string images, work;
};

absl::StatusOr<Directories> FindDirectories(const Flags& flags, bool make) {
  std::string images = flags.Value("image-path", "checkpoint");
  std::string work = flags.Value("work-path", images);
  for (const std::string& path : {images, work}) {
    if (make && mkdir(path.c_str(), 0700) < 0 && errno != EEXIST) {
      return SyscallError(errno, absl::StrCat("mkdir ", path));
    }
  }
  Directories found;
  ASSIGN_OR_RETURN(found.images, Absolute(images));
  ASSIGN_OR_RETURN(found.work, Absolute(work));
  return found;
}

// What neither we nor criu could make anew.
absl::Status CheckSpec(const Spec& spec) {
  if (spec.process.terminal) {
    return absl::UnimplementedError(
        "process.terminal: a container with a terminal cannot be checkpointed by darse-oci");
  }
  for (const container::NamespaceEntry& entry : spec.namespaces) {
    if (entry.path.empty() || entry.flag == CLONE_NEWNET) continue;
    return absl::UnimplementedError(
        absl::StrCat("linux.namespaces: ", entry.path,
                     " is joined; of those only a network can be checkpointed"));
  }
  return absl::OkStatus();
}

// Flags of ours that criu has under the same name.
constexpr const char* kPassedOn[] = {"tcp-established", "ext-unix-sk", "shell-job", "file-locks",
                                     "auto-dedup"};

absl::StatusOr<std::vector<std::string>> CommonArguments(const Flags& flags,
                                                         const Directories& directories,
                                                         const std::string& verb) {
  // The cgroup is made from config.json, here as at create: criu then only moves processes there,
  // which is "soft", and by another name for those to whom the path is new, "ignore".
  std::string mode = flags.Value("manage-cgroups-mode", "soft");
  if (mode != "soft" && mode != "ignore") {
    return absl::UnimplementedError(absl::StrCat(
        "--manage-cgroups-mode ", mode, ": soft or ignore; the cgroup is always config.json's"));
  }
  std::vector<std::string> args = {verb,          "--images-dir",          directories.images,
                                   "--work-dir",  directories.work,        "--log-file",
                                   verb + ".log", "--manage-cgroups=soft", "-v3"};
  for (const char* name : kPassedOn) {
    if (flags.Has(name)) args.push_back(absl::StrCat("--", name));
  }
  std::string empty = flags.Value("empty-ns");
  if (!empty.empty() && empty != "network") {
    return absl::InvalidArgumentError(absl::StrCat("--empty-ns ", empty, ": only network can be"));
  }
  if (!empty.empty()) args.insert(args.end(), {"--empty-ns", "net"});
  return args;
}

// Of what criu did not always bring back. A checkpoint that could not be restored is not to end the
// container.
absl::Status CheckCriu(const Spec& spec) {
  constexpr int kWithNoNewPrivileges = 31900;
  ASSIGN_OR_RETURN(int version, CriuVersion());
  if (!spec.process.no_new_privileges || version >= kWithNoNewPrivileges) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("process.noNewPrivileges: this host's criu (",
                                                    version / 10000, ".", version / 100 % 100,
                                                    ") does not bring it back; 3.19 does"));
}

// That nothing which holds the process is missing.
absl::Status CheckRestored(pid_t pid, const Spec& spec) {
  ASSIGN_OR_RETURN(std::string status, ReadFile(absl::StrCat("/proc/", pid, "/status")));
  auto has = [&](absl::string_view line) { return absl::StrContains(status, line); };
  const char* lost = nullptr;
  if (spec.process.no_new_privileges && !has("NoNewPrivs:\t1\n")) lost = "process.noNewPrivileges";
  if (spec.seccomp.has_value() && !has("Seccomp:\t2\n")) lost = "linux.seccomp";
  if (lost == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("restore: criu did not bring ", lost, " back; the process was ended"));
}

absl::StatusOr<CheckpointNotes> TakeNotes(const BundleState& state, const Spec& spec) {
  CheckpointNotes notes;
  ASSIGN_OR_RETURN(std::string mountinfo,
                   ReadFile(absl::StrCat("/proc/", state.pid, "/mountinfo")));
  notes.external_mounts = ExternalMounts(ParseMountLines(mountinfo), spec);
  for (int fd = 0; fd < 3; ++fd) {
    char target[PATH_MAX] = {};
    std::string link = absl::StrCat("/proc/", state.pid, "/fd/", fd);
    notes.stdio.emplace_back(readlink(link.c_str(), target, sizeof(target) - 1) < 0 ? "" : target);
  }
  const container::NamespaceEntry* network = spec.FindNamespace(CLONE_NEWNET);
  notes.network_by_path = network != nullptr && !network->path.empty();
  return notes;
}

// "what[name]:key", as criu names what is not its own.
std::string Named(absl::string_view what, absl::string_view name, absl::string_view key) {
  return absl::StrCat(what, "[", name, "]:", key);
}

absl::Status Dump(const Flags& flags, const BundleState& state, const Spec& spec) {
  bool pre_dump = flags.Has("pre-dump");
  std::string verb = pre_dump ? "pre-dump" : "dump";
  ASSIGN_OR_RETURN(Directories directories, FindDirectories(flags, /*make=*/true));
  ASSIGN_OR_RETURN(std::vector<std::string> args, CommonArguments(flags, directories, verb));
  ASSIGN_OR_RETURN(CheckpointNotes notes, TakeNotes(state, spec));
  args.insert(args.end(), {"--tree", absl::StrCat(state.pid)});
  for (const std::string& point : notes.external_mounts) {
    args.insert(args.end(), {"--external", Named("mnt", point, point)});
  }
  if (notes.network_by_path) {
    struct stat info = {};
    std::string path = absl::StrCat("/proc/", state.pid, "/ns/net");
    if (stat(path.c_str(), &info) < 0) return SyscallError(errno, path);
    args.insert(args.end(), {"--external", Named("net", absl::StrCat(info.st_ino), kNetwork)});
  }
  if (pre_dump) args.push_back("--track-mem");
  if (flags.Has("leave-running") && !pre_dump) args.push_back("--leave-running");
  if (flags.Has("link-remap")) args.push_back("--link-remap");
  if (flags.Has("tcp-skip-in-flight")) args.push_back("--skip-in-flight");
  if (std::string parent = flags.Value("parent-path"); !parent.empty()) {
    args.insert(args.end(), {"--prev-images-dir", parent, "--track-mem"});
  }
  if (std::string server = flags.Value("page-server"); !server.empty()) {
    std::pair<std::string, std::string> address = absl::StrSplit(server, absl::MaxSplits(':', 1));
    args.insert(args.end(),
                {"--page-server", "--address", address.first, "--port", address.second});
  }
  if (!pre_dump) {
    RETURN_IF_ERROR(WriteFile(directories.images + "/darse.json", EncodeNotes(notes)));
  }
  return RunCriu(args, {}, absl::StrCat(directories.work, "/", verb, ".log"), nullptr);
}

// What the container's mounts are to show, for criu.
absl::Status AddMounts(const CheckpointNotes& notes, const Spec& spec, const std::string& bundle,
                       const CgroupDriver& cgroups, const std::string& cgroup_path,
                       std::vector<std::string>& args) {
  std::map<std::string, std::string> cgroup_mounts;
  for (const container::MountEntry& entry : spec.mounts) {
    if (entry.type != "cgroup" && entry.type != "cgroup2") continue;
    ASSIGN_OR_RETURN(auto directories, container::CgroupDirectories(cgroups, cgroup_path));
    for (const auto& [name, directory] : directories) {
      cgroup_mounts[absl::StrCat(entry.destination, name.empty() ? "" : "/", name)] = directory;
    }
  }
  for (const std::string& point : notes.external_mounts) {
    ASSIGN_OR_RETURN(std::string source, SourceOf(point, spec, bundle, cgroup_mounts));
    args.insert(args.end(), {"--external", Named("mnt", point, source)});
  }
  return absl::OkStatus();
}

// Where criu moves processes in each hierarchy: to the container's cgroup, and where that has none,
// nowhere.
absl::Status AddCgroupRoots(const Globals& globals, const std::string& cgroup_path,
                            std::vector<std::string>& args) {
  ASSIGN_OR_RETURN(cgroup::Hierarchies found, cgroup::FindHierarchies());
  if (!globals.systemd_cgroup) found.v1.erase("name=systemd");
  ASSIGN_OR_RETURN(std::string own, ReadFile("/proc/self/cgroup"));
  for (absl::string_view line : absl::StrSplit(own, '\n', absl::SkipEmpty())) {
    std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    if (fields[1].empty()) {
      args.insert(args.end(), {"--cgroup-root", "/" + cgroup_path});
      continue;
    }
    for (absl::string_view name : absl::StrSplit(fields[1], ',')) {
      std::string controller(name);
      std::string path = found.v1.contains(controller) ? "/" + cgroup_path : fields[2];
      args.insert(args.end(), {"--cgroup-root", absl::StrCat(controller, ":", path)});
    }
  }
  return absl::OkStatus();
}

// A root that has not been started from lacks what `create` makes in it. What is below another
// mount comes with that.
absl::Status MakeMountPoints(const Spec& spec, const std::string& root, const std::string& bundle) {
  ASSIGN_OR_RETURN(UniqueFd directory, OpenDirectory(root));
  for (const container::MountEntry& entry : spec.mounts) {
    bool below = false;
    for (const container::MountEntry& other : spec.mounts) {
      below |= absl::StartsWith(entry.destination, other.destination + "/");
    }
    if (below) continue;
    struct stat source = {.st_mode = S_IFDIR};
    if (entry.options.bind) {
      ASSIGN_OR_RETURN(std::string path, SourceOf(entry.destination, spec, bundle, {}));
      if (stat(path.c_str(), &source) < 0) return SyscallError(errno, path);
    }
    if (S_ISDIR(source.st_mode)) {
      RETURN_IF_ERROR(MakeDirectoriesInRoot(directory.get(), entry.destination).status());
      continue;
    }
    ASSIGN_OR_RETURN(NameInRoot place, LocateOrMakeInRoot(directory.get(), entry.destination));
    UniqueFd made(openat(place.directory.get(), place.name.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!made.valid() && errno != EEXIST) return SyscallError(errno, entry.destination);
  }
  return absl::OkStatus();
}

// The root where criu wants it: a mount point that nobody else sees. criu takes over its flags.
absl::StatusOr<std::string> MountRoot(const Spec& spec, const std::string& bundle) {
  std::string path = absl::StartsWith(spec.root_path, "/")
                         ? spec.root_path
                         : absl::StrCat(bundle, "/", spec.root_path);
  ASSIGN_OR_RETURN(std::string root, Absolute(path));
  if (unshare(CLONE_NEWNS) < 0) return SyscallError(errno, "unshare the mounts");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0 ||
      mount(root.c_str(), root.c_str(), nullptr, MS_BIND | MS_REC, nullptr) < 0) {
    return SyscallError(errno, absl::StrCat("mount ", root));
  }
  RETURN_IF_ERROR(MakeMountPoints(spec, root, bundle));
  if (spec.root_readonly &&
      mount(nullptr, root.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) < 0) {
    return SyscallError(errno, absl::StrCat("remount ", root, " read-only"));
  }
  return root;
}

absl::StatusOr<pid_t> TakePid(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  unlink(path.c_str());
  int pid = 0;
  if (!absl::SimpleAtoi(text, &pid)) return absl::InternalError("criu restore told no process");
  return static_cast<pid_t>(pid);
}

absl::StatusOr<BundleState> RestoreContainer(const Globals& globals, const Flags& flags,
                                             const std::string& id, Spec& spec) {
  ASSIGN_OR_RETURN(std::string bundle, Absolute(flags.Value("bundle", ".")));
  ASSIGN_OR_RETURN(std::string json, ReadFile(absl::StrCat(bundle, "/config.json")));
  ASSIGN_OR_RETURN(spec, container::ParseSpec(json));
  RETURN_IF_ERROR(CheckSpec(spec));
  ASSIGN_OR_RETURN(Directories directories, FindDirectories(flags, /*make=*/false));
  ASSIGN_OR_RETURN(std::string noted, ReadFile(directories.images + "/darse.json"));
  ASSIGN_OR_RETURN(CheckpointNotes notes, DecodeNotes(noted));
  ASSIGN_OR_RETURN(std::vector<std::string> args, CommonArguments(flags, directories, "restore"));
  ASSIGN_OR_RETURN(std::unique_ptr<CgroupDriver> cgroups, OpenCgroups(globals));
  ASSIGN_OR_RETURN(std::string cgroup_path, cgroups->Resolve(spec.cgroups_path, id));
  RETURN_IF_ERROR(AddMounts(notes, spec, bundle, *cgroups, cgroup_path, args));

  std::vector<std::pair<int, int>> fds;
  auto inherit = [&](int fd, const std::string& key) {
    int number = 10 + static_cast<int>(fds.size());
    fds.emplace_back(fd, number);
    args.insert(args.end(), {"--inherit-fd", Named("fd", absl::StrCat(number), key)});
  };
  for (int fd = 0; fd < 3 && fd < static_cast<int>(notes.stdio.size()); ++fd) {
    if (absl::StartsWith(notes.stdio[fd], "pipe:")) inherit(fd, notes.stdio[fd]);
  }
  UniqueFd network;
  if (notes.network_by_path) {
    const container::NamespaceEntry* entry = spec.FindNamespace(CLONE_NEWNET);
    if (entry == nullptr || entry->path.empty()) {
      return absl::FailedPreconditionError(
          "linux.namespaces: the container joined a network; config.json must name one by path");
    }
    network.Reset(open(entry->path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!network.valid()) return SyscallError(errno, entry->path);
    inherit(network.get(), kNetwork);
  }
  if (!spec.hooks.prestart.empty() || !spec.hooks.create_runtime.empty()) {
    setenv(kIdVariable, id.c_str(), 1);
    setenv(kBundleVariable, bundle.c_str(), 1);
    args.insert(args.end(), {"--action-script", absl::StrCat("/proc/", getpid(), "/exe")});
  }

  StateDirectory states(globals.root);
  RETURN_IF_ERROR(states.Create(id));
  absl::Cleanup undo = [&] { states.Remove(id); };
  ASSIGN_OR_RETURN(std::string root, MountRoot(spec, bundle));
  std::string pid_file = states.Directory(id) + "/restore.pid";
  args.insert(args.end(), {"--root", root, "--restore-detached", "--pidfile", pid_file});
  RETURN_IF_ERROR(AddCgroupRoots(globals, cgroup_path, args));
  RETURN_IF_ERROR(cgroups->Create(cgroup_path));
  absl::Cleanup undo_cgroup = [&] {
    cgroups->KillAll(cgroup_path).IgnoreError();
    for (int tries = 0; tries < 100 && !cgroups->Delete(cgroup_path).ok(); ++tries) {
      while (waitpid(-1, nullptr, WNOHANG) > 0) {
      }
      usleep(10'000);
    }
  };
  // criu and its helpers are in the cgroup while they work: their number is not to be limited.
  cgroup::Limits limits = container::WithDefaultDevices(spec.limits);
  cgroup::Limits meanwhile = limits;
  meanwhile.pids_max.reset();
  RETURN_IF_ERROR(cgroup::ApplyAll(*cgroups, cgroup_path, meanwhile));
  // Whoever criu leaves behind becomes ours.
  if (!flags.Has("no-subreaper")) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  RETURN_IF_ERROR(RunCriu(args, fds, directories.work + "/restore.log",
                          [&](pid_t criu) { return cgroups->Attach(cgroup_path, criu); }));
  RETURN_IF_ERROR(cgroup::ApplyAll(*cgroups, cgroup_path, limits));
  ASSIGN_OR_RETURN(pid_t pid, TakePid(pid_file));
  RETURN_IF_ERROR(CheckRestored(pid, spec));
  const container::NamespaceEntry* pids = spec.FindNamespace(CLONE_NEWPID);
  BundleState state = {.id = id,
                       .bundle = bundle,
                       .created = NowRfc3339(),
                       .cgroup_path = cgroup_path,
                       .pid = pid,
                       .pid_start_time = ProcessStartTime(pid),
                       .own_pid_namespace = pids != nullptr,
                       .systemd_cgroup = globals.systemd_cgroup};
  RETURN_IF_ERROR(states.Write(state, json));
  RETURN_IF_ERROR(WritePidFile(flags, pid));
  RETURN_IF_ERROR(container::RunHooks(spec.hooks.poststart, HookStateOf(spec, state, "running")));
  std::move(undo_cgroup).Cancel();
  std::move(undo).Cancel();
  return state;
}

absl::Status RefuseUndone(const Globals& globals, const Flags& flags) {
  for (const char* name : {"status-fd", "lazy-pages", "lsm-profile", "lsm-mount-context"}) {
    if (flags.Has(name) || !flags.Value(name).empty()) {
      return absl::UnimplementedError(absl::StrCat("--", name, ": Darse does not do this"));
    }
  }
  if (globals.rootless) {
    return absl::UnimplementedError("a rootless container cannot be checkpointed or restored");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int> Checkpoint(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags,
                   ParseFlags(args,
                              {"image-path", "work-path", "parent-path", "status-fd", "page-server",
                               "manage-cgroups-mode", "empty-ns"},
                              {"leave-running", "tcp-established", "tcp-skip-in-flight",
                               "link-remap", "ext-unix-sk", "shell-job", "lazy-pages", "file-locks",
                               "pre-dump", "auto-dedup"}));
  RETURN_IF_ERROR(RefuseUndone(globals, flags));
  ASSIGN_OR_RETURN(std::string id, TheId(flags));
  StateDirectory states(globals.root);
  ASSIGN_OR_RETURN(BundleState state, states.Read(id));
  ASSIGN_OR_RETURN(Spec spec, states.ReadSpec(id));
  RETURN_IF_ERROR(CheckSpec(spec));
  ASSIGN_OR_RETURN(std::unique_ptr<CgroupDriver> cgroups, OpenCgroups(globals, state));
  if (std::string status = states.Status(state, cgroups.get()); status != "running") {
    return absl::FailedPreconditionError(absl::StrCat("checkpoint: the container is ", status));
  }
  RETURN_IF_ERROR(CheckCriu(spec));
  RETURN_IF_ERROR(Dump(flags, state, spec));
  if (flags.Has("leave-running") || flags.Has("pre-dump")) return 0;
  RETURN_IF_ERROR(DeleteContainer(globals, state, /*force=*/true));
  return 0;
}

absl::StatusOr<int> Restore(const Globals& globals, const Args& args) {
  ASSIGN_OR_RETURN(
      Flags flags,
      ParseFlags(args,
                 {"b=bundle", "image-path", "work-path", "pid-file", "manage-cgroups-mode",
                  "empty-ns", "console-socket", "lsm-profile", "lsm-mount-context"},
                 {"d=detach", "tcp-established", "ext-unix-sk", "shell-job", "file-locks",
                  "lazy-pages", "no-subreaper", "auto-dedup"}));
  if (!flags.Value("console-socket").empty()) {
    return absl::UnimplementedError("--console-socket: a terminal is not restored");
  }
  RETURN_IF_ERROR(RefuseUndone(globals, flags));
  ASSIGN_OR_RETURN(std::string id, TheId(flags));
  bool detach = flags.Has("detach");
  if (!detach) HoldChildSignal();
  Spec spec;
  ASSIGN_OR_RETURN(BundleState state, RestoreContainer(globals, flags, id, spec));
  if (detach) return 0;
  HoldSignals();
  ASSIGN_OR_RETURN(int code, Accompany(static_cast<pid_t>(state.pid), -1));
  RETURN_IF_ERROR(DeleteContainer(globals, state, /*force=*/true));
  return code;
}

bool IsRestoreScript() {
  return getenv(kIdVariable) != nullptr && getenv("CRTOOLS_SCRIPT_ACTION") != nullptr;
}

absl::Status RunRestoreScript() {
  // criu starts it without stdio: a hook's pipe is not to become that.
  for (int fd = 0; fd >= 0 && fd < 2;) fd = open("/dev/null", O_RDWR);
  const char* pid = getenv("CRTOOLS_INIT_PID");
  const char* bundle = getenv(kBundleVariable);
  if (std::string(getenv("CRTOOLS_SCRIPT_ACTION")) != "setup-namespaces") return absl::OkStatus();
  BundleState state = {.id = getenv(kIdVariable), .bundle = bundle == nullptr ? "" : bundle};
  if (pid == nullptr || !absl::SimpleAtoi(pid, &state.pid)) {
    return absl::InvalidArgumentError("restore: criu told no process");
  }
  ASSIGN_OR_RETURN(std::string json, ReadFile(state.bundle + "/config.json"));
  ASSIGN_OR_RETURN(Spec spec, container::ParseSpec(json));
  std::string text = HookStateOf(spec, state, "creating");
  RETURN_IF_ERROR(container::RunHooks(spec.hooks.prestart, text));
  return container::RunHooks(spec.hooks.create_runtime, text);
}

}  // namespace darse::ocitool

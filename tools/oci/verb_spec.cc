// darse-oci spec: a config.json to begin with.
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "libs/base/status_macros.h"
#include "tools/oci/bundle_state.h"
#include "tools/oci/flags.h"
#include "tools/oci/verbs.h"

namespace darse::ocitool {
namespace {

// $0 to $3: options of devpts, what is at /sys, the first lines of `linux`, further namespaces.
constexpr char kSpec[] = R"({
  "ociVersion": "1.0.2",
  "process": {
    "terminal": true,
    "user": {"uid": 0, "gid": 0},
    "args": ["sh"],
    "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
    "cwd": "/",
    "capabilities": {
      "bounding": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "effective": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "permitted": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    },
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
    "noNewPrivileges": true
  },
  "root": {"path": "rootfs", "readonly": true},
  "hostname": "darse",
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
     "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"$0]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
     "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
     "options": ["nosuid", "noexec", "nodev"]},
    $1
  ],
  "linux": {
    $2
    "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, $3],
    "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                    "/proc/scsi"],
    "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
  }
}
)";

constexpr char kSys[] = R"({"destination": "/sys", "type": "sysfs", "source": "sysfs",
     "options": ["nosuid", "noexec", "nodev", "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
     "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]})";
constexpr char kDevices[] = R"("resources": {"devices": [{"allow": false, "access": "rwm"}]},)";

// The caller alone is mapped, and the network is the host's: what takes no rights.
constexpr char kHostSys[] = R"({"destination": "/sys", "type": "none", "source": "/sys",
     "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]})";

std::string OwnIds() {
  auto one = [](const char* side, uint32_t id) {
    return absl::StrCat("\"", side, R"(": [{"containerID": 0, "hostID": )", id,
                        R"(, "size": 1}],)");
  };
  return absl::StrCat(one("uidMappings", geteuid()), "\n    ", one("gidMappings", getegid()));
}

}  // namespace

absl::StatusOr<int> MakeSpec(const Globals&, const Args& args) {
  ASSIGN_OR_RETURN(Flags flags, ParseFlags(args, {"b=bundle"}, {"rootless"}));
  std::string path = absl::StrCat(flags.Value("bundle", "."), "/config.json");
  if (access(path.c_str(), F_OK) == 0) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": exists already; remove it first"));
  }
  std::string spec = flags.Has("rootless")
                         ? absl::Substitute(kSpec, "", kHostSys, OwnIds(), R"({"type": "user"})")
                         : absl::Substitute(kSpec, R"(, "gid=5")", kSys, kDevices,
                                            R"({"type": "network"}, {"type": "cgroup"})");
  RETURN_IF_ERROR(WriteFile(path, spec));
  chmod(path.c_str(), 0644);
  return 0;
}

}  // namespace darse::ocitool

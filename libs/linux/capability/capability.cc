#include "libs/linux/capability/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"

namespace darse::capability {
namespace {

// The index is the number (linux/capability.h).
constexpr absl::string_view kNames[] = {"CHOWN",
                                        "DAC_OVERRIDE",
                                        "DAC_READ_SEARCH",
                                        "FOWNER",
                                        "FSETID",
                                        "KILL",
                                        "SETGID",
                                        "SETUID",
                                        "SETPCAP",
                                        "LINUX_IMMUTABLE",
                                        "NET_BIND_SERVICE",
                                        "NET_BROADCAST",
                                        "NET_ADMIN",
                                        "NET_RAW",
                                        "IPC_LOCK",
                                        "IPC_OWNER",
                                        "SYS_MODULE",
                                        "SYS_RAWIO",
                                        "SYS_CHROOT",
                                        "SYS_PTRACE",
                                        "SYS_PACCT",
                                        "SYS_ADMIN",
                                        "SYS_BOOT",
                                        "SYS_NICE",
                                        "SYS_RESOURCE",
                                        "SYS_TIME",
                                        "SYS_TTY_CONFIG",
                                        "MKNOD",
                                        "LEASE",
                                        "AUDIT_WRITE",
                                        "AUDIT_CONTROL",
                                        "SETFCAP",
                                        "MAC_OVERRIDE",
                                        "MAC_ADMIN",
                                        "SYSLOG",
                                        "WAKE_ALARM",
                                        "BLOCK_SUSPEND",
                                        "AUDIT_READ",
                                        "PERFMON",
                                        "BPF",
                                        "CHECKPOINT_RESTORE"};

}  // namespace

absl::StatusOr<int> Parse(absl::string_view name) {
  std::string upper = absl::AsciiStrToUpper(name);
  absl::string_view bare = absl::StripPrefix(upper, "CAP_");
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == bare) return static_cast<int>(i);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("capability \"", name, "\": Linux has none of that name"));
}

std::string Name(int capability) {
  if (capability < 0 || capability >= static_cast<int>(std::size(kNames))) {
    return absl::StrCat("CAP_", capability);
  }
  return absl::StrCat("CAP_", kNames[capability]);
}

std::vector<std::string> Names(Set set) {
  std::vector<std::string> names;
  for (int i = 0; i < 64; ++i) {
    if (set & Bit(i)) names.push_back(Name(i));
  }
  return names;
}

absl::StatusOr<Set> ParseAll(const std::vector<std::string>& names) {
  Set set = 0;
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(int capability, Parse(name));
    set |= Bit(capability);
  }
  return set;
}

Set KernelSet() {
  Set set = 0;
  for (int i = 0; i < 64 && prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; ++i) set |= Bit(i);
  return set;
}

absl::StatusOr<Set> BoundingSet() {
  Set set = 0;
  for (int i = 0; i < 64; ++i) {
    int has = prctl(PR_CAPBSET_READ, i, 0, 0, 0);
    if (has < 0 && errno != EINVAL) return SyscallError(errno, "read the bounding set");
    if (has < 0) break;
    if (has > 0) set |= Bit(i);
  }
  return set;
}

Set DefaultSet() {
  constexpr int kDefault[] = {CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_FSETID,           CAP_FOWNER,
                              CAP_MKNOD,   CAP_NET_RAW,      CAP_SETGID,           CAP_SETUID,
                              CAP_SETFCAP, CAP_SETPCAP,      CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT,
                              CAP_KILL,    CAP_AUDIT_WRITE};
  Set set = 0;
  for (int capability : kDefault) set |= Bit(capability);
  return set;
}

absl::StatusOr<Set> Adjust(const std::vector<std::string>& add,
                           const std::vector<std::string>& drop, Set all) {
  auto is_all = [](const std::string& name) { return absl::EqualsIgnoreCase(name, "ALL"); };
  Set set = DefaultSet();
  // As Docker: "ALL" on one side is where the other side's names are taken from.
  for (const std::string& name : drop) {
    if (is_all(name)) set = 0;
  }
  for (const std::string& name : add) {
    if (is_all(name)) set = all;
  }
  for (const std::string& name : drop) {
    if (is_all(name)) continue;
    ASSIGN_OR_RETURN(int capability, Parse(name));
    set &= ~Bit(capability);
  }
  for (const std::string& name : add) {
    if (is_all(name)) continue;
    ASSIGN_OR_RETURN(int capability, Parse(name));
    set |= Bit(capability);
  }
  return set & all;
}

absl::Status ApplyBounding(Set bounding) {
  for (int i = 0; i < 64; ++i) {
    if (bounding & Bit(i)) continue;
    int has = prctl(PR_CAPBSET_READ, i, 0, 0, 0);
    if (has < 0) break;
    if (has > 0 && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0) {
      return SyscallError(errno, absl::StrCat("drop ", Name(i), " from the bounding set"));
    }
  }
  return absl::OkStatus();
}

absl::Status ApplyRest(const Sets& sets) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  for (int half = 0; half < 2; ++half) {
    data[half].effective = static_cast<uint32_t>(sets.effective >> (32 * half));
    data[half].permitted = static_cast<uint32_t>(sets.permitted >> (32 * half));
    data[half].inheritable = static_cast<uint32_t>(sets.inheritable >> (32 * half));
  }
  if (syscall(SYS_capset, &header, data) < 0) {
    return SyscallError(errno, absl::StrCat("capset: a capability asked for is not ours to give"));
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) {
    return SyscallError(errno, "clear the ambient set");
  }
  for (int i = 0; i < 64; ++i) {
    if (!(RaisableAmbient(sets) & Bit(i))) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0) {
      return SyscallError(errno, absl::StrCat("raise ", Name(i), " in the ambient set"));
    }
  }
  return absl::OkStatus();
}

}  // namespace darse::capability

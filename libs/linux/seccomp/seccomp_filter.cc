#include "libs/linux/seccomp/seccomp_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"

namespace darse::seccomp {
namespace {

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

// Newer than Debian's libseccomp; numbers from 424 on are the same on every architecture.
const std::map<std::string, int>& NewerCalls() {
  static const std::map<std::string, int> kNumbers = {
      {"process_mrelease", 448},  {"futex_waitv", 449},      {"set_mempolicy_home_node", 450},
      {"cachestat", 451},         {"fchmodat2", 452},        {"map_shadow_stack", 453},
      {"futex_wake", 454},        {"futex_wait", 455},       {"futex_requeue", 456},
      {"statmount", 457},         {"listmount", 458},        {"lsm_get_self_attr", 459},
      {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
      {"setxattrat", 463},        {"getxattrat", 464},       {"listxattrat", 465},
      {"removexattrat", 466},     {"open_tree_attr", 467},   {"file_getattr", 468},
      {"file_setattr", 469}};
  return kNumbers;
}

#if defined(__x86_64__)
constexpr uint32_t kNativeAudit = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kNativeAudit = AUDIT_ARCH_AARCH64;
#endif

absl::StatusOr<uint32_t> Action(const std::string& name, std::optional<uint32_t> errno_value) {
  uint32_t value = errno_value.value_or(EPERM);
  if (value > 0xffff) return absl::InvalidArgumentError("seccomp profile: an errno above 65535");
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(value);
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(value);
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  if (name == "SCMP_ACT_NOTIFY") return SCMP_ACT_NOTIFY;
  return absl::InvalidArgumentError(absl::StrCat("seccomp profile: unknown action \"", name, "\""));
}

absl::StatusOr<scmp_compare> Operator(const std::string& name) {
  static const std::map<std::string, scmp_compare> kOperators = {
      {"SCMP_CMP_NE", SCMP_CMP_NE},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_LE", SCMP_CMP_LE},
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_GE", SCMP_CMP_GE},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  auto found = kOperators.find(name);
  if (found != kOperators.end()) return found->second;
  return absl::InvalidArgumentError(
      absl::StrCat("seccomp profile: unknown comparison \"", name, "\""));
}

absl::Status AddArchitectures(void* context, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::string lower = name.starts_with("SCMP_ARCH_") ? name.substr(10) : name;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return tolower(c); });
    uint32_t token = seccomp_arch_resolve_name(lower.c_str());
    if (token == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("seccomp profile: unknown architecture \"", name, "\""));
    }
    int added = seccomp_arch_add(context, token);
    if (added < 0 && added != -EEXIST) {
      return SyscallError(-added, absl::StrCat("seccomp: add architecture ", name));
    }
  }
  return absl::OkStatus();
}

absl::Status AddRule(void* context, const Rule& rule, uint32_t action, int number,
                     const std::string& name) {
  std::vector<scmp_arg_cmp> all;
  for (const Comparison& arg : rule.args) {
    ASSIGN_OR_RETURN(scmp_compare op, Operator(arg.op));
    all.push_back({arg.index, op, arg.value, arg.value_two});
  }
  // libseccomp takes one comparison an argument: then, as runc does it, each is a rule of its own.
  bool repeated = false;
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = 0; j < i; ++j) repeated |= all[i].arg == all[j].arg;
  }
  auto check = [&](int added) -> absl::Status {
    if (added == 0 || added == -EEXIST) return absl::OkStatus();
    return SyscallError(-added, absl::StrCat("seccomp: rule for ", name));
  };
  if (!repeated) {
    return check(seccomp_rule_add_array(context, action, number, static_cast<unsigned>(all.size()),
                                        all.data()));
  }
  for (const scmp_arg_cmp& one : all) {
    RETURN_IF_ERROR(check(seccomp_rule_add_array(context, action, number, 1, &one)));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> Flags(const std::vector<std::string>& names) {
  uint32_t flags = 0;
  for (const std::string& name : names) {
    if (name == "SECCOMP_FILTER_FLAG_LOG") {
      flags |= SECCOMP_FILTER_FLAG_LOG;
    } else if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
      flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    } else if (name == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") {
      flags |= 1u << 5;
    } else if (name != "SECCOMP_FILTER_FLAG_TSYNC") {  // one thread: nothing to synchronise
      return absl::InvalidArgumentError(
          absl::StrCat("seccomp profile: unknown flag \"", name, "\""));
    }
  }
  return flags;
}

absl::StatusOr<Context> NewContext(uint32_t default_action) {
  Context context(seccomp_init(default_action));
  if (context == nullptr) return absl::InternalError("seccomp_init");
  // A binary tree instead of a chain: the cost of a call no longer depends on its place in the
  // list.
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
  return context;
}

absl::StatusOr<std::vector<sock_filter>> Export(void* context) {
  UniqueFd file(memfd_create("seccomp", MFD_CLOEXEC));
  if (!file.valid()) return SyscallError(errno, "memfd_create");
  int exported = seccomp_export_bpf(context, file.get());
  if (exported < 0) return SyscallError(-exported, "seccomp: compile");
  off_t size = lseek(file.get(), 0, SEEK_END);
  std::vector<sock_filter> program(static_cast<size_t>(size) / sizeof(sock_filter));
  if (pread(file.get(), program.data(), static_cast<size_t>(size), 0) != size) {
    return SyscallError(errno, "seccomp: read the compiled filter");
  }
  return program;
}

// In front of the rest: native calls with a number above `newest` answer ENOSYS instead of the
// default.
void PrependUnknownCalls(int newest, std::vector<sock_filter>& program) {
  const sock_filter prefix[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kNativeAudit, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      // x32 calls have this bit set and are none of ours.
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, static_cast<uint32_t>(newest), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
  };
  program.insert(program.begin(), std::begin(prefix), std::end(prefix));
}

}  // namespace

absl::StatusOr<Filter> Compile(const Profile& profile) {
  Filter filter;
  ASSIGN_OR_RETURN(filter.flags, Flags(profile.flags));
  ASSIGN_OR_RETURN(uint32_t default_action, Action(profile.default_action, profile.default_errno));
  // libseccomp translates a rule's number for each architecture of a filter by its name, and
  // refuses (EFAULT) a number that it has no name for. So the other architectures get a filter of
  // their own, without the calls that are newer than libseccomp, and the two are merged at the end.
  ASSIGN_OR_RETURN(Context native, NewContext(default_action));
  ASSIGN_OR_RETURN(Context others, NewContext(default_action));
  RETURN_IF_ERROR(AddArchitectures(others.get(), profile.architectures));
  seccomp_arch_remove(others.get(), SCMP_ARCH_NATIVE);
  bool has_others = profile.architectures.size() > 1;
  int newest = 0;
  for (const Rule& rule : profile.rules) {
    ASSIGN_OR_RETURN(uint32_t action, Action(rule.action, rule.errno_value));
    if (action == SCMP_ACT_NOTIFY) filter.notifies = true;
    for (const std::string& name : rule.names) {
      int number = seccomp_syscall_resolve_name(name.c_str());
      auto newer = NewerCalls().find(name);
      bool named = number != __NR_SCMP_ERROR;
      if (!named && newer != NewerCalls().end()) number = newer->second;
      if (number == __NR_SCMP_ERROR) continue;
      newest = std::max(newest, number);
      // libseccomp refuses a rule that says what the default says anyway.
      if (action == default_action) continue;
      RETURN_IF_ERROR(AddRule(native.get(), rule, action, number, name));
      if (has_others && named) {
        RETURN_IF_ERROR(AddRule(others.get(), rule, action, number, name));
      }
    }
  }
  if (has_others) {
    int merged = seccomp_merge(native.get(), others.get());
    if (merged < 0) return SyscallError(-merged, "seccomp: merge architectures");
    // It belongs to the first one now.
    others.release();
  }
  ASSIGN_OR_RETURN(filter.program, Export(native.get()));
  bool refuses = profile.default_action == "SCMP_ACT_ERRNO";
  if (refuses && newest > 0) PrependUnknownCalls(newest, filter.program);
  if (filter.program.size() > BPF_MAXINSNS) {
    return absl::InvalidArgumentError("seccomp profile: longer than the kernel takes");
  }
  return filter;
}

absl::StatusOr<UniqueFd> Load(const Filter& filter) {
  sock_fprog program = {static_cast<unsigned short>(filter.program.size()),
                        const_cast<sock_filter*>(filter.program.data())};
  uint32_t flags = filter.flags | (filter.notifies ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
  long loaded = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (loaded < 0) return SyscallError(errno, "load the seccomp filter");
  if (filter.notifies) return UniqueFd(static_cast<int>(loaded));
  return UniqueFd();
}

}  // namespace darse::seccomp

#include "libs/linux/cgroup/device_filter.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libs/base/syscall_error.h"
#include "libs/base/unique_fd.h"

namespace darse::cgroup {
namespace {

bpf_insn Instruction(uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t value) {
  bpf_insn instruction = {};
  instruction.code = code;
  instruction.dst_reg = to & 0xf;
  instruction.src_reg = from & 0xf;
  instruction.off = offset;
  instruction.imm = value;
  return instruction;
}

bpf_insn LoadWord(uint8_t to, uint8_t from, int16_t offset) {
  return Instruction(BPF_LDX | BPF_MEM | BPF_W, to, from, offset, 0);
}

int Bpf(int command, bpf_attr& attribute) {
  return static_cast<int>(syscall(SYS_bpf, command, &attribute, sizeof(attribute)));
}

// Registers: r2 = type, r3 = access, r4 = major, r5 = minor.
void AppendRule(const DeviceRule& rule, std::vector<bpf_insn>& program) {
  std::vector<bpf_insn> tests;
  auto differs = [&](uint8_t reg, int32_t value) {
    tests.push_back(Instruction(BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, 0, value));
  };
  if (rule.type == 'b') differs(BPF_REG_2, BPF_DEVCG_DEV_BLOCK);
  if (rule.type == 'c') differs(BPF_REG_2, BPF_DEVCG_DEV_CHAR);
  int32_t access = (rule.read ? BPF_DEVCG_ACC_READ : 0) | (rule.write ? BPF_DEVCG_ACC_WRITE : 0) |
                   (rule.make_node ? BPF_DEVCG_ACC_MKNOD : 0);
  constexpr int32_t kAll = BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD;
  if (access != kAll) {
    tests.push_back(Instruction(BPF_ALU | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0));
    if (rule.allow) {
      // All that is asked for must be in the rule.
      tests.push_back(Instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, access));
      tests.push_back(Instruction(BPF_JMP32 | BPF_JNE | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0));
    } else {
      // Any of it in a denying rule is enough.
      tests.push_back(Instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, access));
      tests.push_back(Instruction(BPF_JMP32 | BPF_JEQ | BPF_K, BPF_REG_1, 0, 0, 0));
    }
  }
  if (rule.major >= 0) differs(BPF_REG_4, static_cast<int32_t>(rule.major));
  if (rule.minor >= 0) differs(BPF_REG_5, static_cast<int32_t>(rule.minor));
  // A test that fails jumps behind this rule: over the tests left, and the two that answer.
  for (size_t i = 0; i < tests.size(); ++i) {
    uint8_t kind = BPF_CLASS(tests[i].code);
    if (kind == BPF_JMP32) tests[i].off = static_cast<int16_t>(tests.size() - i - 1 + 2);
  }
  program.insert(program.end(), tests.begin(), tests.end());
  program.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, rule.allow ? 1 : 0));
  program.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

// At most this many programs sit on one cgroup (the kernel's own limit).
constexpr size_t kMostPrograms = 64;

std::vector<uint32_t> AttachedPrograms(int cgroup_fd) {
  uint32_t ids[kMostPrograms] = {};
  bpf_attr query = {};
  query.query.target_fd = static_cast<uint32_t>(cgroup_fd);
  query.query.attach_type = BPF_CGROUP_DEVICE;
  query.query.prog_ids = reinterpret_cast<uint64_t>(ids);
  query.query.prog_cnt = kMostPrograms;
  if (Bpf(BPF_PROG_QUERY, query) < 0) return {};
  return std::vector<uint32_t>(ids, ids + query.query.prog_cnt);
}

}  // namespace

std::vector<bpf_insn> CompileDeviceFilter(const std::vector<DeviceRule>& rules) {
  std::vector<bpf_insn> program;
  // struct bpf_cgroup_dev_ctx {access_type = access << 16 | type; major; minor}, pointed to by r1.
  program.push_back(LoadWord(BPF_REG_2, BPF_REG_1, 0));
  program.push_back(Instruction(BPF_ALU | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0));
  program.push_back(Instruction(BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff));
  program.push_back(Instruction(BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16));
  program.push_back(LoadWord(BPF_REG_4, BPF_REG_1, 4));
  program.push_back(LoadWord(BPF_REG_5, BPF_REG_1, 8));
  bool decided = false;
  for (size_t i = rules.size(); i > 0 && !decided; --i) {
    const DeviceRule& rule = rules[i - 1];
    AppendRule(rule, program);
    // Nothing behind a rule that matches everything can be reached, which the verifier refuses.
    decided = rule.type == 'a' && rule.major < 0 && rule.minor < 0 && rule.read && rule.write &&
              rule.make_node;
  }
  if (!decided) {
    program.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0));
    program.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  }
  return program;
}

absl::Status InstallDeviceFilter(int cgroup_fd, const std::vector<DeviceRule>& rules) {
  std::vector<bpf_insn> program = CompileDeviceFilter(rules);
  static const char kLicense[] = "Apache-2.0";
  bpf_attr load = {};
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = reinterpret_cast<uint64_t>(program.data());
  load.insn_cnt = static_cast<uint32_t>(program.size());
  load.license = reinterpret_cast<uint64_t>(kLicense);
  UniqueFd loaded(Bpf(BPF_PROG_LOAD, load));
  if (!loaded.valid()) return SyscallError(errno, "load the device filter");
  std::vector<uint32_t> before = AttachedPrograms(cgroup_fd);
  bpf_attr attach = {};
  attach.target_fd = static_cast<uint32_t>(cgroup_fd);
  attach.attach_bpf_fd = static_cast<uint32_t>(loaded.get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (Bpf(BPF_PROG_ATTACH, attach) < 0) return SyscallError(errno, "attach the device filter");
  // All attached programs must say yes: the new one first, then the old ones go.
  for (uint32_t id : before) {
    bpf_attr by_id = {};
    by_id.prog_id = id;
    UniqueFd old(Bpf(BPF_PROG_GET_FD_BY_ID, by_id));
    if (!old.valid()) continue;
    bpf_attr detach = {};
    detach.target_fd = static_cast<uint32_t>(cgroup_fd);
    detach.attach_bpf_fd = static_cast<uint32_t>(old.get());
    detach.attach_type = BPF_CGROUP_DEVICE;
    if (Bpf(BPF_PROG_DETACH, detach) < 0)
      return SyscallError(errno, "detach the old device filter");
  }
  return absl::OkStatus();
}

}  // namespace darse::cgroup

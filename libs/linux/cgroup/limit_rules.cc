#include "libs/linux/cgroup/limit_rules.h"

#include "absl/strings/str_cat.h"

namespace darse::cgroup {

std::string RdmaLine(const std::string& device, const RdmaLimit& limit) {
  std::string line = device;
  for (const auto& [key, number] :
       {std::pair("hca_handle", limit.handles), std::pair("hca_object", limit.objects)}) {
    absl::StrAppend(&line, " ", key, "=", number.has_value() ? absl::StrCat(*number) : "max");
  }
  return line;
}

absl::Status CheckMemoryInUse(const Limits& limits, uint64_t usage_bytes) {
  int64_t wanted = limits.memory_bytes.value_or(0);
  if (!limits.memory_check_before_update || wanted <= 0) return absl::OkStatus();
  if (usage_bytes <= static_cast<uint64_t>(wanted)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("memory.limit: ", wanted,
                                                    " bytes is less than the ", usage_bytes,
                                                    " in use (memory.checkBeforeUpdate)"));
}

}  // namespace darse::cgroup

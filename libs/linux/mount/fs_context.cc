#include "libs/linux/mount/fs_context.h"

#include <sys/mount.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/syscall_error.h"

namespace darse::mnt {

// Each sentence is "e overlay: …" or "w …".
absl::Status ContextError(int context, int error, const std::string& doing) {
  std::string said;
  char line[512];
  for (ssize_t got; (got = read(context, line, sizeof(line))) > 0;) {
    absl::string_view text(line, static_cast<size_t>(got));
    if (text.size() > 2 && (text[0] == 'e' || text[0] == 'w') && text[1] == ' ')
      text.remove_prefix(2);
    absl::StrAppend(&said, said.empty() ? "" : "; ", absl::StripTrailingAsciiWhitespace(text));
  }
  return SyscallError(error, said.empty() ? doing : absl::StrCat(doing, " (", said, ")"));
}

absl::Status SetString(int context, const std::string& type, const std::string& key,
                       const std::string& value) {
  if (fsconfig(context, FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) == 0) {
    return absl::OkStatus();
  }
  return ContextError(context, errno, absl::StrCat("mount ", type, ": ", key, "=", value));
}

absl::StatusOr<UniqueFd> Finish(int context, const std::string& type, uint64_t attributes) {
  if (fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0) {
    return ContextError(context, errno, absl::StrCat("mount ", type));
  }
  UniqueFd mount(fsmount(context, FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (!mount.valid()) return ContextError(context, errno, absl::StrCat("mount ", type));
  return mount;
}

}  // namespace darse::mnt

#include "libs/linux/resctrl/resctrl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/base/unique_fd.h"

namespace darse::resctrl {
namespace {

absl::Status WriteFile(const std::string& path, const std::string& text) {
  UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.valid() || write(file.get(), text.data(), text.size()) < 0) {
    return SyscallError(errno, absl::StrCat("linux.intelRdt: write \"",
                                            absl::StripAsciiWhitespace(text), "\" to ", path));
  }
  return absl::OkStatus();
}

// Without the blanks that the kernel writes in front.
std::vector<std::string> ReadLines(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    lines.emplace_back(absl::StripAsciiWhitespace(line));
  }
  return lines;
}

std::string GroupOf(const std::string& mount, const Settings& settings, const std::string& id) {
  if (settings.clos_id == "/") return mount;
  return absl::StrCat(mount, "/", settings.clos_id.empty() ? id : settings.clos_id);
}

absl::Status SetSchemata(const std::string& group, const Settings& settings, bool made) {
  std::string path = absl::StrCat(group, "/schemata");
  if (made || settings.clos_id.empty()) {
    for (const std::string& line : settings.schemata) {
      RETURN_IF_ERROR(WriteFile(path, line + "\n"));
    }
    return absl::OkStatus();
  }
  std::vector<std::string> there = ReadLines(path);
  for (const std::string& line : settings.schemata) {
    if (std::find(there.begin(), there.end(), line) != there.end()) continue;
    return absl::FailedPreconditionError(absl::StrCat("linux.intelRdt.closID: ", settings.clos_id,
                                                      " exists already, without \"", line, "\""));
  }
  return absl::OkStatus();
}

absl::Status RemoveGroup(const std::string& path) {
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return SyscallError(errno, absl::StrCat("remove ", path));
}

}  // namespace

absl::Status CheckClosId(absl::string_view clos_id) {
  bool name = clos_id != "." && clos_id != ".." && clos_id != "info" && clos_id != "mon_data" &&
              clos_id != "mon_groups" && clos_id.find('/') == absl::string_view::npos;
  if (name || clos_id == "/") return absl::OkStatus();
  return absl::InvalidArgumentError("no name of a group");
}

absl::StatusOr<std::string> FindMount() {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::vector<std::string> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2 || halves[1].rfind("resctrl ", 0) != 0) continue;
    std::vector<std::string> fields = absl::StrSplit(halves[0], ' ');
    if (fields.size() > 4) return fields[4];
  }
  return absl::UnimplementedError("linux.intelRdt: no resctrl file system is mounted on this host");
}

absl::Status Enter(const std::string& mount, const Settings& settings,
                   const std::string& container_id, pid_t pid) {
  std::string group = GroupOf(mount, settings, container_id);
  bool made = false;
  if (access(group.c_str(), F_OK) < 0) {
    if (!settings.clos_id.empty() && settings.schemata.empty()) {
      return absl::NotFoundError(
          absl::StrCat("linux.intelRdt.closID: there is no group ", settings.clos_id));
    }
    if (mkdir(group.c_str(), 0755) < 0 && errno != EEXIST) {
      return SyscallError(errno, absl::StrCat("linux.intelRdt: make ", group));
    }
    made = true;
  }
  RETURN_IF_ERROR(SetSchemata(group, settings, made));
  RETURN_IF_ERROR(WriteFile(absl::StrCat(group, "/tasks"), absl::StrCat(pid, "\n")));
  if (!settings.monitoring) return absl::OkStatus();
  std::string counted = absl::StrCat(group, "/mon_groups/", container_id);
  if (mkdir(counted.c_str(), 0755) < 0 && errno != EEXIST) {
    return SyscallError(errno, absl::StrCat("linux.intelRdt.enableMonitoring: make ", counted));
  }
  return WriteFile(absl::StrCat(counted, "/tasks"), absl::StrCat(pid, "\n"));
}

absl::Status Leave(const std::string& mount, const Settings& settings,
                   const std::string& container_id) {
  std::string group = GroupOf(mount, settings, container_id);
  if (settings.clos_id.empty()) return RemoveGroup(group);
  if (!settings.monitoring) return absl::OkStatus();
  return RemoveGroup(absl::StrCat(group, "/mon_groups/", container_id));
}

}  // namespace darse::resctrl

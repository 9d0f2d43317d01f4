#include "libs/linux/namespace/id_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/base/unique_fd.h"

extern char** environ;

namespace darse::ns {
namespace {

absl::StatusOr<std::string> ReadProc(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  std::string content;
  char buffer[4096];
  for (ssize_t got; (got = read(file.get(), buffer, sizeof(buffer))) != 0;) {
    if (got < 0) return SyscallError(errno, absl::StrCat("read ", path));
    content.append(buffer, static_cast<size_t>(got));
  }
  return content;
}

absl::Status WriteProc(const std::string& path, const std::string& content) {
  UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  if (write(file.get(), content.data(), content.size()) < 0) {
    return SyscallError(errno, absl::StrCat("write ", path));
  }
  return absl::OkStatus();
}

struct Side {
  const char* file;     // of /proc/<pid>
  const char* program;  // that may map more than oneself
  const char* ranges;   // where it looks
  uint32_t self;
};

absl::Status RunMapper(const Side& side, pid_t pid, const std::vector<IdMapping>& maps) {
  std::vector<std::string> words = {side.program, absl::StrCat(pid)};
  for (const IdMapping& map : maps) {
    for (uint32_t number : {map.container_id, map.host_id, map.size}) {
      words.push_back(absl::StrCat(number));
    }
  }
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t mapper = 0;
  int error = posix_spawnp(&mapper, side.program, nullptr, nullptr, argv.data(), environ);
  if (error != 0) {
    return SyscallError(error, absl::StrCat(side.program,
                                            " (of Debian's package uidmap), which maps "
                                            "more than one's own id"));
  }
  int status = 0;
  while (waitpid(mapper, &status, 0) < 0) {
    if (errno != EINTR) return SyscallError(errno, side.program);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(side.program,
                                                  " refused the id mappings: ", side.ranges,
                                                  " does not give user ", side.self, " these ids"));
}

absl::Status WriteOneMap(const Side& side, pid_t pid, const std::vector<IdMapping>& maps) {
  bool privileged = geteuid() == 0;
  bool self_alone = maps.size() == 1 && maps[0].size == 1 && maps[0].host_id == side.self;
  if (!privileged && !self_alone) return RunMapper(side, pid, maps);
  std::string text;
  for (const IdMapping& map : maps) {
    absl::StrAppend(&text, map.container_id, " ", map.host_id, " ", map.size, "\n");
  }
  return WriteProc(absl::StrCat("/proc/", pid, "/", side.file), text);
}

}  // namespace

std::optional<uint32_t> ToHost(const std::vector<IdMapping>& maps, uint32_t container_id) {
  for (const IdMapping& map : maps) {
    if (container_id >= map.container_id && container_id - map.container_id < map.size) {
      return map.host_id + (container_id - map.container_id);
    }
  }
  return std::nullopt;
}

absl::Status CheckMappings(const std::vector<IdMapping>& maps) {
  if (maps.empty()) return absl::InvalidArgumentError("no id is mapped");
  auto apart = [](uint64_t a, uint64_t b, uint64_t a_size, uint64_t b_size) {
    return a + a_size <= b || b + b_size <= a;
  };
  for (size_t i = 0; i < maps.size(); ++i) {
    const IdMapping& map = maps[i];
    constexpr uint64_t kEnd = 0xffffffff;  // (uid_t)-1 stands for "none"
    if (map.size == 0) return absl::InvalidArgumentError("a mapping of no ids");
    if (uint64_t{map.container_id} + map.size > kEnd || uint64_t{map.host_id} + map.size > kEnd) {
      return absl::InvalidArgumentError("a mapping beyond the last id");
    }
    for (size_t j = 0; j < i; ++j) {
      if (!apart(map.container_id, maps[j].container_id, map.size, maps[j].size) ||
          !apart(map.host_id, maps[j].host_id, map.size, maps[j].size)) {
        return absl::InvalidArgumentError("two mappings overlap");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status WriteIdMaps(pid_t pid, const IdMaps& maps) {
  Side uids = {"uid_map", "newuidmap", "/etc/subuid", geteuid()};
  Side gids = {"gid_map", "newgidmap", "/etc/subgid", getegid()};
  bool self_alone = maps.gids.size() == 1 && maps.gids[0].size == 1;
  if (geteuid() != 0 && self_alone && maps.gids[0].host_id == gids.self) {
    // The kernel's condition: a group must not be left to get around a file's mode.
    RETURN_IF_ERROR(WriteProc(absl::StrCat("/proc/", pid, "/setgroups"), "deny"));
  }
  RETURN_IF_ERROR(WriteOneMap(uids, pid, maps.uids));
  return WriteOneMap(gids, pid, maps.gids);
}

absl::StatusOr<std::vector<IdMapping>> ParseIdMap(absl::string_view text) {
  std::vector<IdMapping> maps;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    IdMapping map;
    if (words.size() != 3 || !absl::SimpleAtoi(words[0], &map.container_id) ||
        !absl::SimpleAtoi(words[1], &map.host_id) || !absl::SimpleAtoi(words[2], &map.size)) {
      return absl::InvalidArgumentError(absl::StrCat("id map: not three numbers: ", line));
    }
    maps.push_back(map);
  }
  return maps;
}

absl::StatusOr<IdMaps> ReadIdMaps(pid_t pid) {
  IdMaps maps;
  ASSIGN_OR_RETURN(std::string uids, ReadProc(absl::StrCat("/proc/", pid, "/uid_map")));
  ASSIGN_OR_RETURN(maps.uids, ParseIdMap(uids));
  ASSIGN_OR_RETURN(std::string gids, ReadProc(absl::StrCat("/proc/", pid, "/gid_map")));
  ASSIGN_OR_RETURN(maps.gids, ParseIdMap(gids));
  return maps;
}

}  // namespace darse::ns

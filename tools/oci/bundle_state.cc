#include "tools/oci/bundle_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "rapidjson/document.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"

namespace darse::ocitool {
namespace {

// Of a socket in a directory of any length.
absl::StatusOr<sockaddr_un> GateAddress(const UniqueFd& directory) {
  if (!directory.valid()) return SyscallError(errno, "open the state directory");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::string path = absl::StrCat("/proc/self/fd/", directory.get(), "/start.sock");
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

UniqueFd OpenDirectory(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return SyscallError(errno, absl::StrCat("open ", path));
  std::string content;
  char buffer[8192];
  for (ssize_t got; (got = read(file.get(), buffer, sizeof(buffer))) != 0;) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SyscallError(errno, absl::StrCat("read ", path));
    content.append(buffer, static_cast<size_t>(got));
  }
  return content;
}

absl::Status WriteFile(const std::string& path, const std::string& content) {
  std::string temporary = absl::StrCat(path, ".new");
  UniqueFd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid() ||
      write(file.get(), content.data(), content.size()) != ssize_t(content.size()) ||
      rename(temporary.c_str(), path.c_str()) < 0) {
    return SyscallError(errno, absl::StrCat("write ", path));
  }
  return absl::OkStatus();
}

uint64_t ProcessStartTime(int64_t pid) {
  absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!stat.ok()) return 0;
  size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return 0;
  std::vector<std::string> fields = absl::StrSplit(stat->substr(name_end + 2), ' ');
  uint64_t start = 0;
  bool dead = fields[0] == "Z" || fields[0] == "X";
  if (dead || fields.size() < 20 || !absl::SimpleAtoi(fields[19], &start)) return 0;
  return start;
}

std::string NowRfc3339() {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", absl::Now(), absl::UTCTimeZone());
}

absl::Status StateDirectory::CheckId(const std::string& id) {
  constexpr char kAllowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";
  if (id.empty() || id.find_first_not_of(kAllowed) != std::string::npos || id == "." ||
      id == "..") {
    return absl::InvalidArgumentError(
        absl::StrCat("container id \"", id, "\": not of [a-zA-Z0-9_+-.]"));
  }
  return absl::OkStatus();
}

std::string StateDirectory::Path(const std::string& id, const std::string& file) const {
  return file.empty() ? absl::StrCat(root_, "/", id) : absl::StrCat(root_, "/", id, "/", file);
}

absl::Status StateDirectory::Create(const std::string& id) {
  RETURN_IF_ERROR(CheckId(id));
  for (size_t slash = root_.find('/', 1); slash != std::string::npos;
       slash = root_.find('/', slash + 1)) {
    mkdir(root_.substr(0, slash).c_str(), 0755);
  }
  if (mkdir(root_.c_str(), 0711) < 0 && errno != EEXIST) {
    return SyscallError(errno, absl::StrCat("mkdir ", root_));
  }
  if (mkdir(Path(id).c_str(), 0711) == 0) return absl::OkStatus();
  if (errno != EEXIST) return SyscallError(errno, absl::StrCat("mkdir ", Path(id)));
  return absl::AlreadyExistsError(absl::StrCat("container ", id, ": exists already"));
}

absl::Status StateDirectory::Write(const BundleState& state, const std::string& config_json) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  auto text = [&](const char* key, const std::string& value) {
    writer.Key(key);
    writer.String(value);
  };
  writer.StartObject();
  text("id", state.id);
  text("bundle", state.bundle);
  text("created", state.created);
  text("cgroup_path", state.cgroup_path);
  writer.Key("pid");
  writer.Int64(state.pid);
  writer.Key("pid_start_time");
  writer.Uint64(state.pid_start_time);
  writer.Key("own_pid_namespace");
  writer.Bool(state.own_pid_namespace);
  writer.Key("systemd_cgroup");
  writer.Bool(state.systemd_cgroup);
  writer.EndObject();
  RETURN_IF_ERROR(WriteFile(Path(state.id, "config.json"), config_json));
  return WriteFile(Path(state.id, "state.json"), buffer.GetString());
}

absl::StatusOr<BundleState> StateDirectory::Read(const std::string& id) const {
  RETURN_IF_ERROR(CheckId(id));
  absl::StatusOr<std::string> json = ReadFile(Path(id, "state.json"));
  if (!json.ok()) return absl::NotFoundError(absl::StrCat("container ", id, ": does not exist"));
  rapidjson::Document document;
  document.Parse(json->c_str());
  auto bad = [&] { return absl::DataLossError(absl::StrCat(Path(id, "state.json"), ": damaged")); };
  if (document.HasParseError() || !document.IsObject()) return bad();
  for (const char* key : {"id", "bundle", "created", "cgroup_path"}) {
    if (!document.HasMember(key) || !document[key].IsString()) return bad();
  }
  if (!document.HasMember("pid") || !document["pid"].IsInt64() ||
      !document.HasMember("pid_start_time") || !document["pid_start_time"].IsUint64() ||
      !document.HasMember("own_pid_namespace") || !document["own_pid_namespace"].IsBool()) {
    return bad();
  }
  // Missing in what an older darse-oci wrote.
  auto systemd = document.FindMember("systemd_cgroup");
  return BundleState{.id = document["id"].GetString(),
                     .bundle = document["bundle"].GetString(),
                     .created = document["created"].GetString(),
                     .cgroup_path = document["cgroup_path"].GetString(),
                     .pid = document["pid"].GetInt64(),
                     .pid_start_time = document["pid_start_time"].GetUint64(),
                     .own_pid_namespace = document["own_pid_namespace"].GetBool(),
                     .systemd_cgroup = systemd != document.MemberEnd() && systemd->value.IsBool() &&
                                       systemd->value.GetBool()};
}

absl::StatusOr<container::Spec> StateDirectory::ReadSpec(const std::string& id) const {
  ASSIGN_OR_RETURN(std::string json, ReadFile(Path(id, "config.json")));
  return container::ParseSpec(json);
}

std::vector<std::string> StateDirectory::List() const {
  std::vector<std::string> ids;
  DIR* directory = opendir(root_.c_str());
  if (directory == nullptr) return ids;
  while (dirent* entry = readdir(directory)) {
    std::string name = entry->d_name;
    if (access(Path(name, "state.json").c_str(), F_OK) == 0 && CheckId(name).ok())
      ids.push_back(name);
  }
  closedir(directory);
  std::sort(ids.begin(), ids.end());
  return ids;
}

void StateDirectory::Remove(const std::string& id) {
  for (const char* file : {"state.json", "state.json.new", "config.json", "config.json.new",
                           "start.sock", "restore.pid"}) {
    unlink(Path(id, file).c_str());
  }
  rmdir(Path(id).c_str());
}

absl::StatusOr<UniqueFd> StateDirectory::ListenAtGate(const std::string& id) {
  UniqueFd directory = OpenDirectory(Path(id));
  ASSIGN_OR_RETURN(sockaddr_un address, GateAddress(directory));
  UniqueFd gate(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!gate.valid()) return SyscallError(errno, "socket");
  mode_t before = umask(0177);
  int bound = bind(gate.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  umask(before);
  if (bound < 0 || listen(gate.get(), 1) < 0) return SyscallError(errno, "listen at start.sock");
  return gate;
}

absl::StatusOr<UniqueFd> StateDirectory::OpenGate(const std::string& id) {
  UniqueFd directory = OpenDirectory(Path(id));
  ASSIGN_OR_RETURN(sockaddr_un address, GateAddress(directory));
  UniqueFd gate(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!gate.valid()) return SyscallError(errno, "socket");
  if (connect(gate.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
    return SyscallError(errno, "connect to the waiting process");
  }
  return gate;
}

void StateDirectory::CloseGate(const std::string& id) { unlink(Path(id, "start.sock").c_str()); }

std::string StateDirectory::Status(const BundleState& state, cgroup::CgroupDriver* cgroups) const {
  if (state.pid == 0 || ProcessStartTime(state.pid) != state.pid_start_time) return "stopped";
  if (cgroups != nullptr && cgroups->IsFrozen(state.cgroup_path).value_or(false)) return "paused";
  return access(Path(state.id, "start.sock").c_str(), F_OK) == 0 ? "created" : "running";
}

}  // namespace darse::ocitool

#include "tools/oci/criu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/base/unique_fd.h"
#include "libs/os/spawn.h"
#include "rapidjson/document.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"
#include "tools/oci/bundle_state.h"

namespace darse::ocitool {
namespace {

constexpr char kNotInstalled[] = "criu is not installed (Debian has it as package criu)";

std::string WithoutEndSlash(absl::string_view path) {
  while (path.size() > 1 && absl::ConsumeSuffix(&path, "/")) {
  }
  return std::string(path);
}

bool IsBelow(const std::string& path, const std::string& directory) {
  return path == directory || absl::StartsWith(path, directory + "/");
}

// mountinfo writes a space, tab, newline and backslash as \ooo.
std::string Unescape(absl::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    bool escape = text[i] == '\\' && i + 3 < text.size();
    if (escape) {
      int value = 0;
      for (size_t digit = i + 1; digit <= i + 3; ++digit) value = value * 8 + (text[digit] - '0');
      plain.push_back(static_cast<char>(value));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

// The last lines of criu's log that say what went wrong.
std::string ErrorsIn(const std::string& log) {
  constexpr size_t kLines = 3;
  std::vector<std::string> errors;
  for (absl::string_view line : absl::StrSplit(ReadFile(log).value_or(""), '\n')) {
    size_t at = line.find("Error (");
    size_t text = at == line.npos ? at : line.find("): ", at);
    if (text != line.npos) errors.emplace_back(line.substr(text + 3));
  }
  if (errors.size() > kLines) errors.erase(errors.begin(), errors.end() - kLines);
  return absl::StrJoin(errors, "; ");
}

}  // namespace

std::vector<MountLine> ParseMountLines(absl::string_view mountinfo) {
  std::vector<MountLine> mounts;
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    if (words.size() < 5) continue;
    mounts.push_back({std::string(words[2]), Unescape(words[3]), Unescape(words[4])});
  }
  return mounts;
}

std::vector<std::string> ExternalMounts(const std::vector<MountLine>& mounts,
                                        const container::Spec& spec) {
  std::set<std::string> whole;
  for (const MountLine& mount : mounts) {
    if (mount.root == "/" && mount.point != "/") whole.insert(mount.device);
  }
  std::vector<std::string> external;
  for (const MountLine& mount : mounts) {
    if (mount.point == "/") continue;
    bool bound = false;
    for (const container::MountEntry& entry : spec.mounts) {
      bound |= entry.options.bind && IsBelow(mount.point, WithoutEndSlash(entry.destination));
    }
    if (bound || !whole.contains(mount.device)) external.push_back(mount.point);
  }
  return external;
}

absl::StatusOr<std::string> SourceOf(const std::string& mount_point, const container::Spec& spec,
                                     const std::string& bundle,
                                     const std::map<std::string, std::string>& cgroups) {
  if (auto found = cgroups.find(mount_point); found != cgroups.end()) return found->second;
  std::string best, source;
  for (const container::MountEntry& entry : spec.mounts) {
    std::string destination = WithoutEndSlash(entry.destination);
    if (!entry.options.bind || !IsBelow(mount_point, destination)) continue;
    if (destination.size() < best.size()) continue;
    best = destination;
    source = absl::StartsWith(entry.source, "/") ? entry.source
                                                 : absl::StrCat(bundle, "/", entry.source);
  }
  if (!best.empty()) return absl::StrCat(source, mount_point.substr(best.size()));
  const std::vector<std::string>& masked = spec.masked_paths;
  if (std::find(masked.begin(), masked.end(), mount_point) != masked.end()) {
    return std::string("/dev/null");
  }
  // Nodes, where a user namespace may not make any.
  if (absl::StartsWith(mount_point, "/dev/")) return mount_point;
  return absl::NotFoundError(absl::StrCat("restore: config.json mounts nothing at ", mount_point,
                                          ", where the checkpoint has something of its host"));
}

std::string EncodeNotes(const CheckpointNotes& notes) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  auto list = [&](const char* key, const std::vector<std::string>& values) {
    writer.Key(key);
    writer.StartArray();
    for (const std::string& value : values) writer.String(value);
    writer.EndArray();
  };
  writer.StartObject();
  list("external_mounts", notes.external_mounts);
  list("stdio", notes.stdio);
  writer.Key("network_by_path");
  writer.Bool(notes.network_by_path);
  writer.EndObject();
  return buffer.GetString();
}

absl::StatusOr<CheckpointNotes> DecodeNotes(const std::string& json) {
  rapidjson::Document document;
  document.Parse(json.c_str());
  CheckpointNotes notes;
  bool good = !document.HasParseError() && document.IsObject();
  auto list = [&](const char* key, std::vector<std::string>& into) {
    good = good && document.HasMember(key) && document[key].IsArray();
    if (!good) return;
    for (const auto& value : document[key].GetArray()) {
      good = good && value.IsString();
      if (good) into.emplace_back(value.GetString());
    }
  };
  list("external_mounts", notes.external_mounts);
  list("stdio", notes.stdio);
  good = good && document.HasMember("network_by_path") && document["network_by_path"].IsBool();
  if (!good) return absl::DataLossError("darse.json: not what a checkpoint of darse-oci has");
  notes.network_by_path = document["network_by_path"].GetBool();
  return notes;
}

absl::StatusOr<int> CriuVersion() {
  absl::StatusOr<ProgramOutput> output =
      RunProgram({.program = "criu", .args = {"--version"}}, "", absl::Seconds(10));
  if (absl::IsNotFound(output.status())) return absl::NotFoundError(kNotInstalled);
  RETURN_IF_ERROR(output.status());
  absl::string_view text = output->out;
  int version = 0, parts = 0;
  if (size_t at = text.find("Version: "); at != text.npos) {
    std::vector<absl::string_view> words = absl::StrSplit(text.substr(at + 9), '\n');
    for (absl::string_view part : absl::StrSplit(words[0], '.')) {
      int number = 0;
      if (parts++ == 3 || !absl::SimpleAtoi(part, &number)) break;
      version = version * 100 + number;
    }
  }
  for (; parts < 3; ++parts) version *= 100;
  return version;
}

absl::Status RunCriu(const std::vector<std::string>& args,
                     const std::vector<std::pair<int, int>>& fds, const std::string& log,
                     const std::function<absl::Status(pid_t)>& before) {
  constexpr int kNoProgram = 127;
  std::vector<char*> words = {const_cast<char*>("criu")};
  for (const std::string& arg : args) words.push_back(const_cast<char*>(arg.c_str()));
  words.push_back(nullptr);
  int gate[2];
  if (pipe2(gate, O_CLOEXEC) < 0) return SyscallError(errno, "pipe");
  UniqueFd wait_for(gate[0]), go(gate[1]);
  pid_t pid = fork();
  if (pid < 0) return SyscallError(errno, "fork");
  if (pid == 0) {
    go.Reset();
    char letter = 0;
    if (read(wait_for.get(), &letter, 1) != 1) _exit(1);
    for (const auto& [here, there] : fds) dup2(here, there);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execvp(words[0], words.data());
    _exit(errno == ENOENT ? kNoProgram : 126);
  }
  absl::Status ready = before == nullptr ? absl::OkStatus() : before(pid);
  if (ready.ok() && write(go.get(), "", 1) != 1) ready = SyscallError(errno, "pipe");
  go.Reset();
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  RETURN_IF_ERROR(ready);
  if (status == 0) return absl::OkStatus();
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoProgram) {
    return absl::NotFoundError(kNotInstalled);
  }
  return absl::FailedPreconditionError(absl::StrCat("criu ", args.empty() ? "" : args[0], ": ",
                                                    ErrorsIn(log), " (the whole log: ", log, ")"));
}

}  // namespace darse::ocitool

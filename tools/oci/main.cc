// darse-oci: libs/container behind the command line of runc.
//   darse-oci [--root DIR] [--log FILE] [--log-format text|json] COMMAND [flags] [arguments]
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/cgroup/no_cgroups.h"
#include "libs/linux/cgroup/systemd_cgroup_driver.h"
#include "libs/linux/mount/sealed_program.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"
#include "tools/oci/bundle_state.h"
#include "tools/oci/flags.h"
#include "tools/oci/verbs.h"

namespace darse::ocitool {
namespace {

using Verb = absl::StatusOr<int> (*)(const Globals&, const Args&);

const std::map<std::string, Verb>& Verbs() {
  static const std::map<std::string, Verb> kVerbs = {
      {"create", Create},  {"run", Run},           {"start", Start},     {"kill", Kill},
      {"delete", Delete},  {"exec", Exec},         {"state", ShowState}, {"list", List},
      {"ps", Ps},          {"pause", Pause},       {"resume", Resume},   {"update", Update},
      {"events", Events},  {"features", Features}, {"spec", MakeSpec},   {"checkpoint", Checkpoint},
      {"restore", Restore}};
  return kVerbs;
}

constexpr char kUsage[] =
    "usage: darse-oci [--root DIR] [--log FILE] [--log-format text|json] [--debug]\n"
    "                 [--systemd-cgroup] [--rootless true|false|auto] COMMAND ...\n"
    "commands: create start state kill delete run exec list ps pause resume update events\n"
    "          checkpoint restore features spec\n";

// What containerd and Docker read back after a failure.
void LogError(const Flags& flags, const std::string& message) {
  std::string path = flags.Value("log");
  fprintf(stderr, "darse-oci: %s\n", message.c_str());
  if (path.empty()) return;
  std::string line;
  if (flags.Value("log-format", "text") == "json") {
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
    writer.StartObject();
    writer.Key("level");
    writer.String("error");
    writer.Key("msg");
    writer.String(message);
    writer.Key("time");
    writer.String(NowRfc3339());
    writer.EndObject();
    line = absl::StrCat(buffer.GetString(), "\n");
  } else {
    line = absl::StrCat("time=\"", NowRfc3339(), "\" level=error msg=\"", message, "\"\n");
  }
  UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (file.valid() && write(file.get(), line.data(), line.size()) < 0) perror(path.c_str());
}

// Docker and containerd find out from runc's words whether a command was missing (127) or not
// executable (126).
std::string InRuncsWords(const absl::Status& status) {
  std::string message(status.message());
  std::string reason = Reason(status);
  if (reason == "COMMAND_NOT_FOUND" && !absl::StrContains(message, "no such file or directory")) {
    return message + ": executable file not found in $PATH";
  }
  if (reason == "COMMAND_NOT_EXECUTABLE" && !absl::StrContains(message, "permission denied")) {
    return message + ": permission denied";
  }
  return message;
}

std::string DefaultRoot(bool rootless) {
  const char* run = getenv("XDG_RUNTIME_DIR");
  return absl::StrCat(rootless && run != nullptr ? run : "/run", "/darse-oci");
}

int Main(const Args& args) {
  absl::StatusOr<Flags> flags = ParseFlags(args, {"root", "log", "log-format", "rootless"},
                                           {"debug", "systemd-cgroup", "v=version", "h=help"});
  if (!flags.ok()) {
    fprintf(stderr, "darse-oci: %s\n%s", std::string(flags.status().message()).c_str(), kUsage);
    return 1;
  }
  if (flags->Has("version")) {
    printf("darse-oci version 0.1.0\nspec: %s\n", kSpecVersion);
    return 0;
  }
  if (flags->Has("help") || flags->positional.empty()) {
    fputs(kUsage, flags->Has("help") ? stdout : stderr);
    return flags->Has("help") ? 0 : 1;
  }
  auto refuse = [&](const std::string& why) {
    LogError(*flags, why);
    return 1;
  };
  std::string rootless = flags->Value("rootless", "auto");
  if (rootless != "auto" && rootless != "true" && rootless != "false") {
    return refuse("--rootless: true, false or auto");
  }
  std::string name = flags->positional[0];
  auto verb = Verbs().find(name);
  if (verb == Verbs().end()) return refuse(absl::StrCat("unknown command ", name, "\n", kUsage));
  Globals globals = {.rootless = rootless == "auto" ? geteuid() != 0 : rootless == "true",
                     .systemd_cgroup = flags->Has("systemd-cgroup")};
  if (globals.rootless && globals.systemd_cgroup) {
    return refuse("--systemd-cgroup: a rootless container has no cgroup");
  }
  globals.root = flags->Value("root", DefaultRoot(globals.rootless));
  absl::StatusOr<int> done =
      verb->second(globals, Args(flags->positional.begin() + 1, flags->positional.end()));
  if (done.ok()) return *done;
  LogError(*flags, absl::StrCat(name, ": ", InRuncsWords(done.status())));
  // As runc: exec tells its own failures from the command's exit codes.
  return name == "exec" ? 255 : 1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<cgroup::CgroupDriver>> OpenCgroups(const Globals& globals) {
  if (globals.rootless) return cgroup::NoCgroups();
  ASSIGN_OR_RETURN(std::unique_ptr<cgroup::CgroupDriver> kernel, cgroup::OpenHostCgroups());
  if (!globals.systemd_cgroup) return kernel;
  return std::make_unique<cgroup::SystemdCgroupDriver>(std::move(kernel),
                                                       systemd::ConnectToSystemd);
}

absl::StatusOr<std::unique_ptr<cgroup::CgroupDriver>> OpenCgroups(const Globals& globals,
                                                                  const BundleState& state) {
  Globals as_made = globals;
  as_made.systemd_cgroup = state.systemd_cgroup;
  return OpenCgroups(as_made);
}

}  // namespace darse::ocitool

int main(int argc, char** argv) {
  if (absl::Status sealed = darse::mnt::StaySealed(argv, "darse-oci"); !sealed.ok()) {
    fprintf(stderr, "darse-oci: %s\n", std::string(sealed.message()).c_str());
    return 1;
  }
  if (argc == 1 && darse::ocitool::IsRestoreScript()) {
    absl::Status ran = darse::ocitool::RunRestoreScript();
    if (!ran.ok()) fprintf(stderr, "darse-oci: %s\n", std::string(ran.message()).c_str());
    return ran.ok() ? 0 : 1;
  }
  return darse::ocitool::Main(darse::ocitool::Args(argv + 1, argv + argc));
}

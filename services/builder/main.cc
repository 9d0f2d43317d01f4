// darse-builder: images from Dockerfiles. See README.md.
#include <sys/random.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "libs/base/clock.h"
#include "libs/base/log.h"
#include "libs/os/files.h"
#include "libs/os/idle_memory.h"
#include "libs/os/process_identity.h"
#include "libs/os/stop_signal.h"
#include "libs/settings/settings.h"
#include "services/builder/builder_server.h"

namespace {

// 12 hex digits.
std::string NewId() {
  char bytes[6];
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) abort();
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

int Fail(const absl::Status& status) {
  darse::Log(darse::LogLevel::kError, "cannot start", {{"error", std::string(status.message())}});
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  darse::InitLog("builder", darse::LogLevel::kInfo);
  absl::StatusOr<darse::Settings> settings = darse::LoadSettings(argc, argv, environ);
  if (!settings.ok()) return Fail(settings.status());
  if (settings->show_help) {
    fputs(darse::SettingsHelp("darse-builder").c_str(), stdout);
    return 0;
  }
  if (settings->show_version) {
    puts("darse-builder 0.1");
    return 0;
  }
  darse::InitLog("builder", settings->log_level);
  darse::ShareOneHeap();
  darse::StopSignal stop;
  darse::RealClock clock;
  auto server = darse::builder::BuilderServer::Start(*settings, clock, NewId);
  if (!server.ok()) return Fail(server.status());
  std::string pid_file = settings->PidPath("builder");
  if (absl::Status written = darse::WriteOwnPidFile(pid_file); !written.ok()) return Fail(written);
  darse::Log(darse::LogLevel::kInfo, "ready", {{"socket", settings->SocketPath("builder")}});
  stop.Wait(darse::ReleaseIdleMemory);
  darse::Log(darse::LogLevel::kInfo, "stopping");
  server->reset();
  darse::RemoveFile(pid_file).IgnoreError();
  return 0;
}

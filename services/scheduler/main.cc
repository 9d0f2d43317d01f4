// darse-scheduler: keeps stacks as they are wanted.
#include <unistd.h>

#include <cstdio>

#include "libs/base/clock.h"
#include "libs/base/log.h"
#include "libs/os/files.h"
#include "libs/os/idle_memory.h"
#include "libs/os/process_identity.h"
#include "libs/os/stop_signal.h"
#include "libs/settings/settings.h"
#include "services/scheduler/scheduler_server.h"

namespace {

int Fail(const absl::Status& status, int code) {
  darse::Log(darse::LogLevel::kError, "not started", {{"why", std::string(status.message())}});
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  darse::ShareOneHeap();
  darse::StopSignal stop;
  absl::StatusOr<darse::Settings> settings = darse::LoadSettings(argc, argv, environ);
  darse::InitLog("scheduler", settings.ok() ? settings->log_level : darse::LogLevel::kInfo);
  if (!settings.ok()) return Fail(settings.status(), 2);
  if (settings->show_help) {
    std::fputs(darse::SettingsHelp("darse-scheduler").c_str(), stdout);
    return 0;
  }
  if (settings->show_version) {
    std::puts("darse-scheduler 0.1");
    return 0;
  }
  if (!settings->arguments.empty()) {
    return Fail(absl::InvalidArgumentError("unexpected argument " + settings->arguments[0]), 2);
  }
  darse::RealClock clock;
  auto server = darse::scheduler::SchedulerServer::Start(*settings, clock);
  if (!server.ok()) return Fail(server.status(), 1);
  std::string pid_path = settings->PidPath("scheduler");
  absl::Status written = darse::WriteOwnPidFile(pid_path);
  if (!written.ok()) return Fail(written, 1);
  stop.Wait(darse::ReleaseIdleMemory);
  darse::Log(darse::LogLevel::kInfo, "stopping");
  server->reset();
  darse::RemoveFile(pid_path).IgnoreError();
  return 0;
}

// darse-runtime: containers, images, volumes and networks of one node, over gRPC on a unix socket.
#include <cstdio>

#include "libs/base/clock.h"
#include "libs/base/log.h"
#include "libs/os/idle_memory.h"
#include "libs/os/stop_signal.h"
#include "libs/settings/settings.h"
#include "services/runtime/node/node_engine.h"
#include "services/runtime/runtime_server.h"

int main(int argc, char** argv) {
  absl::StatusOr<darse::Settings> settings = darse::LoadSettings(argc, argv, environ);
  if (!settings.ok() || !settings->arguments.empty()) {
    std::string why = settings.ok() ? "it takes no arguments" : settings.status().ToString();
    std::fprintf(stderr, "darse-runtime: %s\n", why.c_str());
    return 2;
  }
  if (settings->show_help) {
    std::fputs(darse::SettingsHelp("darse-runtime").c_str(), stdout);
    return 0;
  }
  if (settings->show_version) {
    std::printf("darse-runtime %s\n", darse::runtime::kVersion);
    return 0;
  }
  darse::InitLog("runtime", settings->log_level);
  // Before any thread.
  darse::ShareOneHeap();
  darse::StopSignal stop;
  darse::RealClock clock;
  absl::StatusOr<std::unique_ptr<darse::runtime::RuntimeServer>> server =
      darse::runtime::RuntimeServer::Start(*settings, clock);
  if (!server.ok()) {
    darse::Log(darse::LogLevel::kError, "not started", {{"why", server.status().ToString()}});
    return 1;
  }
  darse::Log(darse::LogLevel::kInfo, "serving",
             {{"socket", settings->SocketPath("runtime")}, {"root", settings->root}});
  stop.Wait(darse::ReleaseIdleMemory);
  darse::Log(darse::LogLevel::kInfo, "stopping; containers go on");
  (*server)->Stop(absl::Seconds(2));
  return 0;
}

#include "services/metrics/metrics_server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"
#include "services/metrics/exposition/prometheus.h"
#include "services/metrics/schema.h"

namespace darse::metrics {
namespace {

constexpr absl::Duration kGrace = absl::Milliseconds(500);

std::string MetricsText(const FrameHub& hub) {
  FrameHub::Newest newest = hub.newest();
  return newest.frame == nullptr ? std::string() : FormatPrometheus(*newest.frame);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const Settings& settings,
                                                                    Clock& clock) {
  std::unique_ptr<MetricsServer> server(new MetricsServer());
  std::string state = settings.StateDirectory("metrics");
  RETURN_IF_ERROR(MakeDirectories(state, 0700));
  RETURN_IF_ERROR(MakeDirectories(settings.run));
  ASSIGN_OR_RETURN(server->db_, sqlite::Database::Open(JoinPath(state, "metrics.db"), kMigrations,
                                                       {.durable = false}));
  if (server->db_->was_damaged()) {
    Log(LogLevel::kError, "damaged database set aside, history begins anew",
        {{"directory", state}});
  }
  server->runtime_link_ = std::make_unique<rpc::PeerLink>(
      rpc::PeerLink::Options{.peer = "runtime", .socket_path = settings.SocketPath("runtime")},
      clock);
  server->runtime_ = std::make_unique<RuntimeGrpcClient>(*server->runtime_link_);
  server->runtime_link_->OnChange([client = server->runtime_.get()](bool present) {
    Log(LogLevel::kInfo, present ? "runtime is there" : "runtime is missing");
    if (!present) client->BreakWatch();
  });
  server->history_ =
      std::make_unique<HistoryEngine>(*server->db_, settings.metrics_database_limit_bytes);
  ASSIGN_OR_RETURN(server->runtime_loop_,
                   RuntimeLoop::Start(*server->db_, *server->runtime_, clock));

  ASSIGN_OR_RETURN(std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  auto missing_since = [link = server->runtime_link_.get()] { return link->MissingSince(); };
  RuntimeLoop* loop = server->runtime_loop_.get();
  server->sample_loop_ = std::make_unique<SampleLoop>(
      Sampler(FindCgroupMounts(mountinfo), HostReader("/proc", "/sys", settings.root)),
      SampleLoop::Inputs{.containers = [loop] { return loop->containers(); },
                         .runtime_missing_since = missing_since},
      server->hub_, *server->history_, clock);
  if (!settings.metrics_http.empty()) {
    auto http =
        HttpLoop::Start(settings.metrics_http, [hub = &server->hub_] { return MetricsText(*hub); });
    // Sampling goes on without it.
    if (http.ok()) {
      server->http_ = *std::move(http);
    } else {
      Log(LogLevel::kError, "/metrics is not served",
          {{"why", std::string(http.status().message())}});
    }
  }
  std::string http_address = server->http_ == nullptr ? "" : server->http_->address();
  server->rpc_ = std::make_unique<MetricsRpc>(
      server->hub_, *server->history_, *server->db_,
      MetricsRpc::Inputs{.event_sequence = [loop] { return loop->cursor(); },
                         .runtime_missing_since = missing_since,
                         .http_address = http_address});
  ASSIGN_OR_RETURN(
      server->server_,
      rpc::Server::Start({.socket_path = settings.SocketPath("metrics")}, {server->rpc_.get()}));
  Log(LogLevel::kInfo, "serving",
      {{"socket", settings.SocketPath("metrics")}, {"http", http_address}});
  return server;
}

MetricsServer::~MetricsServer() {
  // What it calls goes before it.
  if (runtime_link_ != nullptr) runtime_link_->OnChange(nullptr);
  if (server_ != nullptr) server_->Stop(kGrace);
}

}  // namespace darse::metrics

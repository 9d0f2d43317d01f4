// darse-dns: listens on the gateways that the names files tell, answers containers' names and
// forwards the rest.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/unique_fd.h"
#include "services/resolver/forwarder.h"
#include "services/resolver/names.h"
#include "services/resolver/poller.h"

namespace darse::resolver {

struct ResolverOptions {
  // Where the names files lie; made if missing. The resolver ends when it is deleted.
  std::string names_directory;
  std::string resolv_conf = "/etc/resolv.conf";
};

// One thread only.
class ResolverLoop {
 public:
  ResolverLoop(ResolverOptions options, Clock& clock);

  absl::Status Start();
  // Until the names directory is deleted or `stop_fd` becomes readable.
  void Run(int stop_fd);

 private:
  // A gateway with its two sockets.
  struct Listener {
    UniqueFd udp;
    UniqueFd tcp;
    uint64_t udp_key = 0;
    uint64_t tcp_key = 0;
  };
  // A client over TCP, whose queries are answered in the order in which answers come.
  struct Connection {
    UniqueFd fd;
    uint64_t key = 0;
    uint32_t source = 0;
    uint32_t gateway = 0;
    std::string in;
    std::string out;
    // Queries that are being asked elsewhere.
    int open = 0;
    absl::Time deadline;
  };

  // Takes in the changes of names files that have happened by now: a container's first query may
  // come right after them.
  void ReadChanges();
  void ReadNames(const std::string& file);
  void ReadAllNames();
  void ReadResolvConf();

  // Brings the sockets into agreement with the gateways; what cannot be bound is tried again.
  void SyncListeners();
  bool Listen(uint32_t gateway);
  void Unlisten(uint32_t gateway);
  void OnUdp(uint32_t gateway);
  void OnAccept(uint32_t gateway);
  void OnConnection(uint64_t number, uint32_t events);
  void WriteConnection(uint64_t number, absl::string_view answer);
  void FlushConnection(uint64_t number);
  void CloseConnection(uint64_t number);
  void CloseIdle();

  // Calls `reply` now or later, with "" for no answer at all.
  void Handle(absl::string_view packet, uint32_t source, uint32_t gateway, bool over_tcp,
              std::function<void(std::string)> reply);
  std::string AnswerFromNames(const Query& query, absl::string_view packet, const Client& client,
                              size_t limit);
  absl::Duration Timeout() const;

  const ResolverOptions options_;
  Clock& clock_;
  Poller poller_;
  Forwarder forwarder_;
  NameTable table_;
  UniqueFd inotify_;
  bool stopped_ = false;
  std::map<uint32_t, Listener> listeners_;
  // Some gateway could not be bound.
  bool listen_again_ = false;
  uint64_t last_connection_ = 0;
  std::map<uint64_t, Connection> connections_;
  std::vector<std::string> servers_;
  absl::Time servers_read_ = absl::InfinitePast();
  // For turning answers of several addresses round.
  uint32_t turn_ = 0;
};

}  // namespace darse::resolver

// The connections to `shim.sock`.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "libs/base/unique_fd.h"
#include "services/shim/poller.h"
#include "services/shim/protocol.h"

namespace darse::shim {

using ClientId = uint64_t;

// One thread only.
class ClientHub {
 public:
  using OnRequest = std::function<void(ClientId, const Request&, std::vector<UniqueFd>)>;

  ClientHub(Poller& poller, OnRequest on_request)
      : poller_(poller), on_request_(std::move(on_request)) {}

  // Makes `shim.sock` in the working directory, in the place of one that is left over.
  absl::Status Listen();
  // A connection that was made otherwise (SOCK_SEQPACKET).
  ClientId Adopt(UniqueFd socket);
  // To one client, with an fd if `fd` >= 0. Nothing happens if it has gone.
  void Send(ClientId client, const Message& message, int fd = -1);
  void Subscribe(ClientId client);
  void Broadcast(const Message& message);
  bool HasUnsent() const;

 private:
  struct Queued {
    std::string bytes;
    UniqueFd fd;
  };
  struct Client {
    UniqueFd socket;
    bool subscribed = false;
    std::deque<Queued> queue;
  };

  void OnConnection();
  void OnReady(ClientId id, uint32_t events);
  // False when the client must go.
  bool Flush(Client& client);
  void Drop(ClientId id);

  static constexpr size_t kLongestQueue = 256;
  static constexpr size_t kMostClients = 32;

  Poller& poller_;
  const OnRequest on_request_;
  UniqueFd listener_;
  ClientId next_id_ = 1;
  std::map<ClientId, Client> clients_;
};

}  // namespace darse::shim

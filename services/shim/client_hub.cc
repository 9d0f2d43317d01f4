#include "services/shim/client_hub.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libs/base/syscall_error.h"
#include "services/shim/packet.h"

namespace darse::shim {

absl::Status ClientHub::Listen() {
  listener_.Reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_.valid()) return SyscallError(errno, "socket");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, "shim.sock");
  unlink(address.sun_path);
  mode_t before = umask(0177);
  int bound = bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  umask(before);
  if (bound < 0) return SyscallError(errno, "bind shim.sock");
  if (listen(listener_.get(), 16) < 0) return SyscallError(errno, "listen");
  poller_.Add(listener_.get(), EPOLLIN, [this](uint32_t) { OnConnection(); });
  return absl::OkStatus();
}

void ClientHub::OnConnection() {
  UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket.valid() && clients_.size() < kMostClients) Adopt(std::move(socket));
}

ClientId ClientHub::Adopt(UniqueFd socket) {
  ClientId id = next_id_++;
  int fd = socket.get();
  fcntl(fd, F_SETFL, O_NONBLOCK);
  clients_[id].socket = std::move(socket);
  poller_.Add(fd, EPOLLIN, [this, id](uint32_t events) { OnReady(id, events); });
  return id;
}

void ClientHub::Drop(ClientId id) {
  auto found = clients_.find(id);
  if (found == clients_.end()) return;
  poller_.Remove(found->second.socket.get());
  clients_.erase(found);
}

void ClientHub::OnReady(ClientId id, uint32_t events) {
  Client& client = clients_.at(id);
  if ((events & EPOLLOUT) && !Flush(client)) return Drop(id);
  if ((events & ~EPOLLOUT) == 0) return;
  absl::StatusOr<Packet> packet = ReceivePacket(client.socket.get());
  if (!packet.ok()) {
    if (!absl::IsUnavailable(packet.status())) Drop(id);
    return;
  }
  if (packet->bytes.empty()) return Drop(id);
  absl::StatusOr<Request> request = DecodeRequest(packet->bytes);
  if (!request.ok()) {
    // Not of our protocol: there is nothing to answer to.
    return Drop(id);
  }
  on_request_(id, *request, std::move(packet->fds));
}

void ClientHub::Send(ClientId id, const Message& message, int fd) {
  auto found = clients_.find(id);
  if (found == clients_.end()) return;
  Client& client = found->second;
  client.queue.push_back({EncodeMessage(message), fd < 0 ? UniqueFd() : UniqueFd(dup(fd))});
  if (!Flush(client)) Drop(id);
}

bool ClientHub::Flush(Client& client) {
  while (!client.queue.empty()) {
    Queued& first = client.queue.front();
    int fd = first.fd.get();
    std::span<const int> fds(&fd, fd < 0 ? 0 : 1);
    absl::Status sent = SendPacket(client.socket.get(), first.bytes, fds);
    if (absl::IsUnavailable(sent)) {
      // A full queue and a gone peer look alike here; the peer's end comes as an event of its own.
      poller_.Change(client.socket.get(), EPOLLIN | EPOLLOUT);
      return client.queue.size() <= kLongestQueue;
    }
    if (!sent.ok()) return false;
    client.queue.pop_front();
  }
  poller_.Change(client.socket.get(), EPOLLIN);
  return true;
}

void ClientHub::Subscribe(ClientId id) {
  auto found = clients_.find(id);
  if (found != clients_.end()) found->second.subscribed = true;
}

void ClientHub::Broadcast(const Message& message) {
  std::vector<ClientId> ids;
  for (const auto& [id, client] : clients_) {
    if (client.subscribed) ids.push_back(id);
  }
  for (ClientId id : ids) Send(id, message);
}

bool ClientHub::HasUnsent() const {
  for (const auto& [id, client] : clients_) {
    if (!client.queue.empty()) return true;
  }
  return false;
}

}  // namespace darse::shim

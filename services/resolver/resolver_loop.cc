#include "services/resolver/resolver_loop.h"

#include <arpa/inet.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse::resolver {
namespace {

constexpr char kEnding[] = ".names";
constexpr size_t kMostConnections = 128;
constexpr size_t kMostOut = 1 << 20;
constexpr int kUdpBatch = 64;
constexpr absl::Duration kIdle = absl::Seconds(10);
constexpr absl::Duration kListenAgain = absl::Milliseconds(100);
constexpr absl::Duration kServersAge = absl::Seconds(1);
constexpr size_t kLargestMessage = 65535;

std::string ToText(uint32_t address) {
  in_addr raw{htonl(address)};
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, &raw, text, sizeof(text));
}

UniqueFd Bound(uint32_t gateway, int type) {
  UniqueFd fd(socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  // The bridge may be made after us, or again.
  setsockopt(fd.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
  if (type == SOCK_STREAM) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {htonl(gateway)}};
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      (type == SOCK_STREAM && listen(fd.get(), 64) != 0)) {
    return UniqueFd();
  }
  return fd;
}

}  // namespace

ResolverLoop::ResolverLoop(ResolverOptions options, Clock& clock)
    : options_(std::move(options)), clock_(clock), forwarder_(poller_, clock) {}

absl::Status ResolverLoop::Start() {
  RETURN_IF_ERROR(MakeDirectories(options_.names_directory));
  inotify_.Reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (inotify_add_watch(inotify_.get(), options_.names_directory.c_str(),
                        IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF |
                            IN_ONLYDIR) < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("watching ", options_.names_directory));
  }
  poller_.Add(inotify_.get(), EPOLLIN, [this](uint32_t) { ReadChanges(); });
  ReadAllNames();
  SyncListeners();
  return absl::OkStatus();
}

void ResolverLoop::Run(int stop_fd) {
  poller_.Add(stop_fd, EPOLLIN, [this](uint32_t) { stopped_ = true; });
  while (!stopped_) {
    poller_.Wait(Timeout());
    forwarder_.CheckTime();
    CloseIdle();
    if (listen_again_) SyncListeners();
  }
}

absl::Duration ResolverLoop::Timeout() const {
  absl::Time next = forwarder_.NextDeadline();
  for (const auto& [number, connection] : connections_) {
    next = std::min(next, connection.deadline);
  }
  absl::Duration timeout = absl::InfiniteDuration();
  if (next != absl::InfiniteFuture()) {
    timeout = std::max(next - clock_.Now(), absl::ZeroDuration());
  }
  return listen_again_ ? std::min(timeout, kListenAgain) : timeout;
}

// ---- names ----

void ResolverLoop::ReadChanges() {
  alignas(inotify_event) char buffer[16384];
  std::set<std::string> changed;
  bool all = false;
  while (true) {
    const ssize_t size = read(inotify_.get(), buffer, sizeof(buffer));
    if (size <= 0) break;
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += sizeof(*event) + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) all = true;
      if ((event->mask & (IN_DELETE_SELF | IN_IGNORED)) != 0) stopped_ = true;
      if (event->len > 0 && absl::EndsWith(event->name, kEnding)) changed.insert(event->name);
    }
  }
  if (changed.empty() && !all) return;
  if (all) {
    ReadAllNames();
  } else {
    for (const std::string& file : changed) ReadNames(file);
  }
  SyncListeners();
}

void ResolverLoop::ReadNames(const std::string& file) {
  absl::StatusOr<std::string> text = ReadFile(JoinPath(options_.names_directory, file));
  if (absl::IsNotFound(text.status())) {
    table_.Remove(file);
    return;
  }
  const absl::Status status = text.ok() ? table_.Put(file, *text) : text.status();
  if (!status.ok()) {
    // What was known before still stands.
    Log(LogLevel::kError, "names file not taken in",
        {{"file", file}, {"error", std::string(status.message())}});
  }
}

void ResolverLoop::ReadAllNames() {
  absl::StatusOr<std::vector<std::string>> files = ListDirectory(options_.names_directory);
  if (!files.ok()) return;
  for (const std::string& known : table_.Files()) {
    if (std::find(files->begin(), files->end(), known) == files->end()) table_.Remove(known);
  }
  for (const std::string& file : *files) {
    if (absl::EndsWith(file, kEnding)) ReadNames(file);
  }
}

void ResolverLoop::ReadResolvConf() {
  const absl::Time now = clock_.Now();
  if (now - servers_read_ < kServersAge) return;
  servers_read_ = now;
  absl::StatusOr<std::string> text = ReadFile(options_.resolv_conf);
  if (!text.ok()) return;
  servers_ = NameServers(*text);
  // Asking oneself would never end.
  std::erase_if(servers_, [this](const std::string& server) {
    in_addr raw;
    return inet_pton(AF_INET, server.c_str(), &raw) == 1 && listeners_.contains(ntohl(raw.s_addr));
  });
}

// ---- sockets ----

void ResolverLoop::SyncListeners() {
  const std::vector<uint32_t> gateways = table_.Gateways();
  std::vector<uint32_t> gone;
  for (const auto& [gateway, listener] : listeners_) {
    if (std::find(gateways.begin(), gateways.end(), gateway) == gateways.end()) {
      gone.push_back(gateway);
    }
  }
  for (const uint32_t gateway : gone) Unlisten(gateway);
  bool failed = false;
  for (const uint32_t gateway : gateways) {
    if (!listeners_.contains(gateway) && !Listen(gateway)) failed = true;
  }
  listen_again_ = failed;
}

bool ResolverLoop::Listen(uint32_t gateway) {
  Listener listener{.udp = Bound(gateway, SOCK_DGRAM), .tcp = Bound(gateway, SOCK_STREAM)};
  if (!listener.udp.valid() || !listener.tcp.valid()) {
    if (!listen_again_) {
      Log(LogLevel::kWarning, "port 53 is taken; trying on",
          {{"address", ToText(gateway)}, {"error", strerror(errno)}});
    }
    return false;
  }
  listener.udp_key =
      poller_.Add(listener.udp.get(), EPOLLIN, [this, gateway](uint32_t) { OnUdp(gateway); });
  listener.tcp_key =
      poller_.Add(listener.tcp.get(), EPOLLIN, [this, gateway](uint32_t) { OnAccept(gateway); });
  listeners_[gateway] = std::move(listener);
  Log(LogLevel::kInfo, "listening", {{"address", ToText(gateway)}});
  return true;
}

void ResolverLoop::Unlisten(uint32_t gateway) {
  auto there = listeners_.find(gateway);
  poller_.Remove(there->second.udp_key);
  poller_.Remove(there->second.tcp_key);
  listeners_.erase(there);
}

void ResolverLoop::OnUdp(uint32_t gateway) {
  static char buffer[kLargestMessage];
  for (int i = 0; i < kUdpBatch; ++i) {
    auto listener = listeners_.find(gateway);
    if (listener == listeners_.end()) return;
    sockaddr_in from{};
    socklen_t from_size = sizeof(from);
    const ssize_t size = recvfrom(listener->second.udp.get(), buffer, sizeof(buffer), 0,
                                  reinterpret_cast<sockaddr*>(&from), &from_size);
    if (size < 0) return;
    // Source port 0 cannot be answered.
    if (from.sin_port == 0) continue;
    Handle({buffer, static_cast<size_t>(size)}, ntohl(from.sin_addr.s_addr), gateway, false,
           [this, gateway, from](std::string answer) {
             auto back = listeners_.find(gateway);
             if (back == listeners_.end() || answer.empty()) return;
             sendto(back->second.udp.get(), answer.data(), answer.size(), 0,
                    reinterpret_cast<const sockaddr*>(&from), sizeof(from));
           });
  }
}

void ResolverLoop::OnAccept(uint32_t gateway) {
  sockaddr_in from{};
  socklen_t size = sizeof(from);
  UniqueFd fd(accept4(listeners_[gateway].tcp.get(), reinterpret_cast<sockaddr*>(&from), &size,
                      SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid() || connections_.size() >= kMostConnections) return;
  const uint64_t number = ++last_connection_;
  Connection& connection = connections_[number];
  connection.source = ntohl(from.sin_addr.s_addr);
  connection.gateway = gateway;
  connection.deadline = clock_.Now() + kIdle;
  connection.key = poller_.Add(fd.get(), EPOLLIN,
                               [this, number](uint32_t events) { OnConnection(number, events); });
  connection.fd = std::move(fd);
}

void ResolverLoop::OnConnection(uint64_t number, uint32_t events) {
  if ((events & EPOLLOUT) != 0) FlushConnection(number);
  auto there = connections_.find(number);
  if (there == connections_.end() || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  static char buffer[kLargestMessage];
  const ssize_t size = recv(there->second.fd.get(), buffer, sizeof(buffer), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return CloseConnection(number);
  there->second.in.append(buffer, size);
  there->second.deadline = clock_.Now() + kIdle;
  while (true) {
    // An answer may have closed it.
    there = connections_.find(number);
    if (there == connections_.end()) return;
    Connection& connection = there->second;
    if (connection.in.size() < 2) return;
    const size_t length =
        static_cast<uint8_t>(connection.in[0]) << 8 | static_cast<uint8_t>(connection.in[1]);
    if (connection.in.size() - 2 < length) return;
    const std::string packet = connection.in.substr(2, length);
    connection.in.erase(0, 2 + length);
    ++connection.open;
    Handle(packet, connection.source, connection.gateway, true,
           [this, number](std::string answer) { WriteConnection(number, answer); });
  }
}

void ResolverLoop::WriteConnection(uint64_t number, absl::string_view answer) {
  auto there = connections_.find(number);
  if (there == connections_.end()) return;
  Connection& connection = there->second;
  --connection.open;
  // It asks and does not read.
  if (answer.empty() || connection.out.size() > kMostOut) return CloseConnection(number);
  connection.out.push_back(static_cast<char>(answer.size() >> 8));
  connection.out.push_back(static_cast<char>(answer.size()));
  connection.out.append(answer.data(), answer.size());
  FlushConnection(number);
}

void ResolverLoop::FlushConnection(uint64_t number) {
  auto there = connections_.find(number);
  if (there == connections_.end()) return;
  Connection& connection = there->second;
  if (!connection.out.empty()) {
    const ssize_t sent =
        send(connection.fd.get(), connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return CloseConnection(number);
    if (sent > 0) connection.out.erase(0, sent);
  }
  poller_.Change(connection.key, connection.out.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void ResolverLoop::CloseConnection(uint64_t number) {
  auto there = connections_.find(number);
  if (there == connections_.end()) return;
  poller_.Remove(there->second.key);
  connections_.erase(there);
}

void ResolverLoop::CloseIdle() {
  const absl::Time now = clock_.Now();
  std::vector<uint64_t> idle;
  for (auto& [number, connection] : connections_) {
    if (connection.deadline > now) continue;
    if (connection.open > 0) {
      connection.deadline = now + kIdle;
    } else {
      idle.push_back(number);
    }
  }
  for (const uint64_t number : idle) CloseConnection(number);
}

// ---- questions ----

void ResolverLoop::Handle(absl::string_view packet, uint32_t source, uint32_t gateway,
                          bool over_tcp, std::function<void(std::string)> reply) {
  ReadChanges();
  absl::StatusOr<Query> query = ParseQuery(packet);
  if (!query.ok()) return reply(ErrorAnswer(packet, kFormatError));
  Client client;
  if (!table_.Find(source, gateway, client)) return reply(EmptyAnswer(*query, packet, kRefused));
  if (query->opcode != 0 || query->klass != kClassIn) {
    return reply(EmptyAnswer(*query, packet, kNotImplemented));
  }
  const size_t limit = over_tcp ? kLargestMessage : query->udp_size;
  const std::string own = AnswerFromNames(*query, packet, client, limit);
  if (!own.empty()) return reply(own);
  if (!client.may_ask_outside) return reply(EmptyAnswer(*query, packet, kNoSuchName));
  ReadResolvConf();
  forwarder_.Ask({.query = *query,
                  .packet = std::string(packet),
                  .source = source,
                  .over_tcp = over_tcp,
                  .servers = client.forward.empty() ? servers_ : client.forward,
                  .reply = std::move(reply)});
}

// "" if the name is not a container's.
std::string ResolverLoop::AnswerFromNames(const Query& query, absl::string_view packet,
                                          const Client& client, size_t limit) {
  uint32_t reverse = 0;
  if (ParseReverseName(query.name, reverse)) {
    const std::string name = table_.NameOf(client.networks, reverse);
    if (name.empty()) return "";
    if (query.type != kTypePtr) return EmptyAnswer(query, packet, kNoError);
    return PointerAnswer(query, packet, name);
  }
  std::vector<uint32_t> addresses = table_.Addresses(client.networks, query.name);
  if (addresses.empty()) return "";
  // There is such a name, but nothing else is known of it: no AAAA, no MX.
  if (query.type != kTypeA && query.type != kTypeAny) return EmptyAnswer(query, packet, kNoError);
  std::rotate(addresses.begin(), addresses.begin() + turn_++ % addresses.size(), addresses.end());
  return AddressAnswer(query, packet, addresses, limit);
}

}  // namespace darse::resolver

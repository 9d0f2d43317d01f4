#include "services/metrics/exposition/http_loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <list>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/monotonic.h"
#include "libs/base/status_macros.h"

namespace darse::metrics {
namespace {

constexpr size_t kHeadBytes = 8192;
constexpr size_t kConnections = 32;
// From accept to the last byte of the answer.
constexpr int64_t kDeadlineMs = 10'000;

struct Address {
  struct sockaddr_storage storage = {};
  socklen_t size = 0;
};

absl::StatusOr<Address> ParseAddress(const std::string& text) {
  size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("listen on ", text, ": not host:port"));
  }
  std::string host = text.substr(0, colon);
  if (host == "localhost") host = "127.0.0.1";
  Address address;
  auto* v4 = reinterpret_cast<struct sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<struct sockaddr_in6*>(&address.storage);
  absl::string_view inner = host;
  if (absl::ConsumePrefix(&inner, "[") && absl::ConsumeSuffix(&inner, "]") &&
      ::inet_pton(AF_INET6, std::string(inner).c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof(*v6);
  } else if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof(*v4);
  } else {
    return absl::InvalidArgumentError(absl::StrCat("listen on ", text, ": no IP address"));
  }
  return address;
}

struct Connection {
  UniqueFd fd;
  int64_t deadline_ms = 0;
  std::string head;
  std::string answer;
  size_t sent = 0;
};

std::string Answer(absl::string_view status, absl::string_view type, absl::string_view body,
                   bool with_body) {
  return absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Type: ", type,
                      "\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n\r\n",
                      with_body ? body : "");
}

// False when the connection is done with.
bool Advance(Connection& connection, const std::function<std::string()>& body) {
  if (connection.answer.empty()) {
    char buffer[2048];
    ssize_t n = ::recv(connection.fd.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    connection.head.append(buffer, static_cast<size_t>(n));
    if (absl::StrContains(connection.head, "\r\n\r\n")) {
      connection.answer = AnswerHttp(connection.head, body);
    } else if (connection.head.size() > kHeadBytes) {
      connection.answer = Answer("431 Request Header Fields Too Large", "text/plain", "", true);
    } else {
      return true;
    }
  }
  absl::string_view rest = absl::string_view(connection.answer).substr(connection.sent);
  ssize_t n = ::send(connection.fd.get(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  connection.sent += static_cast<size_t>(n);
  if (connection.sent < connection.answer.size()) return true;
  ::shutdown(connection.fd.get(), SHUT_WR);
  return false;
}

}  // namespace

std::string AnswerHttp(absl::string_view head, const std::function<std::string()>& body) {
  std::vector<absl::string_view> words =
      absl::StrSplit(head.substr(0, head.find("\r\n")), ' ', absl::SkipEmpty());
  if (words.size() != 3 || !absl::StartsWith(words[2], "HTTP/1.")) {
    return Answer("400 Bad Request", "text/plain", "no HTTP/1 request\n", true);
  }
  bool get = words[0] == "GET";
  if (!get && words[0] != "HEAD") {
    return Answer("405 Method Not Allowed\r\nAllow: GET, HEAD", "text/plain", "only GET and HEAD\n",
                  true);
  }
  absl::string_view path = words[1].substr(0, words[1].find('?'));
  if (path != "/metrics") return Answer("404 Not Found", "text/plain", "see /metrics\n", get);
  return Answer("200 OK", "text/plain; version=0.0.4; charset=utf-8", body(), get);
}

absl::StatusOr<std::unique_ptr<HttpLoop>> HttpLoop::Start(const std::string& address,
                                                          std::function<std::string()> body) {
  ASSIGN_OR_RETURN(Address parsed, ParseAddress(address));
  UniqueFd listener(
      ::socket(parsed.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return absl::ErrnoToStatus(errno, "socket");
  int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(listener.get(), reinterpret_cast<struct sockaddr*>(&parsed.storage), parsed.size) !=
          0 ||
      ::listen(listener.get(), kConnections) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("listen on ", address));
  }
  if (::getsockname(listener.get(), reinterpret_cast<struct sockaddr*>(&parsed.storage),
                    &parsed.size) != 0) {
    return absl::ErrnoToStatus(errno, "getsockname");
  }
  // Both kinds of address have the port at the same place.
  int port = ntohs(reinterpret_cast<struct sockaddr_in*>(&parsed.storage)->sin_port);
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop.valid()) return absl::ErrnoToStatus(errno, "eventfd");
  std::string real = absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
  return std::unique_ptr<HttpLoop>(
      new HttpLoop(std::move(listener), std::move(stop), std::move(real), std::move(body)));
}

HttpLoop::HttpLoop(UniqueFd listener, UniqueFd stop, std::string address,
                   std::function<std::string()> body)
    : listener_(std::move(listener)),
      stop_(std::move(stop)),
      address_(std::move(address)),
      body_(std::move(body)),
      thread_([this] { Run(); }) {}

HttpLoop::~HttpLoop() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(stop_.get(), &one, sizeof(one));
  thread_.join();
}

void HttpLoop::Run() {
  std::list<Connection> connections;
  for (;;) {
    std::vector<struct pollfd> fds = {{stop_.get(), POLLIN, 0}};
    // A full house takes nobody in; those outside wait in the listen queue.
    bool room = connections.size() < kConnections;
    fds.push_back({room ? listener_.get() : -1, POLLIN, 0});
    for (const Connection& connection : connections) {
      fds.push_back({connection.fd.get(),
                     static_cast<short>(connection.answer.empty() ? POLLIN : POLLOUT), 0});
    }
    // The timeout is for the deadlines.
    if (::poll(fds.data(), fds.size(), connections.empty() ? -1 : 1000) < 0 && errno != EINTR)
      return;
    if (fds[0].revents != 0) return;
    int64_t now = MonotonicMs();
    size_t i = 2;
    for (auto connection = connections.begin(); connection != connections.end(); ++i) {
      bool keep = connection->deadline_ms > now;
      if (keep && fds[i].revents != 0) keep = Advance(*connection, body_);
      connection = keep ? std::next(connection) : connections.erase(connection);
    }
    if (fds[1].revents == 0) continue;
    int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) connections.push_back({.fd = UniqueFd(fd), .deadline_ms = now + kDeadlineMs});
  }
}

}  // namespace darse::metrics

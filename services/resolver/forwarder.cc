#include "services/resolver/forwarder.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace darse::resolver {
namespace {

constexpr absl::Duration kServerTimeout = absl::Seconds(2);
constexpr size_t kRounds = 2;
constexpr size_t kMostPending = 512;
constexpr int kMostBySource = 128;
constexpr size_t kLargestMessage = 65535;

uint16_t RandomId() {
  uint16_t id = 0;
  // Never short for so few bytes.
  if (getrandom(&id, sizeof(id), 0) != sizeof(id)) return 0;
  return id;
}

// Port 53 of "10.0.0.1", "fd00::1" or "fe80::1%eth0"; 0 if it is none of these.
socklen_t ServerAddress(const std::string& text, sockaddr_storage& address) {
  address = {};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(53);
    return sizeof(*v4);
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
  const size_t percent = text.find('%');
  if (inet_pton(AF_INET6, text.substr(0, percent).c_str(), &v6->sin6_addr) != 1) return 0;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(53);
  if (percent != std::string::npos) {
    v6->sin6_scope_id = if_nametoindex(text.c_str() + percent + 1);
  }
  return sizeof(*v6);
}

std::string Framed(absl::string_view message) {
  std::string framed;
  framed.push_back(static_cast<char>(message.size() >> 8));
  framed.push_back(static_cast<char>(message.size()));
  framed.append(message.data(), message.size());
  return framed;
}

}  // namespace

void Forwarder::Ask(Question question) {
  int& open = open_by_source_[question.source];
  if (pending_.size() >= kMostPending || open >= kMostBySource || question.servers.empty()) {
    if (open == 0) open_by_source_.erase(question.source);
    question.reply(EmptyAnswer(question.query, question.packet, kServerFailure));
    return;
  }
  ++open;
  const uint64_t number = ++last_number_;
  pending_[number].question = std::move(question);
  TryNext(number);
}

void Forwarder::TryNext(uint64_t number) {
  auto there = pending_.find(number);
  if (there == pending_.end()) return;
  Pending& pending = there->second;
  while (pending.attempts < kRounds * pending.question.servers.size()) {
    const std::string& server =
        pending.question.servers[pending.attempts++ % pending.question.servers.size()];
    if (Start(number, pending, server)) return;
  }
  Finish(number, EmptyAnswer(pending.question.query, pending.question.packet, kServerFailure));
}

bool Forwarder::Start(uint64_t number, Pending& pending, const std::string& server) {
  poller_.Remove(pending.key);
  sockaddr_storage address;
  const socklen_t size = ServerAddress(server, address);
  if (size == 0) return false;
  const bool tcp = pending.question.over_tcp;
  pending.fd.Reset(socket(address.ss_family,
                          (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  pending.id = RandomId();
  pending.deadline = clock_.Now() + kServerTimeout;
  if (!pending.fd.valid()) return false;
  if (connect(pending.fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 &&
      errno != EINPROGRESS) {
    return false;
  }
  const std::string message = WithId(pending.question.packet, pending.id);
  if (tcp) {
    pending.out = Framed(message);
    pending.in.clear();
    pending.key = poller_.Add(pending.fd.get(), EPOLLIN | EPOLLOUT,
                              [this, number](uint32_t events) { OnTcp(number, events); });
    return true;
  }
  if (send(pending.fd.get(), message.data(), message.size(), 0) < 0) return false;
  pending.key = poller_.Add(pending.fd.get(), EPOLLIN, [this, number](uint32_t) { OnUdp(number); });
  return true;
}

void Forwarder::OnUdp(uint64_t number) {
  auto there = pending_.find(number);
  if (there == pending_.end()) return;
  Pending& pending = there->second;
  static char buffer[kLargestMessage];
  const ssize_t size = recv(pending.fd.get(), buffer, sizeof(buffer), 0);
  if (size < 0) {
    // Nobody listens there.
    if (errno != EAGAIN && errno != EINTR) TryNext(number);
    return;
  }
  const absl::string_view answer(buffer, size);
  // Not to our question: the right one may still come.
  if (!Answers(answer, pending.id, pending.question.query)) return;
  Finish(number, WithId(answer, pending.question.query.id));
}

void Forwarder::OnTcp(uint64_t number, uint32_t events) {
  auto there = pending_.find(number);
  if (there == pending_.end()) return;
  Pending& pending = there->second;
  if ((events & EPOLLOUT) != 0 && !pending.out.empty()) {
    const ssize_t sent =
        send(pending.fd.get(), pending.out.data(), pending.out.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return TryNext(number);
    if (sent > 0) pending.out.erase(0, sent);
    if (pending.out.empty()) poller_.Change(pending.key, EPOLLIN);
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  static char buffer[kLargestMessage];
  const ssize_t size = recv(pending.fd.get(), buffer, sizeof(buffer), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return TryNext(number);
  pending.in.append(buffer, size);
  if (pending.in.size() < 2) return;
  const size_t length =
      static_cast<uint8_t>(pending.in[0]) << 8 | static_cast<uint8_t>(pending.in[1]);
  if (pending.in.size() - 2 < length) return;
  const std::string answer = pending.in.substr(2, length);
  if (!Answers(answer, pending.id, pending.question.query)) return TryNext(number);
  Finish(number, WithId(answer, pending.question.query.id));
}

void Forwarder::Finish(uint64_t number, std::string answer) {
  auto there = pending_.find(number);
  poller_.Remove(there->second.key);
  const Question question = std::move(there->second.question);
  pending_.erase(there);
  auto open = open_by_source_.find(question.source);
  if (--open->second == 0) open_by_source_.erase(open);
  question.reply(std::move(answer));
}

void Forwarder::CheckTime() {
  const absl::Time now = clock_.Now();
  std::vector<uint64_t> late;
  for (const auto& [number, pending] : pending_) {
    if (pending.deadline <= now) late.push_back(number);
  }
  for (const uint64_t number : late) TryNext(number);
}

absl::Time Forwarder::NextDeadline() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [number, pending] : pending_) next = std::min(next, pending.deadline);
  return next;
}

}  // namespace darse::resolver

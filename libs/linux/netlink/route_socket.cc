#include "libs/linux/netlink/route_socket.h"

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/status_macros.h"

namespace darse::netlink {
namespace {

constexpr size_t kMessageBytes = 4096;
constexpr size_t kReceiveBytes = 32768;

int CallRow(const nlmsghdr* header, void* row) {
  (*static_cast<absl::FunctionRef<void(const nlmsghdr*)>*>(row))(header);
  return MNL_CB_OK;
}

int VisitAttribute(const nlattr* attr, void* visit) {
  (*static_cast<absl::FunctionRef<void(const nlattr*)>*>(visit))(attr);
  return MNL_CB_OK;
}

constexpr int kDumpAttempts = 20;

// Calls `visit` for each message of a datagram; `answer` is not changed but through it.
void ForEachMessage(std::string& answer, absl::FunctionRef<void(nlmsghdr&)> visit) {
  int left = static_cast<int>(answer.size());
  for (nlmsghdr* header = reinterpret_cast<nlmsghdr*>(answer.data()); mnl_nlmsg_ok(header, left);
       header = mnl_nlmsg_next(header, &left)) {
    visit(*header);
  }
}

// All datagrams up to the one that ends the answer. True if the kernel says that a list changed
// while it was read.
absl::StatusOr<bool> ReadAnswers(mnl_socket* socket, absl::string_view doing,
                                 std::vector<std::string>& answers) {
  bool torn = false;
  bool ended = false;
  auto buffer = std::make_unique<char[]>(kReceiveBytes);
  while (!ended) {
    const ssize_t received = mnl_socket_recvfrom(socket, buffer.get(), kReceiveBytes);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return absl::ErrnoToStatus(errno, doing);
    std::string& answer = answers.emplace_back(buffer.get(), received);
    ForEachMessage(answer, [&](nlmsghdr& header) {
      torn = torn || (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      // A list ends with DONE, everything else with an acknowledgement.
      ended = ended || header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR;
    });
  }
  return torn;
}

void MarkWhole(std::string& answer) {
  ForEachMessage(answer, [](nlmsghdr& header) { header.nlmsg_flags &= ~NLM_F_DUMP_INTR; });
}

}  // namespace

RouteMessage::RouteMessage(uint16_t type, uint16_t flags) : buffer_(new char[kMessageBytes]) {
  header_ = mnl_nlmsg_put_header(buffer_.get());
  header_->nlmsg_type = type;
  header_->nlmsg_flags = NLM_F_REQUEST | flags;
}

RouteMessage& RouteMessage::Text(uint16_t type, absl::string_view value) {
  mnl_attr_put_strz(header_, type, std::string(value).c_str());
  return *this;
}

RouteMessage& RouteMessage::U8(uint16_t type, uint8_t value) {
  mnl_attr_put_u8(header_, type, value);
  return *this;
}

RouteMessage& RouteMessage::U32(uint16_t type, uint32_t value) {
  mnl_attr_put_u32(header_, type, value);
  return *this;
}

RouteMessage& RouteMessage::Bytes(uint16_t type, const void* bytes, size_t size) {
  mnl_attr_put(header_, type, size, bytes);
  return *this;
}

RouteMessage& RouteMessage::Nest(uint16_t type, absl::FunctionRef<void()> fill) {
  nlattr* nest = mnl_attr_nest_start(header_, type);
  fill();
  mnl_attr_nest_end(header_, nest);
  return *this;
}

absl::StatusOr<RouteSocket> RouteSocket::Open() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (socket == nullptr) return absl::ErrnoToStatus(errno, "opening a route socket");
  RouteSocket opened(socket);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) != 0) {
    return absl::ErrnoToStatus(errno, "binding a route socket");
  }
  return opened;
}

RouteSocket::~RouteSocket() {
  if (socket_ != nullptr) mnl_socket_close(socket_);
}

absl::Status RouteSocket::Run(RouteMessage& message, absl::string_view doing) {
  message.header()->nlmsg_flags |= NLM_F_ACK;
  return Dump(message, doing, [](const nlmsghdr*) {});
}

absl::Status RouteSocket::Dump(RouteMessage& message, absl::string_view doing,
                               absl::FunctionRef<void(const nlmsghdr*)> row) {
  // Each request has its answers read to the end, so one number serves for all.
  message.header()->nlmsg_seq = 1;
  for (int attempt = 1;; ++attempt) {
    if (mnl_socket_sendto(socket_, message.header(), message.header()->nlmsg_len) < 0) {
      return absl::ErrnoToStatus(errno, doing);
    }
    std::vector<std::string> answers;
    ASSIGN_OR_RETURN(bool torn, ReadAnswers(socket_, doing, answers));
    // What is listed changed meanwhile: the list may miss some. The last attempt takes what it got.
    if (torn && attempt < kDumpAttempts) continue;
    for (std::string& answer : answers) {
      if (torn) MarkWhole(answer);
      const int more = mnl_cb_run(answer.data(), answer.size(), 1, mnl_socket_get_portid(socket_),
                                  CallRow, &row);
      if (more < 0) return absl::ErrnoToStatus(errno, doing);
    }
    return absl::OkStatus();
  }
}

void ForEachAttribute(const nlmsghdr* header, size_t offset,
                      absl::FunctionRef<void(const nlattr*)> visit) {
  mnl_attr_parse(header, offset, VisitAttribute, &visit);
}

void ForEachNested(const nlattr* nest, absl::FunctionRef<void(const nlattr*)> visit) {
  mnl_attr_parse_nested(nest, VisitAttribute, &visit);
}

}  // namespace darse::netlink

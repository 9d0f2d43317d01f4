// One rtnetlink socket: requests that are acknowledged, and dumps.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::netlink {

// A request under construction; one thread only.
class RouteMessage {
 public:
  RouteMessage(uint16_t type, uint16_t flags);

  // Adds the fixed part that follows the header.
  template <typename T>
  T* Extra() {
    return static_cast<T*>(mnl_nlmsg_put_extra_header(header_, sizeof(T)));
  }
  RouteMessage& Text(uint16_t type, absl::string_view value);
  RouteMessage& U8(uint16_t type, uint8_t value);
  RouteMessage& U32(uint16_t type, uint32_t value);
  RouteMessage& Bytes(uint16_t type, const void* bytes, size_t size);
  // Attributes added by `fill` lie inside one of this type.
  RouteMessage& Nest(uint16_t type, absl::FunctionRef<void()> fill);
  nlmsghdr* header() { return header_; }

 private:
  std::unique_ptr<char[]> buffer_;
  nlmsghdr* header_;
};

// Belongs to the network namespace of the thread that opened it, whoever uses it. One thread only.
class RouteSocket {
 public:
  static absl::StatusOr<RouteSocket> Open();
  RouteSocket(RouteSocket&& other) noexcept : socket_(std::exchange(other.socket_, nullptr)) {}
  RouteSocket& operator=(RouteSocket&&) = delete;
  ~RouteSocket();

  // Sends one request and waits for the kernel's answer; `doing` names it in errors.
  absl::Status Run(RouteMessage& message, absl::string_view doing);
  // Calls `row` for each message of a dump.
  absl::Status Dump(RouteMessage& message, absl::string_view doing,
                    absl::FunctionRef<void(const nlmsghdr*)> row);

 private:
  explicit RouteSocket(mnl_socket* socket) : socket_(socket) {}
  mnl_socket* socket_;
};

// Attributes after a fixed part of `offset` bytes; those inside a nest.
void ForEachAttribute(const nlmsghdr* header, size_t offset,
                      absl::FunctionRef<void(const nlattr*)> visit);
void ForEachNested(const nlattr* nest, absl::FunctionRef<void(const nlattr*)> visit);

}  // namespace darse::netlink

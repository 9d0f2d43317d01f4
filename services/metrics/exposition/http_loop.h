// GET /metrics over HTTP/1.1: one thread, one poll loop, one answer a connection.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"

namespace darse::metrics {

class HttpLoop {
 public:
  // `address` is host:port, where host is an IPv4 address, [an IPv6 address] or "localhost"; port
  // 0: a free one. `body` is called for each GET /metrics, on the loop's thread.
  static absl::StatusOr<std::unique_ptr<HttpLoop>> Start(const std::string& address,
                                                         std::function<std::string()> body);
  ~HttpLoop();

  // host:port with the real port.
  const std::string& address() const { return address_; }

 private:
  HttpLoop(UniqueFd listener, UniqueFd stop, std::string address,
           std::function<std::string()> body);
  void Run();

  UniqueFd listener_;
  UniqueFd stop_;
  std::string address_;
  std::function<std::string()> body_;
  std::thread thread_;
};

// The whole answer to a request head ("GET /metrics HTTP/1.1\r\n…"). Pure but for `body`.
std::string AnswerHttp(absl::string_view head, const std::function<std::string()>& body);

}  // namespace darse::metrics

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "services/metrics/exposition/http_loop.h"
#include "services/metrics/exposition/prometheus.h"

namespace darse::metrics {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

SampledFrame TwoContainers() {
  Reading reading;
  reading.host.memory_total_bytes = 4096;
  for (const char* name : {"web", "we\"ird\\\n"}) {
    ContainerReading container{.container = {.id = "0123456789abcdef", .name = name}};
    container.counters.cgroup.cpu_usage_ns = 1'500'000'000;
    reading.containers.push_back(container);
  }
  return MakeFrame({}, reading);
}

TEST(PrometheusTest, AFamilyIsHeadedOnceAndHasALineAContainer) {
  std::string text = FormatPrometheus(TwoContainers());
  EXPECT_THAT(text, HasSubstr("# TYPE darse_container_cpu_seconds_total counter\n"
                              "darse_container_cpu_seconds_total{name=\"web\",image=\"\","
                              "stack=\"\",service=\"\",id=\"0123456789ab\"} 1.5\n"
                              "darse_container_cpu_seconds_total{name=\"we\\\"ird\\\\\\n\""));
  EXPECT_THAT(text, HasSubstr("darse_host_memory_total_bytes 4096\n"));
}

TEST(PrometheusTest, WhatTheKernelDoesNotHaveIsLeftOut) {
  EXPECT_THAT(FormatPrometheus(TwoContainers()), Not(HasSubstr("pressure")));
}

TEST(HttpTest, OnlyGetAndHeadOfMetricsAreAnswered) {
  auto body = [] { return std::string("text\n"); };
  EXPECT_THAT(AnswerHttp("GET /metrics HTTP/1.1\r\n\r\n", body), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(AnswerHttp("GET /metrics?x=1 HTTP/1.0\r\n\r\n", body),
              testing::EndsWith("\r\n\r\ntext\n"));
  EXPECT_THAT(AnswerHttp("HEAD /metrics HTTP/1.1\r\n\r\n", body), testing::EndsWith("\r\n\r\n"));
  EXPECT_THAT(AnswerHttp("GET / HTTP/1.1\r\n\r\n", body), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(AnswerHttp("POST /metrics HTTP/1.1\r\n\r\n", body), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(AnswerHttp("nonsense\r\n\r\n", body), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(AnswerHttp("\r\n\r\n", body), StartsWith("HTTP/1.1 400 "));
}

int Connect(const HttpLoop& loop) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(loop.address().substr(loop.address().rfind(':') + 1), &port));
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

std::string Ask(int fd, absl::string_view request) {
  EXPECT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = ::recv(fd, buffer, sizeof(buffer), 0)) > 0;) answer.append(buffer, n);
  ::close(fd);
  return answer;
}

TEST(HttpTest, ASlowClientHoldsUpNobody) {
  auto loop = HttpLoop::Start("127.0.0.1:0", [] { return std::string(1 << 20, 'x'); });
  ASSERT_TRUE(loop.ok()) << loop.status();
  int slow = Connect(**loop);
  ASSERT_EQ(::send(slow, "GET /met", 8, 0), 8);
  EXPECT_GT(Ask(Connect(**loop), "GET /metrics HTTP/1.1\r\n\r\n").size(), size_t{1} << 20);
  EXPECT_THAT(Ask(slow, "rics HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST(HttpTest, AHeadWithoutEndIsRefused) {
  auto loop = HttpLoop::Start("localhost:0", [] { return std::string(); });
  ASSERT_TRUE(loop.ok()) << loop.status();
  EXPECT_THAT(Ask(Connect(**loop), std::string(8193, 'a')), StartsWith("HTTP/1.1 431"));
}

TEST(HttpTest, AnAddressInUseOrUnreadableIsAnError) {
  auto first = HttpLoop::Start("127.0.0.1:0", [] { return std::string(); });
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(HttpLoop::Start((*first)->address(), [] { return std::string(); }).ok());
  EXPECT_EQ(HttpLoop::Start("no.such.name:1", nullptr).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace darse::metrics

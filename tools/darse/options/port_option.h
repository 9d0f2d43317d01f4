// -p [[HOST_IP:][HOST_PORT]:]CONTAINER_PORT[/tcp|udp], with ranges ("8000-8002:80-82").
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "darse/runtime/v1/container.pb.h"

namespace darse::client {

absl::StatusOr<std::vector<darse::runtime::v1::PortMapping>> ParsePorts(absl::string_view text);
// "0.0.0.0:8080->80/tcp", as `ps` shows it.
std::string PortText(const darse::runtime::v1::PortMapping& port);

}  // namespace darse::client

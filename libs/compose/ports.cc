#include "libs/compose/ports.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace darse::compose {
namespace {

struct Range {
  uint32_t first = 0;
  uint32_t last = 0;
  uint32_t size() const { return last - first + 1; }
};

std::optional<Range> ParseRange(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> ends =
      absl::StrSplit(text, absl::MaxSplits('-', 1));
  Range range;
  const auto number = [](absl::string_view digits, uint32_t* value) {
    return !digits.empty() && absl::ascii_isdigit(digits[0]) && absl::SimpleAtoi(digits, value) &&
           *value <= 65535;
  };
  if (!number(ends.first, &range.first)) return std::nullopt;
  range.last = range.first;
  if (absl::StrContains(text, '-') && !number(ends.second, &range.last)) return std::nullopt;
  if (range.last < range.first) return std::nullopt;
  return range;
}

std::optional<std::string> ParseProtocol(absl::string_view text) {
  const std::string protocol = absl::AsciiStrToLower(text);
  if (protocol == "tcp" || protocol == "udp") return protocol;
  return std::nullopt;
}

void Publish(runtime::v1::ContainerSpec& container, absl::string_view host_ip,
             std::optional<Range> host, Range inside, absl::string_view protocol) {
  for (uint32_t i = 0; i < inside.size(); ++i) {
    runtime::v1::PortMapping* port = container.add_ports();
    port->set_host_ip(std::string(host_ip));
    port->set_host_port(host ? host->first + i : 0);
    port->set_container_port(inside.first + i);
    port->set_protocol(std::string(protocol));
  }
}

void DecodeShort(Scope& scope, const At& at, runtime::v1::ContainerSpec& container) {
  const std::string& text = at.node->text;
  const auto bad = [&](absl::string_view why) {
    scope.values.Refuse(at, absl::StrCat("\"", text, "\" ", why));
  };
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(absl::string_view(text), absl::MaxSplits('/', 1));
  std::optional<std::string> protocol = "tcp";
  if (absl::StrContains(text, '/')) protocol = ParseProtocol(halves.second);
  if (!protocol) return bad("has a protocol that is neither tcp nor udp");
  if (absl::StrContains(halves.first, '[')) return bad("is an IPv6 address: not supported yet");
  const std::vector<absl::string_view> parts = absl::StrSplit(halves.first, ':');
  if (parts.size() > 3) return bad("is no port: expected [[IP:]HOST:]CONTAINER[/PROTOCOL]");
  const std::optional<Range> inside = ParseRange(parts.back());
  std::optional<Range> host;
  if (parts.size() > 1 && !parts[parts.size() - 2].empty()) {
    host = ParseRange(parts[parts.size() - 2]);
    if (!host) return bad("is no port: expected [[IP:]HOST:]CONTAINER[/PROTOCOL]");
  }
  if (!inside || inside->first == 0)
    return bad("is no port: expected [[IP:]HOST:]CONTAINER[/PROTOCOL]");
  if (host && host->size() != inside->size())
    return bad("has ranges of different sizes: not supported yet");
  Publish(container, parts.size() == 3 ? parts[0] : "", host, *inside, *protocol);
}

void DecodeLong(Scope& scope, const At& at, runtime::v1::ContainerSpec& container) {
  std::string host_ip;
  std::string protocol = "tcp";
  std::optional<Range> host;
  std::optional<Range> inside;
  const auto range = [&](const At& value, std::optional<Range>& to) {
    if (value.node->IsScalar()) to = ParseRange(value.node->text);
    if (!to) scope.values.Refuse(value, "must be a port");
  };
  const size_t before = scope.errors.size();
  scope.values.Keys(
      at,
      {
          {"name", [&](const At& value) { scope.values.Text(value); }},
          {"target", [&](const At& value) { range(value, inside); }},
          {"published", [&](const At& value) { range(value, host); }},
          {"host_ip", [&](const At& value) { host_ip = scope.values.Text(value).value_or(""); }},
          {"protocol",
           [&](const At& value) {
             const std::optional<std::string> parsed = ParseProtocol(value.node->text);
             if (!parsed) scope.values.Refuse(value, "must be tcp or udp");
             protocol = parsed.value_or("tcp");
           }},
          {"mode",
           [&](const At& value) {
             if (value.node->text != "host" && value.node->text != "ingress") {
               scope.values.Refuse(value, "must be host or ingress");
             }
           }},
      });
  if (scope.errors.size() != before) return;
  if (!inside || inside->first == 0) return scope.values.Refuse(at, "needs a target");
  if (host && host->size() != inside->size()) {
    return scope.values.Refuse(at, "has ranges of different sizes: not supported yet");
  }
  Publish(container, host_ip, host, *inside, protocol);
}

}  // namespace

void DecodePorts(Scope& scope, const At& at, runtime::v1::ContainerSpec& container) {
  if (!at.node->IsSequence()) return scope.values.Refuse(at, "must be a list");
  for (size_t i = 0; i < at.node->items.size(); ++i) {
    const At item = at.Item(i);
    if (item.node->IsScalar()) {
      DecodeShort(scope, item, container);
    } else {
      DecodeLong(scope, item, container);
    }
  }
}

void CheckExpose(Scope& scope, const At& at) {
  if (!at.node->IsSequence()) return scope.values.Refuse(at, "must be a list");
  for (size_t i = 0; i < at.node->items.size(); ++i) {
    const At item = at.Item(i);
    const std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(absl::string_view(item.node->text), absl::MaxSplits('/', 1));
    const bool ok = item.node->IsScalar() && ParseRange(halves.first) &&
                    (!absl::StrContains(item.node->text, '/') || ParseProtocol(halves.second));
    if (!ok) scope.values.Refuse(item, "must be a port such as 8080 or 53/udp");
  }
}

}  // namespace darse::compose

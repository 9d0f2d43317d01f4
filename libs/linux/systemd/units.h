// The one seam to systemd: transient scopes, made, changed and stopped over D-Bus
// (org.freedesktop.systemd1(5)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace darse::systemd {

// By D-Bus type: b, t, s, ay, a(ss).
using Value = std::variant<bool, uint64_t, std::string, std::vector<uint8_t>,
                           std::vector<std::pair<std::string, std::string>>>;
struct Property {
  std::string name;
  Value value;

  bool operator==(const Property&) const = default;
};

// Not thread-safe. Every call waits until systemd has done what it was asked for, DEADLINE_EXCEEDED
// after half a minute. A value that systemd refuses is INVALID_ARGUMENT with its words.
class Units {
 public:
  virtual ~Units() = default;

  // A scope with one process in it, and what it will fork. ALREADY_EXISTS if it is there.
  virtual absl::Status StartScope(const std::string& unit, pid_t pid,
                                  const std::vector<Property>& properties) = 0;
  // Into a scope that is delegated. NOT_FOUND without it.
  virtual absl::Status Attach(const std::string& unit, pid_t pid) = 0;
  // Until the machine is started anew, or the unit ends. NOT_FOUND without it.
  virtual absl::Status SetProperties(const std::string& unit,
                                     const std::vector<Property>& properties) = 0;
  // Kills what is in it, and forgets it if it failed. OK if it is gone.
  virtual absl::Status Stop(const std::string& unit) = 0;
  // OK if it did not, or is gone.
  virtual absl::Status ForgetFailure(const std::string& unit) = 0;
};

// Over the system's bus, or systemd's own socket where there is no bus. UNAVAILABLE where systemd
// does not run.
absl::StatusOr<std::unique_ptr<Units>> ConnectToSystemd();

}  // namespace darse::systemd

#include "tools/darse/session/request_id.h"

#include <sys/random.h>

#include "absl/strings/escaping.h"

namespace darse::client {

std::string NewRequestId() {
  std::string bytes(16, 0);
  // 16 bytes are always delivered at once.
  if (getrandom(bytes.data(), bytes.size(), 0) < 0) return "";
  return absl::BytesToHexString(bytes);
}

}  // namespace darse::client

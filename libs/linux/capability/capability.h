// Capabilities by name and as sets of bits.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::capability {

using Set = uint64_t;  // bit n is capability n

constexpr Set Bit(int capability) { return Set{1} << capability; }

// "CAP_CHOWN", "CHOWN" or "chown"; INVALID_ARGUMENT for no capability of Linux.
absl::StatusOr<int> Parse(absl::string_view name);
// "CAP_CHOWN".
std::string Name(int capability);
std::vector<std::string> Names(Set set);
absl::StatusOr<Set> ParseAll(const std::vector<std::string>& names);

// All that the running kernel knows.
Set KernelSet();
// What this process may hand on: its bounding set.
absl::StatusOr<Set> BoundingSet();
// What Docker gives a container that asks for nothing.
Set DefaultSet();

// DefaultSet with names added and dropped; "ALL" is the whole bounding set or nothing.
absl::StatusOr<Set> Adjust(const std::vector<std::string>& add,
                           const std::vector<std::string>& drop, Set all);

struct Sets {
  Set bounding = 0, effective = 0, permitted = 0, inheritable = 0, ambient = 0;

  bool operator==(const Sets&) const = default;
};

// Those of the ambient set that the kernel can raise: they must be permitted and inheritable too.
// runc's own `spec` asks for more, and it passes over the rest.
inline Set RaisableAmbient(const Sets& sets) {
  return sets.ambient & sets.permitted & sets.inheritable;
}

// Bounding first, while this process may still drop from it. Call before the user changes.
absl::Status ApplyBounding(Set bounding);
// Call after the user has changed (with PR_SET_KEEPCAPS): permitted, effective, inheritable,
// ambient as far as it can be raised.
absl::Status ApplyRest(const Sets& sets);

}  // namespace darse::capability

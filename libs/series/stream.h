// A row of numbers at equal distances, some of them missing, as bytes that can be appended to.
//
// Slot n is the nth of its window. The bytes are a run of items:
//   varint 0, varint n      n more slots with the same number as the one before
//   varint 1, varint n      n slots without a number
//   varint 2 + zigzag(d)    one slot, d more than the number before (at the beginning: than 0)
// so that an idle series costs a few bytes a window and a busy one one or two a slot.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::series {

// Thread-compatible.
class StreamEncoder {
 public:
  // `slot` must be greater than the last one.
  void Append(int slot, int64_t value);
  // What was appended so far; Append may go on after it.
  std::string Finish() const;
  bool empty() const { return next_slot_ == 0; }

 private:
  std::string bytes_;
  int32_t next_slot_ = 0;
  // Slots like the last one that are not in `bytes_` yet.
  int32_t same_ = 0;
  int64_t last_ = 0;
};

struct SlotValue {
  int slot = 0;
  int64_t value = 0;

  bool operator==(const SlotValue&) const = default;
};

// DATA_LOSS if the bytes are no stream, or reach beyond `slots`.
absl::StatusOr<std::vector<SlotValue>> DecodeStream(absl::string_view bytes, int slots);

// The encoding that the stream is made of, also used around it.
void PutVarint(std::string& bytes, uint64_t value);
// Takes it off the front; nothing if the bytes end too early.
std::optional<uint64_t> TakeVarint(absl::string_view& bytes);

}  // namespace darse::series

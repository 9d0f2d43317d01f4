#include "libs/series/stream.h"

#include "absl/status/status.h"

namespace darse::series {
namespace {

constexpr uint64_t kSame = 0;
constexpr uint64_t kMissing = 1;
constexpr uint64_t kDelta = 2;

uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

absl::Status Broken() { return absl::DataLossError("series: the bytes are no stream"); }

}  // namespace

void PutVarint(std::string& bytes, uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
}

std::optional<uint64_t> TakeVarint(absl::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    uint8_t byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

void StreamEncoder::Append(int slot, int64_t value) {
  bool first = bytes_.empty();
  if (slot == next_slot_ && value == last_ && !first) {
    ++same_;
    ++next_slot_;
    return;
  }
  bytes_ = Finish();
  same_ = 0;
  if (slot > next_slot_) {
    PutVarint(bytes_, kMissing);
    PutVarint(bytes_, slot - next_slot_);
  }
  // Wraps around, as decoding does.
  uint64_t delta = static_cast<uint64_t>(value) - static_cast<uint64_t>(last_);
  uint64_t coded = ZigZag(static_cast<int64_t>(delta));
  // The few deltas whose code would not fit beside the two marks do not occur in quantities we
  // keep.
  PutVarint(bytes_, coded > UINT64_MAX - kDelta ? UINT64_MAX : coded + kDelta);
  last_ = value;
  next_slot_ = slot + 1;
}

std::string StreamEncoder::Finish() const {
  std::string bytes = bytes_;
  if (same_ > 0) {
    PutVarint(bytes, kSame);
    PutVarint(bytes, same_);
  }
  return bytes;
}

absl::StatusOr<std::vector<SlotValue>> DecodeStream(absl::string_view bytes, int slots) {
  std::vector<SlotValue> values;
  int64_t last = 0;
  uint64_t slot = 0;
  const uint64_t end = static_cast<uint64_t>(slots);
  while (!bytes.empty()) {
    std::optional<uint64_t> item = TakeVarint(bytes);
    if (!item) return Broken();
    if (*item >= kDelta) {
      if (slot >= end) return Broken();
      last = static_cast<int64_t>(static_cast<uint64_t>(last) +
                                  static_cast<uint64_t>(UnZigZag(*item - kDelta)));
      values.push_back({static_cast<int>(slot++), last});
      continue;
    }
    std::optional<uint64_t> run = TakeVarint(bytes);
    if (!run || *run > end - slot) return Broken();
    if (*item == kMissing) {
      slot += *run;
      continue;
    }
    if (values.empty()) return Broken();
    for (uint64_t i = 0; i < *run; ++i) values.push_back({static_cast<int>(slot++), last});
  }
  return values;
}

}  // namespace darse::series

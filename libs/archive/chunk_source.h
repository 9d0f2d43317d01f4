// Bytes pulled in chunks of the producer's choosing, so that stages (read, inflate, hash, parse)
// stack without copying.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace darse::archive {

// One thread at a time.
class ChunkSource {
 public:
  virtual ~ChunkSource() = default;
  // The next bytes, which hold until the next call; empty at the end, and again after it.
  virtual absl::StatusOr<absl::string_view> Next() = 0;
};

class ChunkSink {
 public:
  virtual ~ChunkSink() = default;
  virtual absl::Status Write(absl::string_view bytes) = 0;
};

class StringSource final : public ChunkSource {
 public:
  // `chunk` bytes at a time. `text` must outlive this.
  explicit StringSource(absl::string_view text, size_t chunk = 1 << 16)
      : text_(text), chunk_(chunk) {}
  absl::StatusOr<absl::string_view> Next() override;

 private:
  absl::string_view text_;
  size_t chunk_;
};

class StringSink final : public ChunkSink {
 public:
  absl::Status Write(absl::string_view bytes) override {
    text.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  std::string text;
};

// Does not own the descriptor.
class FdSource final : public ChunkSource {
 public:
  explicit FdSource(int fd);
  absl::StatusOr<absl::string_view> Next() override;

 private:
  int fd_;
  std::vector<char> buffer_;
};

// Does not own the descriptor.
class FdSink final : public ChunkSink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}
  absl::Status Write(absl::string_view bytes) override;

 private:
  int fd_;
};

// Gives bytes back: the next Next() answers them first.
class PeekSource final : public ChunkSource {
 public:
  explicit PeekSource(ChunkSource& inner) : inner_(inner) {}
  // At least `size` of the bytes to come, fewer only at the end.
  absl::StatusOr<absl::string_view> Peek(size_t size);
  absl::StatusOr<absl::string_view> Next() override;

 private:
  ChunkSource& inner_;
  std::string held_;
  std::string given_;
};

// Pulls `inner` on a thread of its own, a few chunks ahead. `inner` must not be used by others
// until this is gone.
class ReadAheadSource final : public ChunkSource {
 public:
  explicit ReadAheadSource(ChunkSource& inner);
  ~ReadAheadSource() override;
  absl::StatusOr<absl::string_view> Next() override;

 private:
  static constexpr int kSlots = 4;
  void Run();
  bool CanFill() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stop_ || filled_ < kSlots; }
  bool CanTake() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return filled_ > 0 || ended_; }

  ChunkSource& inner_;
  absl::Mutex mu_;
  // A ring: slots [head_, head_ + filled_) are full; the reader holds the one before head_.
  std::string slots_[kSlots + 1];
  int head_ ABSL_GUARDED_BY(mu_) = 0;
  int filled_ ABSL_GUARDED_BY(mu_) = 0;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

// Reads `source` to its end and throws the bytes away.
absl::Status Drain(ChunkSource& source);

}  // namespace darse::archive

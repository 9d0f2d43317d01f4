#include "libs/archive/chunk_source.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>

#include "libs/base/status_macros.h"

namespace darse::archive {

absl::StatusOr<absl::string_view> StringSource::Next() {
  absl::string_view chunk = text_.substr(0, chunk_);
  text_.remove_prefix(chunk.size());
  return chunk;
}

FdSource::FdSource(int fd) : fd_(fd), buffer_(256 << 10) {}

absl::StatusOr<absl::string_view> FdSource::Next() {
  ssize_t got;
  do {
    got = read(fd_, buffer_.data(), buffer_.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0) return absl::ErrnoToStatus(errno, "reading");
  return absl::string_view(buffer_.data(), got);
}

absl::Status FdSink::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t put = write(fd_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return absl::ErrnoToStatus(errno, "writing");
    bytes.remove_prefix(put);
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> PeekSource::Peek(size_t size) {
  while (held_.size() < size) {
    ASSIGN_OR_RETURN(absl::string_view chunk, inner_.Next());
    if (chunk.empty()) break;
    held_.append(chunk.data(), chunk.size());
  }
  return absl::string_view(held_);
}

absl::StatusOr<absl::string_view> PeekSource::Next() {
  if (held_.empty()) return inner_.Next();
  given_ = std::move(held_);
  held_.clear();
  return absl::string_view(given_);
}

ReadAheadSource::ReadAheadSource(ChunkSource& inner) : inner_(inner), thread_([this] { Run(); }) {}

ReadAheadSource::~ReadAheadSource() {
  {
    absl::MutexLock lock(&mu_);
    stop_ = true;
  }
  thread_.join();
}

void ReadAheadSource::Run() {
  int slot = 0;
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &ReadAheadSource::CanFill));
      if (stop_) return;
      slot = (head_ + filled_) % (kSlots + 1);
    }
    absl::StatusOr<absl::string_view> chunk = inner_.Next();
    if (chunk.ok()) slots_[slot].assign(chunk->data(), chunk->size());
    absl::MutexLock lock(&mu_);
    if (!chunk.ok() || chunk->empty()) {
      status_ = chunk.status();
      ended_ = true;
      return;
    }
    ++filled_;
  }
}

absl::StatusOr<absl::string_view> ReadAheadSource::Next() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &ReadAheadSource::CanTake));
  if (filled_ == 0) {
    if (!status_.ok()) return status_;
    return absl::string_view();
  }
  absl::string_view chunk = slots_[head_];
  head_ = (head_ + 1) % (kSlots + 1);
  --filled_;
  return chunk;
}

absl::Status Drain(ChunkSource& source) {
  while (true) {
    ASSIGN_OR_RETURN(absl::string_view chunk, source.Next());
    if (chunk.empty()) return absl::OkStatus();
  }
}

}  // namespace darse::archive

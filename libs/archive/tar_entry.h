// One member of a tar archive, and the 512-byte headers it travels in: ustar, with pax and GNU
// extensions.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::archive {

inline constexpr size_t kTarBlock = 512;

enum class EntryType {
  kFile,
  kDirectory,
  kSymlink,
  kHardLink,
  kCharDevice,
  kBlockDevice,
  kFifo,
};

struct TarEntry {
  EntryType type = EntryType::kFile;
  // As in the archive: may be absolute, hold "..", end with "/".
  std::string name;
  std::string link_name;
  // Permission bits with setuid, setgid and sticky.
  uint32_t mode = 0644;
  uint32_t uid = 0;
  uint32_t gid = 0;
  // Of a file's content; 0 for the rest.
  int64_t size = 0;
  int64_t mtime_seconds = 0;
  uint32_t mtime_nanoseconds = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  std::map<std::string, std::string> xattrs;
};

// The bytes before an entry's content: one header, after a pax header where ustar's fields are too
// small. The same bytes for the same entry.
std::string FormatHeader(const TarEntry& entry);

// How many zeros follow a content of `size` bytes.
inline size_t Padding(int64_t size) { return (kTarBlock - size % kTarBlock) % kTarBlock; }

}  // namespace darse::archive

#include "libs/linux/seccomp/filter_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"

namespace darse::seccomp {
namespace {

// More profiles than a node has: then all are dropped, and those in use come back.
constexpr int kMostFilters = 64;
constexpr size_t kLargestFile = 1 << 20;

struct Header {
  char magic[8];
  uint32_t key_size;
  uint32_t instructions;
  uint32_t flags;
  uint32_t notifies;
};
constexpr char kMagic[8] = {'d', 'r', 's', 's', 'e', 'c', 'c', '1'};

std::string Key(const Profile& profile) {
  utsname kernel = {};
  uname(&kernel);
  const scmp_version* library = seccomp_version();
  return absl::StrCat(kernel.release, " ", library->major, ".", library->minor, ".", library->micro,
                      " ", ToOciJson(profile));
}

// FNV-1a.
std::string FileName(const std::string& key) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char byte : key) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  char name[17];
  snprintf(name, sizeof(name), "%016" PRIx64, hash);
  return name;
}

// Whoever could write here could take the filter off every container.
bool OnlyOurs(int fd, mode_t type) {
  struct stat node;
  return fstat(fd, &node) == 0 && (node.st_mode & S_IFMT) == type && node.st_uid == geteuid() &&
         (node.st_mode & 022) == 0;
}

std::optional<Filter> ReadFilter(int directory, const std::string& name, const std::string& key) {
  UniqueFd file(openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file.valid() || !OnlyOurs(file.get(), S_IFREG)) return std::nullopt;
  struct stat node;
  if (fstat(file.get(), &node) < 0 || node.st_size > static_cast<off_t>(kLargestFile)) {
    return std::nullopt;
  }
  std::string bytes(static_cast<size_t>(node.st_size), '\0');
  if (read(file.get(), bytes.data(), bytes.size()) != node.st_size) return std::nullopt;
  Header header;
  if (bytes.size() < sizeof(header)) return std::nullopt;
  memcpy(&header, bytes.data(), sizeof(header));
  if (memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 || header.key_size != key.size() ||
      header.instructions == 0 || header.instructions > BPF_MAXINSNS ||
      bytes.size() !=
          sizeof(header) + header.key_size + header.instructions * sizeof(sock_filter) ||
      bytes.compare(sizeof(header), key.size(), key) != 0) {
    return std::nullopt;
  }
  Filter filter = {.program = std::vector<sock_filter>(header.instructions),
                   .flags = header.flags,
                   .notifies = header.notifies != 0};
  memcpy(filter.program.data(), bytes.data() + sizeof(header) + key.size(),
         header.instructions * sizeof(sock_filter));
  return filter;
}

void DropAllIfMany(int directory) {
  int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = copy < 0 ? nullptr : fdopendir(copy);
  if (entries == nullptr) {
    if (copy >= 0) close(copy);
    return;
  }
  std::vector<std::string> names;
  while (dirent* entry = readdir(entries)) {
    if (entry->d_name[0] != '.') names.push_back(entry->d_name);
  }
  closedir(entries);
  if (names.size() < kMostFilters) return;
  for (const std::string& name : names) unlinkat(directory, name.c_str(), 0);
}

// Best effort: the next one compiles again.
void WriteFilter(int directory, const std::string& name, const std::string& key,
                 const Filter& filter) {
  DropAllIfMany(directory);
  Header header = {.key_size = static_cast<uint32_t>(key.size()),
                   .instructions = static_cast<uint32_t>(filter.program.size()),
                   .flags = filter.flags,
                   .notifies = filter.notifies ? 1u : 0u};
  memcpy(header.magic, kMagic, sizeof(kMagic));
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes += key;
  bytes.append(reinterpret_cast<const char*>(filter.program.data()),
               filter.program.size() * sizeof(sock_filter));
  // Several may compile the same at a time; each whole file is as good.
  std::string draft = absl::StrCat(".", name, ".", getpid());
  UniqueFd file(openat(directory, draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) return;
  bool whole = write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  if (!whole || renameat(directory, draft.c_str(), directory, name.c_str()) < 0) {
    unlinkat(directory, draft.c_str(), 0);
  }
}

}  // namespace

absl::StatusOr<Filter> CompileCached(const Profile& profile, const std::string& directory) {
  if (directory.empty()) return Compile(profile);
  mkdir(directory.c_str(), 0700);
  UniqueFd place(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!place.valid() || !OnlyOurs(place.get(), S_IFDIR)) return Compile(profile);
  std::string key = Key(profile);
  std::string name = FileName(key);
  if (std::optional<Filter> known = ReadFilter(place.get(), name, key)) return *std::move(known);
  ASSIGN_OR_RETURN(Filter filter, Compile(profile));
  WriteFilter(place.get(), name, key, filter);
  return filter;
}

}  // namespace darse::seccomp

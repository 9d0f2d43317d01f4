#include "services/scheduler/contexts/context_directory.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse::scheduler {
namespace {

constexpr char kIncoming[] = "incoming-";

absl::StatusOr<std::string> HexOf(absl::string_view digest) {
  absl::string_view hex = digest;
  const bool ok = absl::ConsumePrefix(&hex, "sha256:") && hex.size() == 64 &&
                  std::all_of(hex.begin(), hex.end(), [](char c) {
                    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                  });
  if (!ok) return absl::InvalidArgumentError(absl::StrCat("\"", digest, "\" is no sha256 digest"));
  return std::string(hex);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ContextDirectory>> ContextDirectory::Open(absl::string_view path) {
  RETURN_IF_ERROR(MakeDirectories(path, 0700));
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(path));
  for (const std::string& name : names) {
    if (absl::StartsWith(name, kIncoming)) RETURN_IF_ERROR(RemoveFile(JoinPath(path, name)));
  }
  return std::unique_ptr<ContextDirectory>(new ContextDirectory(std::string(path)));
}

absl::StatusOr<std::string> ContextDirectory::PathOf(absl::string_view digest) const {
  ASSIGN_OR_RETURN(std::string hex, HexOf(digest));
  return JoinPath(path_, hex);
}

absl::StatusOr<bool> ContextDirectory::Has(absl::string_view digest) const {
  ASSIGN_OR_RETURN(std::string path, PathOf(digest));
  return Exists(path);
}

absl::Status ContextDirectory::Prune(const std::set<std::string>& wanted, absl::Time before) const {
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(path_));
  for (const std::string& name : names) {
    if (absl::StartsWith(name, kIncoming) || wanted.contains(absl::StrCat("sha256:", name)))
      continue;
    const std::string path = JoinPath(path_, name);
    struct stat found;
    if (stat(path.c_str(), &found) != 0 || absl::FromUnixSeconds(found.st_mtime) >= before)
      continue;
    RETURN_IF_ERROR(RemoveFile(path));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ContextDirectory::Incoming>> ContextDirectory::Receive(
    absl::string_view digest) {
  ASSIGN_OR_RETURN(std::string path, PathOf(digest));
  std::string temporary = JoinPath(path_, absl::StrCat(kIncoming, next_++));
  UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("making ", temporary));
  return std::make_unique<Incoming>(std::move(temporary), std::move(path), std::string(digest),
                                    std::move(fd));
}

ContextDirectory::Incoming::Incoming(std::string temporary, std::string final_path,
                                     std::string digest, UniqueFd fd)
    : temporary_(std::move(temporary)),
      final_path_(std::move(final_path)),
      digest_(std::move(digest)),
      fd_(std::move(fd)),
      hash_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(hash_, EVP_sha256(), nullptr);
}

ContextDirectory::Incoming::~Incoming() {
  EVP_MD_CTX_free(hash_);
  // Renamed away if it was finished.
  unlink(temporary_.c_str());
}

absl::Status ContextDirectory::Incoming::Append(absl::string_view bytes) {
  EVP_DigestUpdate(hash_, bytes.data(), bytes.size());
  return WriteFd(fd_.get(), bytes);
}

absl::Status ContextDirectory::Incoming::Finish() {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_DigestFinal_ex(hash_, hash, &length);
  const std::string actual = absl::StrCat(
      "sha256:", absl::BytesToHexString({reinterpret_cast<const char*>(hash), length}));
  if (actual != digest_) {
    return absl::DataLossError(absl::StrCat("the context sent is ", actual, ", not ", digest_));
  }
  if (fsync(fd_.get()) != 0) return absl::ErrnoToStatus(errno, "storing a context");
  if (rename(temporary_.c_str(), final_path_.c_str()) != 0)
    return absl::ErrnoToStatus(errno, "storing a context");
  return SyncDirectory(final_path_.substr(0, final_path_.rfind('/')));
}

}  // namespace darse::scheduler

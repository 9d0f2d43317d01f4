// Build contexts that were sent for builders that may be away: one file each, named by digest.
//
//   <root>/scheduler/contexts/<64 hex digits>       whole and checked
//   <root>/scheduler/contexts/incoming-<number>     being received; removed at start
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/unique_fd.h"

typedef struct evp_md_ctx_st EVP_MD_CTX;

namespace darse::scheduler {

// Thread-safe.
class ContextDirectory {
 public:
  static absl::StatusOr<std::unique_ptr<ContextDirectory>> Open(absl::string_view path);

  // INVALID_ARGUMENT for what is no sha256 digest, in each of these.
  absl::StatusOr<bool> Has(absl::string_view digest) const;
  absl::StatusOr<std::string> PathOf(absl::string_view digest) const;
  // Deletes those that are not in `wanted` and were not touched since `before`.
  absl::Status Prune(const std::set<std::string>& wanted, absl::Time before) const;

  // One upload; gone without a trace unless finished. One thread.
  class Incoming {
   public:
    Incoming(std::string temporary, std::string final_path, std::string digest, UniqueFd fd);
    ~Incoming();
    absl::Status Append(absl::string_view bytes);
    // DATA_LOSS if the bytes are not those that the digest says.
    absl::Status Finish();

   private:
    const std::string temporary_;
    const std::string final_path_;
    const std::string digest_;
    UniqueFd fd_;
    EVP_MD_CTX* hash_;
  };
  absl::StatusOr<std::unique_ptr<Incoming>> Receive(absl::string_view digest);

 private:
  explicit ContextDirectory(std::string path) : path_(std::move(path)) {}

  const std::string path_;
  std::atomic<int64_t> next_{1};
};

}  // namespace darse::scheduler

// Build contexts, stored by the digest of their tar: sent once, used by many builds, collected when
// old.
//
//   <root>/contexts/<hex>.tar   whole, its row is in the database
//   <root>/ingest/              being received; emptied at start
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/clock.h"
#include "libs/base/unique_fd.h"
#include "libs/oci/digest.h"
#include "libs/sqlite/database.h"
#include "services/builder/contexts/context_files.h"
#include "services/builder/contexts/context_store.h"

namespace darse::builder {

// A context that a build reads. The file stays readable even if it is collected meanwhile.
struct OpenContext {
  UniqueFd tar;
  std::shared_ptr<const ContextFiles> files;
};

// Thread-safe.
class ContextEngine {
 public:
  // `root` is the builder's state directory.
  ContextEngine(std::string root, sqlite::Database& db, Clock& clock);

  // Call once at start: removes what was being received, and rows and files that lack the other
  // half.
  absl::Status Recover();
  // Which are not here. Those that are will not be collected for a while.
  absl::StatusOr<std::vector<std::string>> Missing(const std::vector<std::string>& digests);

  // One context being received; nothing of it stays unless Finish() answers OK.
  class Upload {
   public:
    ~Upload();
    absl::Status Write(absl::string_view bytes);
    // DATA_LOSS if the bytes do not match the digest, INVALID_ARGUMENT if they are no tar.
    absl::Status Finish();

   private:
    friend class ContextEngine;
    Upload(ContextEngine& engine, oci::Digest digest, std::string path, UniqueFd fd)
        : engine_(engine), digest_(std::move(digest)), path_(std::move(path)), fd_(std::move(fd)) {}
    ContextEngine& engine_;
    oci::Digest digest_;
    std::string path_;
    UniqueFd fd_;
    oci::DigestStream stream_;
    int64_t size_ = 0;
  };
  absl::StatusOr<std::unique_ptr<Upload>> Begin(absl::string_view digest);

  // NOT_FOUND if it is not here.
  absl::StatusOr<OpenContext> Open(absl::string_view digest);
  // A regular file of at most 4 MiB. NOT_FOUND if there is none.
  absl::StatusOr<std::string> ReadFile(absl::string_view digest, absl::string_view path);
  // Deletes contexts that nobody used for `age`. How many.
  absl::StatusOr<int> Collect(absl::Duration age);

 private:
  std::string TarPath(absl::string_view digest) const;

  const std::string root_;
  sqlite::Database& db_;
  Clock& clock_;
  ContextStore store_;
  std::atomic<int> next_upload_{0};
  // The newest index read: builds of one context mostly follow each other.
  absl::Mutex mu_;
  std::string cached_digest_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const ContextFiles> cached_files_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::builder

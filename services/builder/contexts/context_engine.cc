#include "services/builder/contexts/context_engine.h"

#include <fcntl.h>
#include <unistd.h>

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse::builder {
namespace {

constexpr int64_t kMaxReadBytes = 4 << 20;

absl::Status NotHere(absl::string_view digest) {
  return absl::NotFoundError(absl::StrCat("build context ", digest, " is not here: send it again"));
}

}  // namespace

ContextEngine::ContextEngine(std::string root, sqlite::Database& db, Clock& clock)
    : root_(std::move(root)), db_(db), clock_(clock) {}

std::string ContextEngine::TarPath(absl::string_view digest) const {
  return absl::StrCat(root_, "/contexts/", absl::StripPrefix(digest, "sha256:"), ".tar");
}

absl::Status ContextEngine::Recover() {
  RETURN_IF_ERROR(RemoveTree(absl::StrCat(root_, "/ingest")));
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(root_, "/ingest"), 0700));
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(root_, "/contexts"), 0700));
  std::vector<std::string> rows;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(rows, store_.ListAll(tx));
    return absl::OkStatus();
  }));
  std::set<std::string> kept;
  for (const std::string& digest : rows) {
    if (Exists(TarPath(digest))) {
      kept.insert(TarPath(digest));
      continue;
    }
    RETURN_IF_ERROR(db_.Write([&](sqlite::Transaction& tx) { return store_.Delete(tx, digest); }));
  }
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(absl::StrCat(root_, "/contexts")));
  for (const std::string& name : names) {
    std::string path = absl::StrCat(root_, "/contexts/", name);
    if (!kept.contains(path)) RETURN_IF_ERROR(RemoveTree(path));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ContextEngine::Missing(
    const std::vector<std::string>& digests) {
  std::vector<std::string> missing;
  RETURN_IF_ERROR(db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    for (const std::string& digest : digests) {
      ASSIGN_OR_RETURN(bool here, store_.Touch(tx, digest, clock_.Now()));
      if (!here) missing.push_back(digest);
    }
    return absl::OkStatus();
  }));
  return missing;
}

absl::StatusOr<std::unique_ptr<ContextEngine::Upload>> ContextEngine::Begin(
    absl::string_view digest) {
  ASSIGN_OR_RETURN(oci::Digest parsed, oci::Digest::Parse(digest));
  std::string path = absl::StrCat(root_, "/ingest/", next_upload_.fetch_add(1));
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("make ", path));
  return std::unique_ptr<Upload>(new Upload(*this, std::move(parsed), path, std::move(fd)));
}

ContextEngine::Upload::~Upload() {
  if (!path_.empty()) unlink(path_.c_str());
}

absl::Status ContextEngine::Upload::Write(absl::string_view bytes) {
  stream_.Update(bytes);
  size_ += static_cast<int64_t>(bytes.size());
  return WriteFd(fd_.get(), bytes);
}

absl::Status ContextEngine::Upload::Finish() {
  oci::Digest found = stream_.Finish();
  if (found != digest_) {
    return absl::DataLossError(absl::StrCat("the build context arrived damaged: its digest is ",
                                            found.text(), ", not ", digest_.text()));
  }
  ASSIGN_OR_RETURN(ContextFiles files, IndexContext(fd_.get()));
  // A queued build relies on it: it must survive a power cut as the build's row does.
  if (fdatasync(fd_.get()) != 0) return absl::ErrnoToStatus(errno, "sync the build context");
  std::string tar = engine_.TarPath(digest_.text());
  if (rename(path_.c_str(), tar.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("rename to ", tar));
  }
  path_.clear();
  RETURN_IF_ERROR(SyncDirectory(absl::StrCat(engine_.root_, "/contexts")));
  return engine_.db_.Write([&](sqlite::Transaction& tx) {
    return engine_.store_.Insert(tx, digest_.text(), size_, files, engine_.clock_.Now());
  });
}

absl::StatusOr<OpenContext> ContextEngine::Open(absl::string_view digest) {
  OpenContext context;
  context.tar = UniqueFd(open(TarPath(digest).c_str(), O_RDONLY | O_CLOEXEC));
  if (!context.tar.valid()) return NotHere(digest);
  {
    absl::MutexLock lock(&mu_);
    if (cached_digest_ == digest) context.files = cached_files_;
  }
  if (context.files != nullptr) return context;
  auto files = std::make_shared<ContextFiles>();
  bool here = false;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(here, store_.Has(tx, digest));
    ASSIGN_OR_RETURN(*files, store_.Files(tx, digest));
    return absl::OkStatus();
  }));
  if (!here) return NotHere(digest);
  context.files = files;
  absl::MutexLock lock(&mu_);
  cached_digest_ = std::string(digest);
  cached_files_ = context.files;
  return context;
}

absl::StatusOr<std::string> ContextEngine::ReadFile(absl::string_view digest,
                                                    absl::string_view path) {
  ASSIGN_OR_RETURN(OpenContext context, Open(digest));
  absl::StatusOr<std::string> resolved = ResolvePath(*context.files, path);
  if (!resolved.ok())
    return absl::NotFoundError(absl::StrCat("\"", path, "\" is not in the build context"));
  auto file = context.files->find(*resolved);
  if (file == context.files->end() || file->second.type != FileType::kFile) {
    return absl::NotFoundError(absl::StrCat("\"", path, "\" is no file in the build context"));
  }
  if (file->second.size > kMaxReadBytes) {
    return absl::InvalidArgumentError(absl::StrCat("\"", path, "\" is larger than 4 MiB"));
  }
  std::string content(file->second.size, '\0');
  size_t done = 0;
  while (done < content.size()) {
    ssize_t got = pread(context.tar.get(), content.data() + done, content.size() - done,
                        file->second.offset + static_cast<int64_t>(done));
    if (got < 0) return absl::ErrnoToStatus(errno, "read the build context");
    if (got == 0) return absl::DataLossError("the stored build context is cut off");
    done += static_cast<size_t>(got);
  }
  return content;
}

absl::StatusOr<int> ContextEngine::Collect(absl::Duration age) {
  std::vector<std::string> digests;
  RETURN_IF_ERROR(db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(digests, store_.ListCollectable(tx, clock_.Now() - age));
    for (const std::string& digest : digests) RETURN_IF_ERROR(store_.Delete(tx, digest));
    return absl::OkStatus();
  }));
  // After the rows: a file without a row is removed at the next start.
  for (const std::string& digest : digests) RETURN_IF_ERROR(RemoveFile(TarPath(digest)));
  return static_cast<int>(digests.size());
}

}  // namespace darse::builder

#include "services/builder/contexts/context_store.h"

#include <utility>

#include "libs/base/status_macros.h"

namespace darse::builder {
namespace {

constexpr char kInsert[] =
    "INSERT OR IGNORE INTO contexts (digest, size_bytes, stored_at, used_at) VALUES (?, ?, ?, ?)";
constexpr char kInsertFile[] =
    "INSERT INTO context_files (context_digest, path, type, mode, size_bytes, mtime, "
    "content_offset, link, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr char kTouch[] = "UPDATE contexts SET used_at = ? WHERE digest = ?";
constexpr char kHas[] = "SELECT 1 FROM contexts WHERE digest = ?";
constexpr char kFiles[] =
    "SELECT path, type, mode, size_bytes, mtime, content_offset, link, content "
    "FROM context_files WHERE context_digest = ? ORDER BY path";
// States 1, 2 and 3 are those of a build that has not ended.
constexpr char kListCollectable[] =
    "SELECT digest FROM contexts WHERE used_at < ? AND NOT EXISTS (SELECT 1 FROM builds WHERE "
    "builds.state IN (1, 2, 3) AND builds.context_digest = contexts.digest) ORDER BY digest";
constexpr char kListAll[] = "SELECT digest FROM contexts ORDER BY digest";
constexpr char kDeleteFiles[] = "DELETE FROM context_files WHERE context_digest = ?";
constexpr char kDelete[] = "DELETE FROM contexts WHERE digest = ?";

absl::StatusOr<std::vector<std::string>> Texts(sqlite::Statement& statement) {
  std::vector<std::string> texts;
  while (true) {
    ASSIGN_OR_RETURN(bool row, statement.Step());
    if (!row) return texts;
    texts.push_back(statement.Text(0));
  }
}

}  // namespace

absl::Status ContextStore::Insert(sqlite::Transaction& tx, absl::string_view digest,
                                  int64_t size_bytes, const ContextFiles& files, absl::Time now) {
  ASSIGN_OR_RETURN(sqlite::Statement insert, tx.Prepare(kInsert));
  insert.Bind(digest, size_bytes, absl::ToUnixMicros(now), absl::ToUnixMicros(now));
  RETURN_IF_ERROR(insert.Run());
  if (tx.Changes() == 0) return Touch(tx, digest, now).status();
  for (const auto& [path, file] : files) {
    ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kInsertFile));
    row.Bind(digest, path, static_cast<int>(file.type), file.mode, file.size, file.mtime,
             file.offset, file.link, file.content);
    RETURN_IF_ERROR(row.Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ContextStore::Touch(sqlite::Transaction& tx, absl::string_view digest,
                                         absl::Time now) {
  ASSIGN_OR_RETURN(sqlite::Statement touch, tx.Prepare(kTouch));
  touch.Bind(absl::ToUnixMicros(now), digest);
  RETURN_IF_ERROR(touch.Run());
  return tx.Changes() > 0;
}

absl::StatusOr<bool> ContextStore::Has(sqlite::Transaction& tx, absl::string_view digest) {
  ASSIGN_OR_RETURN(sqlite::Statement has, tx.Prepare(kHas));
  has.Bind(digest);
  return has.Step();
}

absl::StatusOr<ContextFiles> ContextStore::Files(sqlite::Transaction& tx,
                                                 absl::string_view digest) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kFiles));
  select.Bind(digest);
  ContextFiles files;
  while (true) {
    ASSIGN_OR_RETURN(bool row, select.Step());
    if (!row) return files;
    files.emplace_hint(files.end(), select.Text(0),
                       ContextFile{.type = static_cast<FileType>(select.Int(1)),
                                   .mode = static_cast<uint32_t>(select.Int(2)),
                                   .size = select.Int(3),
                                   .mtime = select.Int(4),
                                   .offset = select.Int(5),
                                   .link = select.Text(6),
                                   .content = select.Text(7)});
  }
}

absl::StatusOr<std::vector<std::string>> ContextStore::ListCollectable(sqlite::Transaction& tx,
                                                                       absl::Time before) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kListCollectable));
  select.Bind(absl::ToUnixMicros(before));
  return Texts(select);
}

absl::StatusOr<std::vector<std::string>> ContextStore::ListAll(sqlite::Transaction& tx) {
  ASSIGN_OR_RETURN(sqlite::Statement select, tx.Prepare(kListAll));
  return Texts(select);
}

absl::Status ContextStore::Delete(sqlite::Transaction& tx, absl::string_view digest) {
  ASSIGN_OR_RETURN(sqlite::Statement files, tx.Prepare(kDeleteFiles));
  files.Bind(digest);
  RETURN_IF_ERROR(files.Run());
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kDelete));
  row.Bind(digest);
  return row.Run();
}

}  // namespace darse::builder

#include "services/runtime/images/image_store.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

using sqlite::Statement;
using sqlite::Transaction;

constexpr char kAdd[] =
    "INSERT INTO images (image_id, config_json, manifest_digest, manifest_json, chain_id, "
    "size_bytes, local_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (image_id) DO NOTHING";
constexpr char kGet[] =
    "SELECT image_id, config_json, manifest_digest, manifest_json, chain_id, size_bytes, local_at "
    "FROM images WHERE image_id = ?";
constexpr char kList[] =
    "SELECT image_id, config_json, manifest_digest, manifest_json, chain_id, size_bytes, local_at "
    "FROM images WHERE (local_at, image_id) < (?, ?) ORDER BY local_at DESC, image_id DESC LIMIT ?";
constexpr char kReferences[] =
    "SELECT reference FROM image_references WHERE image_id = ? ORDER BY reference";
constexpr char kFindReference[] = "SELECT image_id FROM image_references WHERE reference = ?";
constexpr char kFindManifest[] =
    "SELECT image_id FROM images WHERE manifest_digest = ? ORDER BY image_id LIMIT 1";
constexpr char kFindPrefix[] =
    "SELECT image_id FROM images WHERE image_id >= ? AND image_id < ? ORDER BY image_id LIMIT 2";
constexpr char kPutReference[] =
    "INSERT INTO image_references (reference, image_id) VALUES (?, ?) "
    "ON CONFLICT (reference) DO UPDATE SET image_id = excluded.image_id";
constexpr char kDeleteReference[] = "DELETE FROM image_references WHERE reference = ?";
constexpr char kDelete[] = "DELETE FROM images WHERE image_id = ?";

ImageRow ReadImage(const Statement& row) {
  return {.image_id = row.Text(0),
          .config_json = row.Text(1),
          .manifest_digest = row.Text(2),
          .manifest_json = row.Text(3),
          .chain_id = row.Text(4),
          .size_bytes = row.Int(5),
          .local_time = absl::FromUnixNanos(row.Int(6))};
}

absl::StatusOr<std::vector<std::string>> Texts(Statement& statement) {
  std::vector<std::string> texts;
  while (true) {
    ASSIGN_OR_RETURN(bool more, statement.Step());
    if (!more) return texts;
    texts.push_back(statement.Text(0));
  }
}

absl::Status ReadReferences(Transaction& tx, ImageRow* image) {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kReferences));
  select.Bind(image->image_id);
  ASSIGN_OR_RETURN(image->references, Texts(select));
  return absl::OkStatus();
}

}  // namespace

absl::Status ImageStore::Add(Transaction& tx, const ImageRow& image) const {
  ASSIGN_OR_RETURN(Statement insert, tx.Prepare(kAdd));
  std::optional<std::string> chain_id;
  if (!image.chain_id.empty()) chain_id = image.chain_id;
  insert.Bind(image.image_id, image.config_json, image.manifest_digest, image.manifest_json,
              chain_id, image.size_bytes, absl::ToUnixNanos(image.local_time));
  return insert.Run();
}

absl::StatusOr<ImageRow> ImageStore::Get(Transaction& tx, absl::string_view image_id) const {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kGet));
  select.Bind(image_id);
  ASSIGN_OR_RETURN(bool found, select.Step());
  if (!found) return absl::NotFoundError(absl::StrCat("no image \"", image_id, "\""));
  ImageRow image = ReadImage(select);
  RETURN_IF_ERROR(ReadReferences(tx, &image));
  return image;
}

absl::StatusOr<std::string> ImageStore::FindReference(Transaction& tx,
                                                      absl::string_view reference) const {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kFindReference));
  select.Bind(reference);
  ASSIGN_OR_RETURN(bool found, select.Step());
  return found ? select.Text(0) : std::string();
}

absl::StatusOr<std::string> ImageStore::FindManifest(Transaction& tx,
                                                     absl::string_view manifest_digest) const {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kFindManifest));
  select.Bind(manifest_digest);
  ASSIGN_OR_RETURN(bool found, select.Step());
  return found ? select.Text(0) : std::string();
}

absl::StatusOr<std::vector<std::string>> ImageStore::FindPrefix(Transaction& tx,
                                                                absl::string_view prefix) const {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kFindPrefix));
  select.Bind(prefix, absl::StrCat(prefix, "g"));
  return Texts(select);
}

absl::StatusOr<std::vector<ImageRow>> ImageStore::List(Transaction& tx,
                                                       const std::optional<ImageCursor>& after,
                                                       int64_t limit) const {
  std::vector<ImageRow> images;
  {
    ASSIGN_OR_RETURN(Statement select, tx.Prepare(kList));
    ImageCursor start = after.value_or(ImageCursor{std::numeric_limits<int64_t>::max(), ""});
    select.Bind(start.local_ns, start.image_id, limit);
    while (true) {
      ASSIGN_OR_RETURN(bool more, select.Step());
      if (!more) break;
      images.push_back(ReadImage(select));
    }
  }
  for (ImageRow& image : images) RETURN_IF_ERROR(ReadReferences(tx, &image));
  return images;
}

absl::Status ImageStore::PutReference(Transaction& tx, absl::string_view reference,
                                      absl::string_view image_id) const {
  ASSIGN_OR_RETURN(Statement insert, tx.Prepare(kPutReference));
  insert.Bind(reference, image_id);
  return insert.Run();
}

absl::Status ImageStore::DeleteReference(Transaction& tx, absl::string_view reference) const {
  ASSIGN_OR_RETURN(Statement statement, tx.Prepare(kDeleteReference));
  statement.Bind(reference);
  return statement.Run();
}

absl::Status ImageStore::Delete(Transaction& tx, absl::string_view image_id) const {
  ASSIGN_OR_RETURN(Statement statement, tx.Prepare(kDelete));
  statement.Bind(image_id);
  return statement.Run();
}

}  // namespace darse::runtime

#include "services/runtime/volumes/volume_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

using sqlite::Statement;
using sqlite::Transaction;

Volume ToVolume(const Statement& row) {
  return {
      .name = row.Text(0), .created_at = absl::FromUnixNanos(row.Int(2)), .anonymous = row.Bool(1)};
}

// What lies in other tables.
absl::Status Complete(Transaction& tx, Volume& volume) {
  ASSIGN_OR_RETURN(
      Statement labels,
      tx.Prepare("SELECT key, value FROM volume_labels WHERE volume = ?1 ORDER BY key"));
  labels.Bind(volume.name);
  while (true) {
    ASSIGN_OR_RETURN(const bool more, labels.Step());
    if (!more) break;
    volume.labels[labels.Text(0)] = labels.Text(1);
  }
  ASSIGN_OR_RETURN(Statement uses,
                   tx.Prepare("SELECT container_id FROM volume_uses WHERE volume = ?1 "
                              "ORDER BY container_id"));
  uses.Bind(volume.name);
  while (true) {
    ASSIGN_OR_RETURN(const bool more, uses.Step());
    if (!more) return absl::OkStatus();
    volume.container_ids.push_back(uses.Text(0));
  }
}

}  // namespace

absl::Status VolumeStore::Insert(Transaction& tx, const Volume& volume) {
  ASSIGN_OR_RETURN(
      Statement insert,
      tx.Prepare("INSERT INTO volumes (name, anonymous, created_at) VALUES (?1, ?2, ?3)"));
  insert.Bind(volume.name, volume.anonymous, absl::ToUnixNanos(volume.created_at));
  RETURN_IF_ERROR(insert.Run());
  for (const auto& [key, value] : volume.labels) {
    ASSIGN_OR_RETURN(
        Statement label,
        tx.Prepare("INSERT INTO volume_labels (volume, key, value) VALUES (?1, ?2, ?3)"));
    label.Bind(volume.name, key, value);
    RETURN_IF_ERROR(label.Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<Volume> VolumeStore::Get(Transaction& tx, absl::string_view name) {
  ASSIGN_OR_RETURN(Statement get,
                   tx.Prepare("SELECT name, anonymous, created_at FROM volumes WHERE name = ?1"));
  get.Bind(name);
  ASSIGN_OR_RETURN(const bool found, get.Step());
  if (!found) return absl::NotFoundError(absl::StrCat("no volume \"", name, "\""));
  Volume volume = ToVolume(get);
  RETURN_IF_ERROR(Complete(tx, volume));
  return volume;
}

absl::StatusOr<std::vector<Volume>> VolumeStore::List(Transaction& tx) {
  ASSIGN_OR_RETURN(Statement list,
                   tx.Prepare("SELECT name, anonymous, created_at FROM volumes ORDER BY name"));
  std::vector<Volume> volumes;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, list.Step());
    if (!more) break;
    volumes.push_back(ToVolume(list));
  }
  for (Volume& volume : volumes) RETURN_IF_ERROR(Complete(tx, volume));
  return volumes;
}

absl::Status VolumeStore::Delete(Transaction& tx, absl::string_view name) {
  ASSIGN_OR_RETURN(Statement remove, tx.Prepare("DELETE FROM volumes WHERE name = ?1"));
  remove.Bind(name);
  return remove.Run();
}

absl::Status VolumeStore::AddUse(Transaction& tx, absl::string_view name,
                                 absl::string_view container_id) {
  ASSIGN_OR_RETURN(
      Statement insert,
      tx.Prepare("INSERT OR IGNORE INTO volume_uses (volume, container_id) VALUES (?1, ?2)"));
  insert.Bind(name, container_id);
  return insert.Run();
}

absl::StatusOr<bool> VolumeStore::UsesAny(Transaction& tx, absl::string_view container_id) {
  ASSIGN_OR_RETURN(Statement find, tx.Prepare("SELECT 1 FROM volume_uses WHERE container_id = ?1"));
  find.Bind(container_id);
  return find.Step();
}

absl::Status VolumeStore::RemoveUses(Transaction& tx, absl::string_view container_id) {
  ASSIGN_OR_RETURN(Statement remove, tx.Prepare("DELETE FROM volume_uses WHERE container_id = ?1"));
  remove.Bind(container_id);
  return remove.Run();
}

}  // namespace darse::runtime

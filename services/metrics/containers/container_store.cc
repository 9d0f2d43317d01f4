#include "services/metrics/containers/container_store.h"

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"

namespace darse::metrics {
namespace {

constexpr char kList[] =
    "SELECT id, subject, name, image, stack, service, state, health, start_ns, restart_count, "
    "cgroup_path, pid, host_network, host_interfaces FROM containers ORDER BY name, id";
constexpr char kDeleteAll[] = "DELETE FROM containers";
constexpr char kInsert[] =
    "INSERT INTO containers (id, subject, name, image, stack, service, state, health, start_ns, "
    "restart_count, cgroup_path, pid, host_network, host_interfaces) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr char kCursor[] = "SELECT sequence FROM cursor WHERE id = 1";
constexpr char kSetCursor[] =
    "INSERT INTO cursor (id, sequence) VALUES (1, ?) "
    "ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence";

}  // namespace

absl::StatusOr<std::vector<KnownContainer>> ContainerStore::List(sqlite::Transaction& tx) const {
  std::vector<KnownContainer> containers;
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kList));
  for (;;) {
    ASSIGN_OR_RETURN(bool more, row.Step());
    if (!more) return containers;
    KnownContainer container{.id = row.Text(0),
                             .subject = row.Text(1),
                             .name = row.Text(2),
                             .image = row.Text(3),
                             .stack = row.Text(4),
                             .service = row.Text(5),
                             .state = row.Text(6),
                             .health = row.Text(7),
                             .start_time = absl::FromUnixNanos(row.Int(8)),
                             .restart_count = static_cast<int>(row.Int(9)),
                             .cgroup_path = row.Text(10),
                             .pid = row.Int(11),
                             .host_network = row.Bool(12)};
    container.host_interfaces = absl::StrSplit(row.Text(13), ' ', absl::SkipEmpty());
    containers.push_back(std::move(container));
  }
}

absl::Status ContainerStore::Replace(sqlite::Transaction& tx,
                                     const std::vector<KnownContainer>& containers) const {
  ASSIGN_OR_RETURN(sqlite::Statement clear, tx.Prepare(kDeleteAll));
  RETURN_IF_ERROR(clear.Run());
  ASSIGN_OR_RETURN(sqlite::Statement insert, tx.Prepare(kInsert));
  for (const KnownContainer& container : containers) {
    insert.Bind(container.id, container.subject, container.name, container.image, container.stack,
                container.service, container.state, container.health,
                absl::ToUnixNanos(container.start_time), container.restart_count,
                container.cgroup_path, container.pid, container.host_network,
                absl::StrJoin(container.host_interfaces, " "));
    RETURN_IF_ERROR(insert.Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<int64_t>> ContainerStore::Cursor(sqlite::Transaction& tx) const {
  ASSIGN_OR_RETURN(sqlite::Statement row, tx.Prepare(kCursor));
  ASSIGN_OR_RETURN(bool found, row.Step());
  return found ? std::optional<int64_t>(row.Int(0)) : std::nullopt;
}

absl::Status ContainerStore::SetCursor(sqlite::Transaction& tx, int64_t sequence) const {
  ASSIGN_OR_RETURN(sqlite::Statement set, tx.Prepare(kSetCursor));
  set.Bind(sequence);
  return set.Run();
}

}  // namespace darse::metrics

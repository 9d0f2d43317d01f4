#include "services/runtime/containers/container_store.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

constexpr char kInsert[] =
    "INSERT INTO containers (id, name, spec, merged, image_id, state, intent, created_at, "
    "started_at, finished_at, exit_code, oom_killed, error, pid, restart_count, exit_sequence, "
    "stop_requested, health_status, failing_streak, last_output, last_probe_at, network, "
    "cgroup_path, revision) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, "
    "?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)";
constexpr char kUpdate[] =
    "UPDATE containers SET name = ?2, spec = ?3, merged = ?4, image_id = ?5, state = ?6, "
    "intent = ?7, created_at = ?8, started_at = ?9, finished_at = ?10, exit_code = ?11, "
    "oom_killed = ?12, error = ?13, pid = ?14, restart_count = ?15, exit_sequence = ?16, "
    "stop_requested = ?17, health_status = ?18, failing_streak = ?19, last_output = ?20, "
    "last_probe_at = ?21, network = ?22, cgroup_path = ?23, revision = ?24 WHERE id = ?1";
constexpr char kDelete[] = "DELETE FROM containers WHERE id = ?1";
#define DARSE_CONTAINER_COLUMNS                                                                   \
  "SELECT id, name, spec, merged, image_id, state, intent, created_at, started_at, finished_at, " \
  "exit_code, oom_killed, error, pid, restart_count, exit_sequence, stop_requested, "             \
  "health_status, failing_streak, last_output, last_probe_at, network, cgroup_path, revision "    \
  "FROM containers "
constexpr char kGet[] = DARSE_CONTAINER_COLUMNS "WHERE id = ?1";
constexpr char kListAfter[] =
    DARSE_CONTAINER_COLUMNS "WHERE (created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3";
#undef DARSE_CONTAINER_COLUMNS
constexpr char kFindExact[] = "SELECT id FROM containers WHERE id = ?1 OR name = ?1 ORDER BY id";
constexpr char kFindPrefix[] =
    "SELECT id FROM containers WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 2";
constexpr char kListByImage[] = "SELECT id FROM containers WHERE image_id = ?1 ORDER BY id";
constexpr char kAddRequest[] =
    "INSERT INTO container_requests (request_id, container_id, created_at) VALUES (?1, ?2, ?3)";
constexpr char kForgetRequests[] = "DELETE FROM container_requests WHERE created_at < ?1";
constexpr char kFindRequest[] =
    "SELECT container_id FROM container_requests WHERE request_id = ?1 AND created_at >= ?2";
constexpr char kDeleteRequests[] = "DELETE FROM container_requests WHERE container_id = ?1";

constexpr absl::Duration kRequestsAreKept = absl::Hours(24);

int64_t Nanos(absl::Time time) {
  return time == absl::InfinitePast() ? 0 : absl::ToUnixNanos(time);
}
absl::Time Time(int64_t nanos) {
  return nanos == 0 ? absl::InfinitePast() : absl::FromUnixNanos(nanos);
}

std::string EncodeNetwork(const ContainerRecord& record) {
  v1::Container network;
  for (const Endpoint& endpoint : record.endpoints) {
    v1::NetworkEndpoint* out = network.add_endpoints();
    out->set_network_id(endpoint.network_id);
    out->set_network_name(endpoint.network_name);
    out->set_ipv4_address(endpoint.ipv4_address);
    out->set_ipv4_prefix_length(endpoint.ipv4_prefix_length);
    out->set_gateway(endpoint.gateway);
    out->set_mac_address(endpoint.mac_address);
    out->set_host_interface(endpoint.host_interface);
    out->mutable_aliases()->Add(endpoint.aliases.begin(), endpoint.aliases.end());
  }
  for (const PortMapping& port : record.ports) {
    v1::PortMapping* out = network.add_ports();
    out->set_host_ip(port.host_ip);
    out->set_host_port(port.host_port);
    out->set_container_port(port.container_port);
    out->set_protocol(port.protocol);
  }
  network.set_first_user_id(record.first_user_id);
  network.set_user_namespace_obstacle(record.user_namespace_obstacle);
  return network.SerializeAsString();
}

absl::Status DecodeNetwork(const std::string& bytes, ContainerRecord& record) {
  v1::Container network;
  if (!network.ParseFromString(bytes)) {
    return absl::DataLossError(absl::StrCat("container ", record.id, ": damaged network column"));
  }
  for (const v1::NetworkEndpoint& in : network.endpoints()) {
    record.endpoints.push_back({.network_id = in.network_id(),
                                .network_name = in.network_name(),
                                .ipv4_address = in.ipv4_address(),
                                .ipv4_prefix_length = in.ipv4_prefix_length(),
                                .gateway = in.gateway(),
                                .mac_address = in.mac_address(),
                                .host_interface = in.host_interface(),
                                .aliases = {in.aliases().begin(), in.aliases().end()}});
  }
  for (const v1::PortMapping& in : network.ports()) {
    record.ports.push_back({.host_ip = in.host_ip(),
                            .host_port = static_cast<uint16_t>(in.host_port()),
                            .container_port = static_cast<uint16_t>(in.container_port()),
                            .protocol = in.protocol()});
  }
  record.first_user_id = network.first_user_id();
  record.user_namespace_obstacle = network.user_namespace_obstacle();
  return absl::OkStatus();
}

absl::Status Write(sqlite::Transaction& tx, const char* sql, const ContainerRecord& record) {
  ASSIGN_OR_RETURN(sqlite::Statement statement, tx.Prepare(sql));
  std::string spec = record.spec.SerializeAsString();
  std::string merged = record.merged.SerializeAsString();
  std::string network = EncodeNetwork(record);
  using Blob = sqlite::Statement::Blob;
  statement.Bind(record.id, record.name, Blob{spec}, Blob{merged}, record.image_id,
                 static_cast<int>(record.state), static_cast<int>(record.intent),
                 Nanos(record.created_at), Nanos(record.started_at), Nanos(record.finished_at),
                 record.exit_code, record.oom_killed, record.error, record.pid,
                 record.restart_count, record.exit_sequence, record.stop_requested,
                 static_cast<int>(record.health.status), record.health.failing_streak,
                 record.health.last_output, Nanos(record.health.last_probe_at), Blob{network},
                 record.cgroup_path, record.revision);
  return statement.Run();
}

absl::StatusOr<ContainerRecord> Read(const sqlite::Statement& row) {
  ContainerRecord record;
  record.id = row.Text(0);
  record.name = row.Text(1);
  if (!record.spec.ParseFromString(row.Bytes(2)) || !record.merged.ParseFromString(row.Bytes(3))) {
    return absl::DataLossError(absl::StrCat("container ", record.id, ": damaged spec"));
  }
  record.image_id = row.Text(4);
  record.state = static_cast<ContainerState>(row.Int(5));
  record.intent = static_cast<Intent>(row.Int(6));
  record.created_at = Time(row.Int(7));
  record.started_at = Time(row.Int(8));
  record.finished_at = Time(row.Int(9));
  record.exit_code = static_cast<int>(row.Int(10));
  record.oom_killed = row.Bool(11);
  record.error = row.Text(12);
  record.pid = row.Int(13);
  record.restart_count = static_cast<int>(row.Int(14));
  record.exit_sequence = static_cast<uint64_t>(row.Int(15));
  record.stop_requested = row.Bool(16);
  record.health.status = static_cast<HealthStatus>(row.Int(17));
  record.health.failing_streak = static_cast<int>(row.Int(18));
  record.health.last_output = row.Text(19);
  record.health.last_probe_at = Time(row.Int(20));
  RETURN_IF_ERROR(DecodeNetwork(row.Bytes(21), record));
  record.cgroup_path = row.Text(22);
  record.revision = row.Int(23);
  return record;
}

absl::StatusOr<std::vector<std::string>> Texts(sqlite::Statement& statement) {
  std::vector<std::string> texts;
  while (true) {
    ASSIGN_OR_RETURN(bool more, statement.Step());
    if (!more) return texts;
    texts.push_back(statement.Text(0));
  }
}

}  // namespace

absl::Status ContainerStore::Insert(sqlite::Transaction& tx, const ContainerRecord& record) {
  absl::Status inserted = Write(tx, kInsert, record);
  if (absl::IsAlreadyExists(inserted)) {
    return absl::AlreadyExistsError(
        absl::StrCat("the name \"", record.name, "\" is taken by another container"));
  }
  return inserted;
}

absl::Status ContainerStore::Update(sqlite::Transaction& tx, ContainerRecord& record) {
  ++record.revision;
  return Write(tx, kUpdate, record);
}

absl::Status ContainerStore::Delete(sqlite::Transaction& tx, absl::string_view id) {
  ASSIGN_OR_RETURN(sqlite::Statement statement, tx.Prepare(kDelete));
  statement.Bind(id);
  return statement.Run();
}

absl::StatusOr<ContainerRecord> ContainerStore::Get(sqlite::Transaction& tx, absl::string_view id) {
  ASSIGN_OR_RETURN(sqlite::Statement statement, tx.Prepare(kGet));
  statement.Bind(id);
  ASSIGN_OR_RETURN(bool found, statement.Step());
  if (!found) return absl::NotFoundError(absl::StrCat("no container \"", id, "\""));
  return Read(statement);
}

absl::StatusOr<std::string> ContainerStore::Find(sqlite::Transaction& tx,
                                                 absl::string_view reference) {
  if (reference.empty()) return absl::InvalidArgumentError("no container is named");
  {
    ASSIGN_OR_RETURN(sqlite::Statement exact, tx.Prepare(kFindExact));
    exact.Bind(reference);
    ASSIGN_OR_RETURN(std::vector<std::string> ids, Texts(exact));
    // A name may look like an id; the id wins.
    for (const std::string& id : ids) {
      if (id == reference) return id;
    }
    if (!ids.empty()) return ids[0];
  }
  bool hex = std::all_of(reference.begin(), reference.end(),
                         [](char c) { return absl::ascii_isxdigit(c) && !absl::ascii_isupper(c); });
  if (hex) {
    ASSIGN_OR_RETURN(sqlite::Statement prefix, tx.Prepare(kFindPrefix));
    prefix.Bind(reference, absl::StrCat(reference, "g"));
    ASSIGN_OR_RETURN(std::vector<std::string> ids, Texts(prefix));
    if (ids.size() == 1) return ids[0];
    if (ids.size() > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("the ids of several containers begin with \"", reference, "\""));
    }
  }
  return absl::NotFoundError(absl::StrCat("no container \"", reference, "\""));
}

absl::StatusOr<std::vector<ContainerRecord>> ContainerStore::List(sqlite::Transaction& tx,
                                                                  const ContainerCursor& after,
                                                                  int max) {
  ASSIGN_OR_RETURN(sqlite::Statement statement, tx.Prepare(kListAfter));
  statement.Bind(after.created_ns, after.id, max);
  std::vector<ContainerRecord> records;
  while (true) {
    ASSIGN_OR_RETURN(bool more, statement.Step());
    if (!more) return records;
    ASSIGN_OR_RETURN(ContainerRecord record, Read(statement));
    records.push_back(std::move(record));
  }
}

absl::StatusOr<std::vector<ContainerRecord>> ContainerStore::ListAll(sqlite::Transaction& tx) {
  return List(tx, {}, -1);
}

absl::StatusOr<std::vector<std::string>> ContainerStore::ListByImage(sqlite::Transaction& tx,
                                                                     absl::string_view image_id) {
  ASSIGN_OR_RETURN(sqlite::Statement statement, tx.Prepare(kListByImage));
  statement.Bind(image_id);
  return Texts(statement);
}

absl::Status ContainerStore::AddRequest(sqlite::Transaction& tx, absl::string_view request_id,
                                        absl::string_view container_id, absl::Time now) {
  {
    ASSIGN_OR_RETURN(sqlite::Statement forget, tx.Prepare(kForgetRequests));
    forget.Bind(Nanos(now - kRequestsAreKept));
    RETURN_IF_ERROR(forget.Run());
  }
  ASSIGN_OR_RETURN(sqlite::Statement add, tx.Prepare(kAddRequest));
  add.Bind(request_id, container_id, Nanos(now));
  return add.Run();
}

absl::StatusOr<std::string> ContainerStore::FindRequest(sqlite::Transaction& tx,
                                                        absl::string_view request_id,
                                                        absl::Time now) {
  ASSIGN_OR_RETURN(sqlite::Statement find, tx.Prepare(kFindRequest));
  find.Bind(request_id, Nanos(now - kRequestsAreKept));
  ASSIGN_OR_RETURN(bool found, find.Step());
  return found ? find.Text(0) : std::string();
}

absl::Status ContainerStore::DeleteRequests(sqlite::Transaction& tx,
                                            absl::string_view container_id) {
  ASSIGN_OR_RETURN(sqlite::Statement statement, tx.Prepare(kDeleteRequests));
  statement.Bind(container_id);
  return statement.Run();
}

}  // namespace darse::runtime

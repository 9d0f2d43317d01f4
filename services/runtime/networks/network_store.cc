#include "services/runtime/networks/network_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

using sqlite::Statement;
using sqlite::Transaction;

constexpr char kColumns[] = "id, name, subnet, gateway, internal, interface, created_at";

std::vector<std::string> Words(absl::string_view text) {
  return absl::StrSplit(text, ' ', absl::SkipEmpty());
}

Network ToNetwork(const Statement& row) {
  return {.id = row.Text(0),
          .name = row.Text(1),
          .subnet = row.Text(2),
          .gateway = row.Text(3),
          .internal = row.Bool(4),
          .created_at = absl::FromUnixNanos(row.Int(6)),
          .interface = row.Text(5)};
}

// What lies in other tables.
absl::Status Complete(Transaction& tx, Network& network) {
  ASSIGN_OR_RETURN(
      Statement labels,
      tx.Prepare("SELECT key, value FROM network_labels WHERE network_id = ?1 ORDER BY key"));
  labels.Bind(network.id);
  while (true) {
    ASSIGN_OR_RETURN(const bool more, labels.Step());
    if (!more) break;
    network.labels[labels.Text(0)] = labels.Text(1);
  }
  ASSIGN_OR_RETURN(Statement containers,
                   tx.Prepare("SELECT container_id FROM network_endpoints WHERE network_id = ?1 "
                              "ORDER BY container_id"));
  containers.Bind(network.id);
  while (true) {
    ASSIGN_OR_RETURN(const bool more, containers.Step());
    if (!more) return absl::OkStatus();
    network.container_ids.push_back(containers.Text(0));
  }
}

// `statement` selects kColumns and has its bindings.
absl::StatusOr<std::vector<Network>> Networks(Transaction& tx, Statement statement) {
  std::vector<Network> networks;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, statement.Step());
    if (!more) break;
    networks.push_back(ToNetwork(statement));
  }
  for (Network& network : networks) RETURN_IF_ERROR(Complete(tx, network));
  return networks;
}

absl::Status Complete(Transaction& tx, Attachment& attachment) {
  ASSIGN_OR_RETURN(Statement endpoints,
                   tx.Prepare("SELECT network_id, address, aliases FROM network_endpoints "
                              "WHERE container_id = ?1 ORDER BY position"));
  endpoints.Bind(attachment.container_id);
  while (true) {
    ASSIGN_OR_RETURN(const bool more, endpoints.Step());
    if (!more) break;
    attachment.endpoints.push_back({.network_id = endpoints.Text(0),
                                    .address = {static_cast<uint32_t>(endpoints.Int(1))},
                                    .aliases = Words(endpoints.Text(2))});
  }
  ASSIGN_OR_RETURN(Statement ports,
                   tx.Prepare("SELECT host_ip, host_port, container_port, protocol "
                              "FROM network_ports WHERE container_id = ?1 ORDER BY position"));
  ports.Bind(attachment.container_id);
  while (true) {
    ASSIGN_OR_RETURN(const bool more, ports.Step());
    if (!more) return absl::OkStatus();
    attachment.ports.push_back({.host_ip = ports.Text(0),
                                .host_port = static_cast<uint16_t>(ports.Int(1)),
                                .container_port = static_cast<uint16_t>(ports.Int(2)),
                                .protocol = ports.Text(3)});
  }
}

Attachment ToAttachment(const Statement& row) {
  return {.container_id = row.Text(0),
          .container_name = row.Text(1),
          .mode = static_cast<NetworkMode>(row.Int(2)),
          .network_container_id = row.Text(3),
          .attached = row.Bool(4),
          .generation = row.Int(5),
          .first_id = static_cast<uint32_t>(row.Int(8)),
          .dns = Words(row.Text(6)),
          .dns_search = Words(row.Text(7))};
}

absl::Status PutEndpoints(Transaction& tx, const Attachment& attachment) {
  ASSIGN_OR_RETURN(Statement clear,
                   tx.Prepare("DELETE FROM network_endpoints WHERE container_id = ?1"));
  clear.Bind(attachment.container_id);
  RETURN_IF_ERROR(clear.Run());
  int position = 0;
  for (const EndpointRow& endpoint : attachment.endpoints) {
    ASSIGN_OR_RETURN(
        Statement insert,
        tx.Prepare("INSERT INTO network_endpoints (container_id, position, network_id, address, "
                   "aliases) VALUES (?1, ?2, ?3, ?4, ?5)"));
    insert.Bind(attachment.container_id, position++, endpoint.network_id, endpoint.address.bits,
                absl::StrJoin(endpoint.aliases, " "));
    RETURN_IF_ERROR(insert.Run());
  }
  return absl::OkStatus();
}

absl::Status PutPorts(Transaction& tx, const Attachment& attachment) {
  ASSIGN_OR_RETURN(Statement clear,
                   tx.Prepare("DELETE FROM network_ports WHERE container_id = ?1"));
  clear.Bind(attachment.container_id);
  RETURN_IF_ERROR(clear.Run());
  int position = 0;
  for (const PortMapping& port : attachment.ports) {
    ASSIGN_OR_RETURN(
        Statement insert,
        tx.Prepare("INSERT INTO network_ports (container_id, position, protocol, host_ip, "
                   "host_port, container_port) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"));
    insert.Bind(attachment.container_id, position++, port.protocol, port.host_ip, port.host_port,
                port.container_port);
    RETURN_IF_ERROR(insert.Run());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status NetworkStore::Insert(Transaction& tx, const Network& network) {
  ASSIGN_OR_RETURN(Statement insert,
                   tx.Prepare("INSERT INTO networks (id, name, subnet, gateway, internal, "
                              "interface, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"));
  insert.Bind(network.id, network.name, network.subnet, network.gateway, network.internal,
              network.interface, absl::ToUnixNanos(network.created_at));
  RETURN_IF_ERROR(insert.Run());
  for (const auto& [key, value] : network.labels) {
    ASSIGN_OR_RETURN(
        Statement label,
        tx.Prepare("INSERT INTO network_labels (network_id, key, value) VALUES (?1, ?2, ?3)"));
    label.Bind(network.id, key, value);
    RETURN_IF_ERROR(label.Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<Network> NetworkStore::Get(Transaction& tx, absl::string_view network) {
  static const std::string kGet = absl::StrCat(
      "SELECT ", kColumns, " FROM networks WHERE name = ?1 OR id = ?1 ORDER BY name = ?1 DESC");
  ASSIGN_OR_RETURN(Statement get, tx.Prepare(kGet.c_str()));
  get.Bind(network);
  ASSIGN_OR_RETURN(std::vector<Network> found, Networks(tx, std::move(get)));
  if (!found.empty()) return found.front();

  static const std::string kByPrefix = absl::StrCat(
      "SELECT ", kColumns, " FROM networks WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id");
  if (!network.empty()) {
    ASSIGN_OR_RETURN(Statement by_prefix, tx.Prepare(kByPrefix.c_str()));
    by_prefix.Bind(network);
    ASSIGN_OR_RETURN(found, Networks(tx, std::move(by_prefix)));
  }
  if (found.empty()) return absl::NotFoundError(absl::StrCat("no network \"", network, "\""));
  if (found.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", network, "\" is the beginning of more than one network's id"));
  }
  return found.front();
}

absl::StatusOr<std::vector<Network>> NetworkStore::List(Transaction& tx) {
  static const std::string kList =
      absl::StrCat("SELECT ", kColumns, " FROM networks ORDER BY name");
  ASSIGN_OR_RETURN(Statement list, tx.Prepare(kList.c_str()));
  return Networks(tx, std::move(list));
}

absl::Status NetworkStore::Delete(Transaction& tx, absl::string_view id) {
  ASSIGN_OR_RETURN(Statement remove, tx.Prepare("DELETE FROM networks WHERE id = ?1"));
  remove.Bind(id);
  return remove.Run();
}

absl::StatusOr<Attachment> NetworkStore::GetAttachment(Transaction& tx,
                                                       absl::string_view container_id) {
  ASSIGN_OR_RETURN(
      Statement get,
      tx.Prepare("SELECT container_id, container_name, mode, network_container_id, attached, "
                 "generation, dns, dns_search, first_id FROM network_attachments WHERE "
                 "container_id = ?1"));
  get.Bind(container_id);
  ASSIGN_OR_RETURN(const bool found, get.Step());
  if (!found) {
    return absl::NotFoundError(absl::StrCat("container ", container_id, " has no network"));
  }
  Attachment attachment = ToAttachment(get);
  RETURN_IF_ERROR(Complete(tx, attachment));
  return attachment;
}

absl::StatusOr<std::vector<Attachment>> NetworkStore::ListAttachments(
    Transaction& tx, absl::string_view network_id) {
  ASSIGN_OR_RETURN(
      Statement list,
      tx.Prepare("SELECT container_id, container_name, mode, network_container_id, attached, "
                 "generation, dns, dns_search, first_id FROM network_attachments WHERE ?1 = '' OR "
                 "container_id IN (SELECT container_id FROM network_endpoints WHERE "
                 "network_id = ?1) ORDER BY container_id"));
  list.Bind(network_id);
  std::vector<Attachment> attachments;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, list.Step());
    if (!more) break;
    attachments.push_back(ToAttachment(list));
  }
  for (Attachment& attachment : attachments) RETURN_IF_ERROR(Complete(tx, attachment));
  return attachments;
}

absl::Status NetworkStore::Put(Transaction& tx, const Attachment& attachment) {
  ASSIGN_OR_RETURN(
      Statement put,
      tx.Prepare("INSERT INTO network_attachments (container_id, container_name, mode, "
                 "network_container_id, attached, generation, dns, dns_search, first_id) "
                 "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (container_id) DO UPDATE "
                 "SET container_name = ?2, mode = ?3, network_container_id = ?4, attached = ?5, "
                 "generation = ?6, dns = ?7, dns_search = ?8, first_id = ?9"));
  put.Bind(attachment.container_id, attachment.container_name, static_cast<int>(attachment.mode),
           attachment.network_container_id, attachment.attached, attachment.generation,
           absl::StrJoin(attachment.dns, " "), absl::StrJoin(attachment.dns_search, " "),
           attachment.first_id);
  RETURN_IF_ERROR(put.Run());
  RETURN_IF_ERROR(PutEndpoints(tx, attachment));
  return PutPorts(tx, attachment);
}

absl::Status NetworkStore::DeleteAttachment(Transaction& tx, absl::string_view container_id) {
  ASSIGN_OR_RETURN(Statement remove,
                   tx.Prepare("DELETE FROM network_attachments WHERE container_id = ?1"));
  remove.Bind(container_id);
  return remove.Run();
}

absl::StatusOr<std::vector<netlink::Ipv4>> NetworkStore::Addresses(Transaction& tx,
                                                                   absl::string_view network_id) {
  ASSIGN_OR_RETURN(
      Statement list,
      tx.Prepare("SELECT address FROM network_endpoints WHERE network_id = ?1 ORDER BY address"));
  list.Bind(network_id);
  std::vector<netlink::Ipv4> addresses;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, list.Step());
    if (!more) return addresses;
    addresses.push_back({static_cast<uint32_t>(list.Int(0))});
  }
}

absl::StatusOr<std::vector<NetworkStore::PublishedPort>> NetworkStore::PortsAt(
    Transaction& tx, absl::string_view protocol, uint16_t host_port) {
  ASSIGN_OR_RETURN(
      Statement list,
      tx.Prepare("SELECT p.container_id, a.container_name, p.host_ip, p.container_port "
                 "FROM network_ports p JOIN network_attachments a USING (container_id) "
                 "WHERE p.protocol = ?1 AND p.host_port = ?2 ORDER BY p.host_ip"));
  list.Bind(protocol, host_port);
  std::vector<PublishedPort> ports;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, list.Step());
    if (!more) return ports;
    ports.push_back({.container_id = list.Text(0),
                     .container_name = list.Text(1),
                     .port = {.host_ip = list.Text(2),
                              .host_port = host_port,
                              .container_port = static_cast<uint16_t>(list.Int(3)),
                              .protocol = std::string(protocol)}});
  }
}

absl::Status NetworkStore::AddHostChange(Transaction& tx, absl::string_view change) {
  ASSIGN_OR_RETURN(Statement insert,
                   tx.Prepare("INSERT OR IGNORE INTO network_host_changes (change) VALUES (?1)"));
  insert.Bind(change);
  return insert.Run();
}

absl::StatusOr<std::vector<std::string>> NetworkStore::HostChanges(Transaction& tx) {
  ASSIGN_OR_RETURN(Statement list,
                   tx.Prepare("SELECT change FROM network_host_changes ORDER BY change"));
  std::vector<std::string> changes;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, list.Step());
    if (!more) return changes;
    changes.push_back(list.Text(0));
  }
}

}  // namespace darse::runtime

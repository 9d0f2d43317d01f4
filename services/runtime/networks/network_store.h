// Rows of networks and of containers' places on them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/linux/netlink/ipv4.h"
#include "libs/sqlite/database.h"
#include "services/runtime/networks/network.h"

namespace darse::runtime {

// Lists of words (aliases, servers) are stored separated by one space: none of them may hold one.
inline constexpr char kNetworkSchema[] = R"sql(
  CREATE TABLE networks (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    subnet TEXT NOT NULL UNIQUE,
    gateway TEXT NOT NULL,
    internal INTEGER NOT NULL,
    interface TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL  -- nanoseconds since 1970
  ) STRICT;
  CREATE TABLE network_labels (
    network_id TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (network_id, key)
  ) STRICT;
  -- One row a container that was reserved or attached and is not forgotten.
  CREATE TABLE network_attachments (
    container_id TEXT NOT NULL PRIMARY KEY,
    container_name TEXT NOT NULL,
    mode INTEGER NOT NULL,  -- NetworkMode
    network_container_id TEXT NOT NULL,
    attached INTEGER NOT NULL,
    generation INTEGER NOT NULL,  -- grows with each Attach
    dns TEXT NOT NULL,
    dns_search TEXT NOT NULL
  ) STRICT;
  CREATE TABLE network_endpoints (
    container_id TEXT NOT NULL REFERENCES network_attachments (container_id) ON DELETE CASCADE,
    position INTEGER NOT NULL,  -- 0 is eth0
    network_id TEXT NOT NULL REFERENCES networks (id),
    address INTEGER NOT NULL,  -- IPv4, host order
    aliases TEXT NOT NULL,
    PRIMARY KEY (container_id, position),
    UNIQUE (network_id, container_id),
    UNIQUE (network_id, address)
  ) STRICT;
  -- Published ports, while their container is attached.
  CREATE TABLE network_ports (
    container_id TEXT NOT NULL REFERENCES network_attachments (container_id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    protocol TEXT NOT NULL,
    host_ip TEXT NOT NULL,  -- empty: all addresses
    host_port INTEGER NOT NULL,
    container_port INTEGER NOT NULL,
    PRIMARY KEY (container_id, position),
    UNIQUE (protocol, host_port, host_ip)
  ) STRICT;
  -- What was changed on this host beside Darse's own interfaces and rules, as sentences.
  CREATE TABLE network_host_changes (
    change TEXT NOT NULL PRIMARY KEY
  ) STRICT;
)sql";

// The second migration.
inline constexpr char kNetworkUserIdsSchema[] = R"sql(
  -- Of the user namespace, while the container is attached; 0: it has none.
  ALTER TABLE network_attachments ADD COLUMN first_id INTEGER NOT NULL DEFAULT 0;
)sql";

// A container's place on one network, as stored.
struct EndpointRow {
  std::string network_id;
  netlink::Ipv4 address;
  std::vector<std::string> aliases;
};

// All that is stored about one container.
struct Attachment {
  std::string container_id;
  std::string container_name;
  NetworkMode mode = NetworkMode::kBridge;
  std::string network_container_id;
  bool attached = false;
  int64_t generation = 0;
  uint32_t first_id = 0;
  std::vector<std::string> dns;
  std::vector<std::string> dns_search;
  std::vector<EndpointRow> endpoints;
  std::vector<PortMapping> ports;
};

// Stateless; thread-safe.
class NetworkStore {
 public:
  static absl::Status Insert(sqlite::Transaction& tx, const Network& network);
  // By name, id or unique prefix of an id; NOT_FOUND, or INVALID_ARGUMENT if ambiguous.
  static absl::StatusOr<Network> Get(sqlite::Transaction& tx, absl::string_view network);
  // By name.
  static absl::StatusOr<std::vector<Network>> List(sqlite::Transaction& tx);
  static absl::Status Delete(sqlite::Transaction& tx, absl::string_view id);

  // NOT_FOUND unless there is one.
  static absl::StatusOr<Attachment> GetAttachment(sqlite::Transaction& tx,
                                                  absl::string_view container_id);
  // Those with a place on the network, or all with an empty id; by container.
  static absl::StatusOr<std::vector<Attachment>> ListAttachments(sqlite::Transaction& tx,
                                                                 absl::string_view network_id);
  // Replaces all that is stored about the container. ALREADY_EXISTS for an address or port taken by
  // another.
  static absl::Status Put(sqlite::Transaction& tx, const Attachment& attachment);
  static absl::Status DeleteAttachment(sqlite::Transaction& tx, absl::string_view container_id);
  static absl::StatusOr<std::vector<netlink::Ipv4>> Addresses(sqlite::Transaction& tx,
                                                              absl::string_view network_id);

  struct PublishedPort {
    std::string container_id;
    std::string container_name;
    PortMapping port;
  };
  // Those with this protocol and host port.
  static absl::StatusOr<std::vector<PublishedPort>> PortsAt(sqlite::Transaction& tx,
                                                            absl::string_view protocol,
                                                            uint16_t host_port);

  static absl::Status AddHostChange(sqlite::Transaction& tx, absl::string_view change);
  static absl::StatusOr<std::vector<std::string>> HostChanges(sqlite::Transaction& tx);
};

}  // namespace darse::runtime

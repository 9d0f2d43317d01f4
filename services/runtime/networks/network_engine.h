// Networks of this node: bridges, addresses, published ports and names, kept equal to the records.
//
// Life of a container's place on its networks:
//   Reserve, at create, may be left out: addresses are chosen and kept; the networks cannot be
//     deleted any more.
//   Attach, at each start: namespace, veths, port map elements, names.
//   Detach, at each stop: the namespace, ports and names go; the addresses stay.
//   Forget, at delete: the addresses are free again.
// Every verb may be repeated. What a crash leaves half done is finished or undone by Recover.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/clock.h"
#include "libs/eventlog/event_log.h"
#include "libs/linux/netlink/netlink_driver.h"
#include "libs/linux/nft/nft_driver.h"
#include "libs/sqlite/database.h"
#include "services/runtime/networks/network.h"
#include "services/runtime/networks/network_store.h"

namespace darse::runtime {

inline constexpr char kDefaultNetwork[] = "bridge";

struct NetworkOptions {
  // 1 to 8 of [a-z0-9], a letter first: bridges are <prefix><hex>, veths <prefix>v<hex>.
  std::string bridge_prefix = "drs";
  // Networks without a subnet of their own get a /24 of this.
  std::string pool = "10.89.0.0/16";
  // netns/, userns/ and dns/ are made below it.
  std::string run_dir;
  std::string nft_table = "darse";
  std::string resolv_conf = "/etc/resolv.conf";
};

struct CreateNetworkOptions {
  std::string name;
  // Empty: the next free one of the pool.
  std::string subnet;
  bool internal = false;
  std::map<std::string, std::string> labels;
};

// Thread-safe.
class NetworkEngine {
 public:
  // `new_id` answers 64 random hex digits.
  NetworkEngine(sqlite::Database& db, EventLog& events, netlink::NetlinkDriver& links,
                nft::NftDriver& rules, Clock& clock, std::function<std::string()> new_id,
                NetworkOptions options);
  ~NetworkEngine();

  // Once, before any other verb: makes the default network if there is none and brings bridges,
  // rules, published ports, namespaces and names into agreement with the records. Containers not in
  // `live_containers` are detached.
  absl::Status Recover(const std::set<std::string>& live_containers);

  // Puts back what somebody took away while we run: the table ("nft flush ruleset", a firewall's
  // reload), bridges, and forwarding. Quick when nothing is missing.
  absl::Status Heal();

  // The same name with the same settings again answers the existing network. ALREADY_EXISTS with
  // others; RESOURCE_EXHAUSTED when the pool is used up; FAILED_PRECONDITION when the subnet
  // overlaps another one.
  absl::StatusOr<Network> Create(const CreateNetworkOptions& wanted, absl::string_view actor);
  // `network` is a name, an id or a unique prefix of an id.
  absl::StatusOr<Network> Get(absl::string_view network);
  // By name.
  absl::StatusOr<std::vector<Network>> List();
  // FAILED_PRECONDITION (NETWORK_IN_USE) while a container, running or not, is attached.
  absl::Status Delete(absl::string_view network, absl::string_view actor);
  // Deletes the networks without containers, but for the default one; answers their names.
  absl::StatusOr<std::vector<std::string>> Prune(absl::string_view actor);

  // In the transaction that makes the container: checks the request and chooses the addresses, so
  // that one that cannot be attached is refused when it is created.
  absl::Status Reserve(sqlite::Transaction& tx, const AttachRequest& request);
  // A container that is attached already is attached anew. FAILED_PRECONDITION (PORT_IN_USE) names
  // who has the port; NOT_FOUND an unknown network.
  // `rest` is set where its namespaces are there already, so that they can be joined: it gives them
  // their interfaces, ports and names. To be called once; after its error, or instead, call Detach.
  absl::StatusOr<AttachedNetwork> Attach(const AttachRequest& request,
                                         std::function<absl::Status()>* rest = nullptr);
  absl::Status Detach(absl::string_view container_id);
  // Makes a user namespace and its network namespace in advance for a container that is to come: an
  // Attach that asks for such uses them, one that does not drops them. They do not outlive this
  // process unused.
  absl::Status Prepare(absl::string_view container_id);
  absl::Status DropPrepared(absl::string_view container_id);
  // In the transaction that deletes the container. To be called after its commit: what it answers,
  // whereupon addresses and ports are free; and at some time DropRest(), which nobody need wait
  // for, for its names and namespaces. Recover() does both after a crash in between.
  absl::StatusOr<std::function<absl::Status()>> Forget(sqlite::Transaction& tx,
                                                       absl::string_view container_id);
  absl::Status DropRest(absl::string_view container_id);
  // What Attach answered, from the records; NOT_FOUND unless reserved or attached.
  absl::StatusOr<AttachedNetwork> Find(absl::string_view container_id);

  // What was changed on this host beside Darse's own interfaces and rules, as sentences.
  std::vector<std::string> HostChanges();
  // What of this host keeps containers from being reached, as sentences with the way out.
  std::vector<std::string> Warnings();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Removes from the kernel all that a runtime with these options made: namespaces, bridges, rules,
// names. Needs no records and may be called with none; containers lose their network.
absl::Status TearDownNetworks(netlink::NetlinkDriver& links, nft::NftDriver& rules,
                              const NetworkOptions& options);

}  // namespace darse::runtime

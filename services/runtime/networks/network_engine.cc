#include "services/runtime/networks/network_engine.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/base/undo_stack.h"
#include "libs/os/files.h"
#include "services/runtime/networks/address_plan.h"
#include "services/runtime/networks/attach_check.h"
#include "services/runtime/networks/container_namespaces.h"
#include "services/runtime/networks/names_file.h"
#include "services/runtime/networks/port_probe.h"

namespace darse::runtime {
namespace {

using netlink::Ipv4;
using netlink::Ipv4Prefix;
using sqlite::Transaction;

constexpr uint32_t kDefaultMtu = 1500;
// Generation of what is made in advance: that of the first start, if it uses it.
constexpr int64_t kPrepared = 0;
// Chosen ports that another container took in between are chosen again so often.
constexpr int kPortAttempts = 16;

nft::FirewallNetwork ToFirewall(const Network& network) {
  return {.interface = network.interface, .subnet = network.subnet, .internal = network.internal};
}

NewEvent NetworkEvent(absl::string_view action, const Network& network,
                      absl::string_view container_id, absl::string_view actor) {
  NewEvent event{.kind = "network",
                 .action = std::string(action),
                 .id = network.id,
                 .attributes = {{"name", network.name}},
                 .actor = std::string(actor)};
  if (!container_id.empty()) event.attributes["container"] = std::string(container_id);
  return event;
}

// The smallest MTU of the interfaces that lead out of the host.
absl::StatusOr<uint32_t> UplinkMtu(netlink::NetlinkDriver& links,
                                   const std::vector<netlink::Link>& interfaces) {
  ASSIGN_OR_RETURN(const std::vector<netlink::Route> routes, links.Routes());
  uint32_t mtu = kDefaultMtu;
  for (const netlink::Route& route : routes) {
    if (route.destination.length != 0) continue;
    for (const netlink::Link& link : interfaces) {
      if (link.name == route.interface) mtu = std::min(mtu, link.mtu);
    }
  }
  return mtu;
}

}  // namespace

struct NetworkEngine::State {
  sqlite::Database& db;
  EventLog& events;
  netlink::NetlinkDriver& links;
  nft::NftDriver& rules;
  Clock& clock;
  std::function<std::string()> new_id;
  NetworkOptions options;
  // Keeps the newest contents of a names file the last that are written. Held over the writing of a
  // small file.
  absl::Mutex names_mu;

  ContainerNamespaces namespaces{links, options.run_dir};

  // Of forgotten containers: what DropRest() has to do.
  struct Rest {
    uint32_t first_id = 0;
    std::vector<std::string> network_ids;
  };
  absl::Mutex rest_mu;
  std::map<std::string, Rest, std::less<>> rest ABSL_GUARDED_BY(rest_mu);

  std::string NamesDirectory() const { return JoinPath(options.run_dir, "dns"); }

  void SetNamespaces(const Attachment& attachment, AttachedNetwork& answer);
  // What of an attachment is not stored but follows from it.
  absl::StatusOr<AttachedNetwork> Describe(Transaction& tx, const Attachment& attachment);
  std::vector<nft::FirewallPort> FirewallPorts(const std::vector<Network>& networks,
                                               const Attachment& attachment);

  absl::StatusOr<Attachment> Plan(Transaction& tx, const AttachRequest& request,
                                  std::vector<Network>& networks);
  absl::Status ClaimPorts(Transaction& tx, Attachment& attachment, const AttachRequest& request,
                          const std::vector<PortMapping>& chosen);
  // Whether what was made in advance fits.
  bool UsesPrepared(const AttachRequest& request, const Attachment& attachment);
  absl::StatusOr<Attachment> Record(const AttachRequest& request, uint32_t first_id,
                                    std::vector<Network>& networks);

  absl::Status EnsureBridge(const Network& network);
  absl::Status MakeNamespace(const Attachment& attachment, const std::vector<Network>& networks);
  absl::Status WriteNames(absl::string_view network_id);
  // What a container had, as it was before its records went.
  struct Released {
    Attachment attachment;
    std::vector<Network> networks;
  };
  absl::Status Release(Transaction& tx, absl::string_view container_id, bool forget,
                       Released& released);
  // After the commit: the ports go, and the rest is noted for DropRest().
  absl::Status Withdraw(const Released& released);
  absl::Status DropRest(absl::string_view container_id);

  absl::Status DetachTheDead(const std::set<std::string>& live);
  absl::Status DropStrangers(const std::vector<Network>& networks,
                             const std::set<std::string>& live);
  absl::Status EnsureDefaultNetwork(NetworkEngine& engine);
  absl::StatusOr<Network> CreateRecord(const CreateNetworkOptions& wanted, absl::string_view actor,
                                       bool& made);
};

NetworkEngine::NetworkEngine(sqlite::Database& db, EventLog& events, netlink::NetlinkDriver& links,
                             nft::NftDriver& rules, Clock& clock,
                             std::function<std::string()> new_id, NetworkOptions options)
    : state_(new State{.db = db,
                       .events = events,
                       .links = links,
                       .rules = rules,
                       .clock = clock,
                       .new_id = std::move(new_id),
                       .options = std::move(options)}) {}

NetworkEngine::~NetworkEngine() = default;

// ---- networks ----

absl::StatusOr<Network> NetworkEngine::State::CreateRecord(const CreateNetworkOptions& wanted,
                                                           absl::string_view actor, bool& made) {
  RETURN_IF_ERROR(CheckNetworkName(wanted.name));
  ASSIGN_OR_RETURN(const Ipv4Prefix pool, Ipv4Prefix::Parse(options.pool));
  std::optional<Ipv4Prefix> subnet;
  if (!wanted.subnet.empty()) {
    ASSIGN_OR_RETURN(subnet, Ipv4Prefix::Parse(wanted.subnet));
    RETURN_IF_ERROR(CheckSubnet(*subnet));
  }
  ASSIGN_OR_RETURN(const std::vector<netlink::Route> routes, links.Routes());
  const std::string id = new_id();
  Network network;
  RETURN_IF_ERROR(db.Write([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const std::vector<Network> others, NetworkStore::List(tx));
    std::vector<Ipv4Prefix> taken;
    for (const Network& other : others) {
      if (other.name == wanted.name) {
        if (other.internal == wanted.internal && other.labels == wanted.labels &&
            (!subnet || other.subnet == subnet->ToString())) {
          network = other;
          return absl::OkStatus();
        }
        return absl::AlreadyExistsError(
            absl::StrCat("there is a network \"", wanted.name, "\" with other settings"));
      }
      ASSIGN_OR_RETURN(const Ipv4Prefix used, Ipv4Prefix::Parse(other.subnet));
      if (subnet && used.Overlaps(*subnet)) {
        return absl::FailedPreconditionError(absl::StrCat("subnet ", wanted.subnet, " overlaps ",
                                                          other.subnet, " of network \"",
                                                          other.name, "\""));
      }
      taken.push_back(used);
    }
    for (const netlink::Route& route : routes) {
      if (route.destination.length == 0 || IsOwnInterface(options.bridge_prefix, route.interface)) {
        continue;
      }
      if (subnet && route.destination.Overlaps(*subnet)) {
        return absl::FailedPreconditionError(
            absl::StrCat("subnet ", wanted.subnet, " overlaps this host's route to ",
                         route.destination.ToString(), " by ", route.interface));
      }
      taken.push_back(route.destination);
    }
    if (!subnet) {
      ASSIGN_OR_RETURN(
          subnet, ChooseSubnet(pool, SubnetLength(pool, wanted.name == kDefaultNetwork), taken));
    }
    network = {.id = id,
               .name = wanted.name,
               .subnet = subnet->ToString(),
               .gateway = GatewayOf(*subnet).ToString(),
               .internal = wanted.internal,
               .labels = wanted.labels,
               .created_at = clock.Now(),
               .interface = BridgeName(options.bridge_prefix, id)};
    made = true;
    RETURN_IF_ERROR(NetworkStore::Insert(tx, network));
    return events.Append(tx, NetworkEvent("create", network, "", actor));
  }));
  return network;
}

absl::Status NetworkEngine::State::EnsureBridge(const Network& network) {
  ASSIGN_OR_RETURN(const Ipv4Prefix subnet, Ipv4Prefix::Parse(network.subnet));
  ASSIGN_OR_RETURN(const std::vector<netlink::Link> interfaces, links.Links());
  ASSIGN_OR_RETURN(const uint32_t mtu, UplinkMtu(links, interfaces));
  const Ipv4 gateway = GatewayOf(subnet);
  return links.EnsureBridge({.name = network.interface,
                             .address = {gateway, subnet.length},
                             .mac = MacOf(gateway),
                             .mtu = mtu});
}

// A crash after the record: Recover makes bridge, rules and names.
absl::StatusOr<Network> NetworkEngine::Create(const CreateNetworkOptions& wanted,
                                              absl::string_view actor) {
  bool made = false;
  ASSIGN_OR_RETURN(const Network network, state_->CreateRecord(wanted, actor, made));
  if (!made) return network;
  UndoStack undo;
  undo.Push([this, id = network.id, actor] { Delete(id, actor).IgnoreError(); });
  RETURN_IF_ERROR(state_->EnsureBridge(network));
  RETURN_IF_ERROR(state_->rules.AddNetwork(ToFirewall(network)));
  RETURN_IF_ERROR(state_->WriteNames(network.id));
  undo.Commit();
  return network;
}

absl::StatusOr<Network> NetworkEngine::Get(absl::string_view network) {
  Network found;
  RETURN_IF_ERROR(state_->db.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(found, NetworkStore::Get(tx, network));
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<std::vector<Network>> NetworkEngine::List() {
  std::vector<Network> networks;
  RETURN_IF_ERROR(state_->db.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(networks, NetworkStore::List(tx));
    return absl::OkStatus();
  }));
  return networks;
}

// A crash after the record is gone: Recover drops bridge, rules and names.
absl::Status NetworkEngine::Delete(absl::string_view name, absl::string_view actor) {
  Network network;
  RETURN_IF_ERROR(state_->db.Write([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(network, NetworkStore::Get(tx, name));
    if (network.name == kDefaultNetwork) {
      return absl::FailedPreconditionError(
          absl::StrCat("network \"", kDefaultNetwork, "\" is the default one and stays"));
    }
    if (!network.container_ids.empty()) {
      return WithReason(
          absl::FailedPreconditionError(absl::StrCat(
              "network \"", network.name, "\" is used by ", network.container_ids.size(),
              " containers, the first is ", network.container_ids.front().substr(0, 12))),
          "NETWORK_IN_USE");
    }
    RETURN_IF_ERROR(NetworkStore::Delete(tx, network.id));
    return state_->events.Append(tx, NetworkEvent("destroy", network, "", actor));
  }));
  RETURN_IF_ERROR(state_->rules.RemoveNetwork(ToFirewall(network)));
  RETURN_IF_ERROR(state_->WriteNames(network.id));
  RETURN_IF_ERROR(
      RemoveFile(JoinPath(state_->NamesDirectory(), absl::StrCat(network.interface, ".names"))));
  return state_->links.DeleteLink(network.interface);
}

absl::StatusOr<std::vector<std::string>> NetworkEngine::Prune(absl::string_view actor) {
  ASSIGN_OR_RETURN(const std::vector<Network> networks, List());
  std::vector<std::string> deleted;
  for (const Network& network : networks) {
    if (!network.container_ids.empty() || network.name == kDefaultNetwork) continue;
    const absl::Status status = Delete(network.id, actor);
    // Somebody was faster: attached a container, or deleted it.
    if (absl::IsFailedPrecondition(status) || absl::IsNotFound(status)) continue;
    RETURN_IF_ERROR(status);
    deleted.push_back(network.name);
  }
  return deleted;
}

absl::Status NetworkEngine::State::WriteNames(absl::string_view network_id) {
  absl::MutexLock lock(&names_mu);
  Network network;
  std::vector<Attachment> attached;
  const absl::Status read = db.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(network, NetworkStore::Get(tx, network_id));
    ASSIGN_OR_RETURN(attached, NetworkStore::ListAttachments(tx, network_id));
    return absl::OkStatus();
  });
  if (absl::IsNotFound(read)) return absl::OkStatus();
  RETURN_IF_ERROR(read);
  std::erase_if(attached, [](const Attachment& attachment) { return !attachment.attached; });
  const std::string path = JoinPath(NamesDirectory(), absl::StrCat(network.interface, ".names"));
  return WriteFileVolatile(path, NamesFile(network, attached));
}

// ---- containers' places ----

void NetworkEngine::State::SetNamespaces(const Attachment& attachment, AttachedNetwork& answer) {
  answer.netns_path = namespaces.NetworkPath(attachment.container_id);
  answer.first_id = attachment.first_id;
  if (attachment.first_id != 0) answer.userns_path = namespaces.UserPath(attachment.container_id);
}

absl::StatusOr<AttachedNetwork> NetworkEngine::State::Describe(Transaction& tx,
                                                               const Attachment& attachment) {
  AttachedNetwork answer;
  absl::StatusOr<std::string> host_conf = ReadFile(options.resolv_conf);
  const std::string conf = host_conf.ok() ? *host_conf : "";
  switch (attachment.mode) {
    case NetworkMode::kHost:
      answer.resolv_conf = ResolvConf(conf, attachment.dns, attachment.dns_search, false);
      return answer;
    case NetworkMode::kNone:
      SetNamespaces(attachment, answer);
      answer.resolv_conf = ResolvConf(conf, attachment.dns, attachment.dns_search, false);
      return answer;
    case NetworkMode::kContainer: {
      ASSIGN_OR_RETURN(const Attachment other,
                       NetworkStore::GetAttachment(tx, attachment.network_container_id));
      ASSIGN_OR_RETURN(AttachedNetwork theirs, Describe(tx, other));
      answer.netns_path = theirs.netns_path;
      if (attachment.first_id != 0) {
        answer.userns_path = theirs.userns_path;
        answer.first_id = attachment.first_id;
      }
      answer.resolv_conf = theirs.resolv_conf;
      return answer;
    }
    case NetworkMode::kBridge:
      break;
  }
  SetNamespaces(attachment, answer);
  answer.ports = attachment.ports;
  for (const EndpointRow& row : attachment.endpoints) {
    ASSIGN_OR_RETURN(const Network network, NetworkStore::Get(tx, row.network_id));
    ASSIGN_OR_RETURN(const Ipv4Prefix subnet, Ipv4Prefix::Parse(network.subnet));
    const int position = static_cast<int>(answer.endpoints.size());
    answer.endpoints.push_back(
        {.network_id = network.id,
         .network_name = network.name,
         .ipv4_address = row.address.ToString(),
         .ipv4_prefix_length = static_cast<uint32_t>(subnet.length),
         .gateway = network.gateway,
         .mac_address = netlink::MacToString(MacOf(row.address)),
         .host_interface = VethName(options.bridge_prefix, attachment.container_id,
                                    attachment.generation, position),
         .container_interface = absl::StrCat("eth", position),
         .aliases = row.aliases});
  }
  answer.resolv_conf =
      ResolvConf(conf, {answer.endpoints.front().gateway}, attachment.dns_search, true);
  return answer;
}

std::vector<nft::FirewallPort> NetworkEngine::State::FirewallPorts(
    const std::vector<Network>& networks, const Attachment& attachment) {
  const EndpointRow* target = nullptr;
  for (const EndpointRow& endpoint : attachment.endpoints) {
    for (const Network& network : networks) {
      if (network.id == endpoint.network_id && !network.internal && target == nullptr) {
        target = &endpoint;
      }
    }
  }
  std::vector<nft::FirewallPort> ports;
  if (target == nullptr) return ports;
  for (const PortMapping& port : attachment.ports) {
    ports.push_back({.host_ip = port.host_ip,
                     .host_port = port.host_port,
                     .protocol = port.protocol,
                     .address = target->address.ToString(),
                     .port = port.container_port});
  }
  return ports;
}

// What the request makes of the container's record: networks found, addresses chosen or kept.
absl::StatusOr<Attachment> NetworkEngine::State::Plan(Transaction& tx, const AttachRequest& request,
                                                      std::vector<Network>& networks) {
  networks.clear();
  absl::StatusOr<Attachment> old = NetworkStore::GetAttachment(tx, request.container_id);
  if (!old.ok() && !absl::IsNotFound(old.status())) return old.status();
  Attachment plan{.container_id = request.container_id,
                  .container_name = request.container_name,
                  .mode = request.mode,
                  .network_container_id = request.network_container_id,
                  .dns = request.dns,
                  .dns_search = request.dns_search};
  if (old.ok()) {
    plan.attached = old->attached;
    plan.generation = old->generation;
    plan.first_id = old->first_id;
    plan.ports = old->ports;
  }
  if (request.mode != NetworkMode::kBridge) return plan;

  std::vector<NetworkAttachment> wanted = request.networks;
  if (wanted.empty()) wanted.push_back({.network = kDefaultNetwork});
  bool way_out = false;
  for (const NetworkAttachment& place : wanted) {
    ASSIGN_OR_RETURN(const Network network, NetworkStore::Get(tx, place.network));
    for (const Network& other : networks) {
      if (other.id == network.id) {
        return absl::InvalidArgumentError(
            absl::StrCat("network \"", network.name, "\" is given twice"));
      }
    }
    ASSIGN_OR_RETURN(const Ipv4Prefix subnet, Ipv4Prefix::Parse(network.subnet));
    ASSIGN_OR_RETURN(std::vector<Ipv4> taken, NetworkStore::Addresses(tx, network.id));
    EndpointRow row{.network_id = network.id, .aliases = place.aliases};
    std::optional<Ipv4> kept;
    for (const EndpointRow& had : old.ok() ? old->endpoints : std::vector<EndpointRow>()) {
      if (had.network_id == network.id) kept = had.address;
    }
    if (kept && (place.ipv4_address.empty() || place.ipv4_address == kept->ToString())) {
      row.address = *kept;
    } else {
      ASSIGN_OR_RETURN(row.address, ChooseAddress(subnet, taken, place.ipv4_address));
    }
    way_out = way_out || !network.internal;
    plan.endpoints.push_back(row);
    networks.push_back(network);
  }
  if (!request.ports.empty() && !way_out) {
    return absl::FailedPreconditionError(
        "a port cannot be published: all networks of the container are internal");
  }
  return plan;
}

absl::Status NetworkEngine::Reserve(Transaction& tx, const AttachRequest& asked) {
  ASSIGN_OR_RETURN(const AttachRequest request, CheckAttachRequest(asked));
  std::vector<Network> networks;
  ASSIGN_OR_RETURN(const Attachment plan, state_->Plan(tx, request, networks));
  return NetworkStore::Put(tx, plan);
}

absl::Status NetworkEngine::State::ClaimPorts(Transaction& tx, Attachment& attachment,
                                              const AttachRequest& request,
                                              const std::vector<PortMapping>& chosen) {
  attachment.ports = chosen;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const PortMapping& port = chosen[i];
    ASSIGN_OR_RETURN(const std::vector<NetworkStore::PublishedPort> others,
                     NetworkStore::PortsAt(tx, port.protocol, port.host_port));
    for (const NetworkStore::PublishedPort& other : others) {
      if (other.container_id == request.container_id) continue;
      if (!other.port.host_ip.empty() && !port.host_ip.empty() &&
          other.port.host_ip != port.host_ip) {
        continue;
      }
      absl::Status in_use = WithReason(absl::FailedPreconditionError(absl::StrCat(
                                           "port ", port.host_port, "/", port.protocol,
                                           " is used by container \"", other.container_name, "\"")),
                                       "PORT_IN_USE");
      // ABORTED: another free one may be chosen.
      if (request.ports[i].host_port == 0) return absl::AbortedError(in_use.message());
      return in_use;
    }
  }
  return absl::OkStatus();
}

bool NetworkEngine::State::UsesPrepared(const AttachRequest& request,
                                        const Attachment& attachment) {
  return request.user_namespace && request.mode == NetworkMode::kBridge &&
         attachment.generation == kPrepared && namespaces.IsPrepared(request.container_id);
}

// Writes down that the container is attached, with its addresses and ports, before anything is
// made.
absl::StatusOr<Attachment> NetworkEngine::State::Record(const AttachRequest& request,
                                                        uint32_t first_id,
                                                        std::vector<Network>& networks) {
  absl::Status status;
  for (int attempt = 0; attempt < kPortAttempts; ++attempt) {
    std::vector<PortMapping> chosen = request.ports;
    for (PortMapping& port : chosen) {
      if (port.host_port != 0) continue;
      ASSIGN_OR_RETURN(port.host_port, ChooseFreePort(port));
    }
    Attachment attachment;
    auto record = [&](Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(attachment, Plan(tx, request, networks));
      RETURN_IF_ERROR(ClaimPorts(tx, attachment, request, chosen));
      attachment.first_id = first_id;
      if (request.mode == NetworkMode::kContainer) {
        ASSIGN_OR_RETURN(const Attachment other,
                         NetworkStore::GetAttachment(tx, request.network_container_id));
        if (!other.attached) {
          return absl::FailedPreconditionError(
              absl::StrCat("container \"", other.container_name,
                           "\", whose network is to be joined, does not run"));
        }
        if (request.user_namespace) attachment.first_id = other.first_id;
      }
      attachment.attached = true;
      // A name that was not used yet: what has the old one may be on its way out.
      if (!UsesPrepared(request, attachment)) ++attachment.generation;
      RETURN_IF_ERROR(NetworkStore::Put(tx, attachment));
      for (const Network& network : networks) {
        RETURN_IF_ERROR(
            events.Append(tx, NetworkEvent("connect", network, request.container_id, "runtime")));
      }
      return absl::OkStatus();
    };
    // Relaxed, here and below: the container's record, which comes after, makes it durable.
    status = db.Write(record, sqlite::Durability::kRelaxed);
    if (status.ok()) return attachment;
    if (!absl::IsAborted(status)) return status;
  }
  return absl::ResourceExhaustedError(absl::StrCat("choosing a free port: ", status.message()));
}

absl::Status NetworkEngine::State::MakeNamespace(const Attachment& attachment,
                                                 const std::vector<Network>& networks) {
  std::vector<netlink::VethSpec> veths;
  bool has_default_route = false;
  for (size_t i = 0; i < attachment.endpoints.size(); ++i) {
    const Network& network = networks[i];
    ASSIGN_OR_RETURN(const Ipv4Prefix subnet, Ipv4Prefix::Parse(network.subnet));
    const Ipv4 address = attachment.endpoints[i].address;
    netlink::VethSpec veth{.host_name = VethName(options.bridge_prefix, attachment.container_id,
                                                 attachment.generation, static_cast<int>(i)),
                           .bridge = network.interface,
                           .name = absl::StrCat("eth", i),
                           .mac = MacOf(address),
                           .address = {address, subnet.length}};
    if (!network.internal && !has_default_route) {
      veth.gateway = GatewayOf(subnet);
      has_default_route = true;
    }
    veths.push_back(veth);
  }
  const std::string& id = attachment.container_id;
  const absl::Status made = namespaces.Make(id, attachment.first_id, veths);
  if (!absl::IsNotFound(made)) return made;
  // Somebody deleted a bridge: it is made again.
  for (const Network& network : networks) RETURN_IF_ERROR(EnsureBridge(network));
  return namespaces.Make(id, attachment.first_id, veths);
}

// A crash after the record: Recover detaches the container if it does not run.
absl::StatusOr<AttachedNetwork> NetworkEngine::Attach(const AttachRequest& asked,
                                                      std::function<absl::Status()>* rest) {
  ASSIGN_OR_RETURN(const AttachRequest request, CheckAttachRequest(asked));
  // Whatever is left of an earlier start, ports included.
  RETURN_IF_ERROR(Detach(request.container_id));
  for (const PortMapping& port : request.ports) {
    if (port.host_port != 0) RETURN_IF_ERROR(ProbePort(port));
  }
  std::vector<Network> networks;
  const bool own = request.mode == NetworkMode::kBridge || request.mode == NetworkMode::kNone;
  uint32_t first_id = 0;
  if (own && request.user_namespace) {
    ASSIGN_OR_RETURN(first_id, state_->namespaces.TakeIds(request.container_id));
  }
  absl::StatusOr<Attachment> recorded = state_->Record(request, first_id, networks);
  if (!recorded.ok()) {
    state_->namespaces.Drop(request.container_id, first_id).IgnoreError();
    return recorded.status();
  }
  const Attachment& attachment = *recorded;
  UndoStack undo;
  undo.Push([this, id = request.container_id] { Detach(id).IgnoreError(); });
  AttachedNetwork answer;
  RETURN_IF_ERROR(state_->db.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(answer, state_->Describe(tx, attachment));
    return absl::OkStatus();
  }));
  auto complete = [this, attachment, networks, own]() -> absl::Status {
    if (own) {
      RETURN_IF_ERROR(state_->MakeNamespace(attachment, networks));
    } else {
      RETURN_IF_ERROR(DropPrepared(attachment.container_id));
      state_->namespaces.Share(attachment.first_id);
    }
    RETURN_IF_ERROR(state_->rules.AddPorts(state_->FirewallPorts(networks, attachment)));
    for (const Network& network : networks) RETURN_IF_ERROR(state_->WriteNames(network.id));
    return absl::OkStatus();
  };
  if (rest != nullptr && own && state_->UsesPrepared(request, attachment)) {
    *rest = std::move(complete);
  } else {
    RETURN_IF_ERROR(complete());
  }
  undo.Commit();
  return answer;
}

absl::Status NetworkEngine::State::Release(Transaction& tx, absl::string_view container_id,
                                           bool forget, Released& released) {
  released = {};
  absl::StatusOr<Attachment> found = NetworkStore::GetAttachment(tx, container_id);
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  RETURN_IF_ERROR(found.status());
  Attachment& attachment = *found;
  if (!attachment.attached && !forget) return absl::OkStatus();
  for (const EndpointRow& endpoint : attachment.endpoints) {
    ASSIGN_OR_RETURN(released.networks.emplace_back(), NetworkStore::Get(tx, endpoint.network_id));
  }
  if (attachment.attached) {
    for (const Network& network : released.networks) {
      RETURN_IF_ERROR(
          events.Append(tx, NetworkEvent("disconnect", network, container_id, "runtime")));
    }
  }
  released.attachment = attachment;
  if (forget) return NetworkStore::DeleteAttachment(tx, container_id);
  attachment.attached = false;
  attachment.first_id = 0;
  attachment.ports.clear();
  return NetworkStore::Put(tx, attachment);
}

absl::Status NetworkEngine::State::Withdraw(const Released& released) {
  const Attachment& attachment = released.attachment;
  if (!attachment.attached) return absl::OkStatus();
  Rest rest_of_it = {.first_id = attachment.first_id};
  for (const Network& network : released.networks) rest_of_it.network_ids.push_back(network.id);
  {
    absl::MutexLock lock(&rest_mu);
    rest.insert_or_assign(attachment.container_id, std::move(rest_of_it));
  }
  return rules.RemovePorts(FirewallPorts(released.networks, attachment));
}

absl::Status NetworkEngine::State::DropRest(absl::string_view container_id) {
  Rest todo;
  {
    absl::MutexLock lock(&rest_mu);
    auto found = rest.find(container_id);
    if (found == rest.end()) return absl::OkStatus();
    todo = std::move(found->second);
    rest.erase(found);
  }
  absl::Status named;
  for (const std::string& id : todo.network_ids) named.Update(WriteNames(id));
  // In any case: the range of ids is free only then.
  const absl::Status dropped = namespaces.Drop(container_id, todo.first_id);
  return named.ok() ? dropped : named;
}

absl::Status NetworkEngine::Prepare(absl::string_view container_id) {
  return state_->namespaces.Prepare(
      container_id, VethName(state_->options.bridge_prefix, container_id, kPrepared, 0));
}

absl::Status NetworkEngine::DropPrepared(absl::string_view container_id) {
  return state_->namespaces.DropPrepared(container_id);
}

// A crash after the record: Recover drops the rest.
absl::Status NetworkEngine::Detach(absl::string_view container_id) {
  // Most calls find nothing to do: a commit is not for them.
  bool attached = false;
  RETURN_IF_ERROR(state_->db.Read([&](Transaction& tx) -> absl::Status {
    absl::StatusOr<Attachment> found = NetworkStore::GetAttachment(tx, container_id);
    attached = found.ok() && found->attached;
    return absl::IsNotFound(found.status()) ? absl::OkStatus() : found.status();
  }));
  if (!attached) return absl::OkStatus();
  State::Released released;
  RETURN_IF_ERROR(state_->db.Write(
      [&](Transaction& tx) { return state_->Release(tx, container_id, false, released); },
      sqlite::Durability::kRelaxed));
  RETURN_IF_ERROR(state_->Withdraw(released));
  return state_->DropRest(container_id);
}

absl::StatusOr<std::function<absl::Status()>> NetworkEngine::Forget(
    Transaction& tx, absl::string_view container_id) {
  auto released = std::make_shared<State::Released>();
  RETURN_IF_ERROR(state_->Release(tx, container_id, true, *released));
  return [this, released] { return state_->Withdraw(*released); };
}

absl::Status NetworkEngine::DropRest(absl::string_view container_id) {
  return state_->DropRest(container_id);
}

absl::StatusOr<AttachedNetwork> NetworkEngine::Find(absl::string_view container_id) {
  AttachedNetwork answer;
  RETURN_IF_ERROR(state_->db.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const Attachment attachment, NetworkStore::GetAttachment(tx, container_id));
    ASSIGN_OR_RETURN(answer, state_->Describe(tx, attachment));
    return absl::OkStatus();
  }));
  return answer;
}

std::vector<std::string> NetworkEngine::HostChanges() {
  std::vector<std::string> changes;
  state_->db
      .Read([&](Transaction& tx) -> absl::Status {
        ASSIGN_OR_RETURN(changes, NetworkStore::HostChanges(tx));
        return absl::OkStatus();
      })
      .IgnoreError();
  return changes;
}

std::vector<std::string> NetworkEngine::Warnings() {
  std::vector<std::string> warnings;
  absl::StatusOr<std::vector<std::string>> drops = state_->rules.ForwardDrops();
  if (!drops.ok()) return warnings;
  for (const std::string& chain : *drops) {
    warnings.push_back(
        absl::StrCat("the firewall chain \"", chain,
                     "\" drops forwarded packets that none of its rules accepts: containers reach "
                     "each other, the outside and "
                     "their published ports only as far as it has rules for interfaces \"",
                     state_->options.bridge_prefix, "*\""));
  }
  return warnings;
}

// ---- recovery ----

absl::Status NetworkEngine::State::DetachTheDead(const std::set<std::string>& live) {
  return db.Write([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<Attachment> all, NetworkStore::ListAttachments(tx, ""));
    for (Attachment& attachment : all) {
      if (!attachment.attached || live.contains(attachment.container_id)) continue;
      attachment.attached = false;
      attachment.first_id = 0;
      attachment.ports.clear();
      RETURN_IF_ERROR(NetworkStore::Put(tx, attachment));
      for (const EndpointRow& endpoint : attachment.endpoints) {
        ASSIGN_OR_RETURN(const Network network, NetworkStore::Get(tx, endpoint.network_id));
        RETURN_IF_ERROR(events.Append(
            tx, NetworkEvent("disconnect", network, attachment.container_id, "runtime")));
      }
    }
    return absl::OkStatus();
  });
}

// Interfaces, namespaces and names files that no record knows.
absl::Status NetworkEngine::State::DropStrangers(const std::vector<Network>& networks,
                                                 const std::set<std::string>& live) {
  std::set<std::string> bridges;
  std::set<std::string> names;
  for (const Network& network : networks) {
    bridges.insert(network.interface);
    names.insert(absl::StrCat(network.interface, ".names"));
  }
  ASSIGN_OR_RETURN(const std::vector<netlink::Link> there, links.Links());
  for (const netlink::Link& link : there) {
    if (link.kind == "bridge" && IsOwnInterface(options.bridge_prefix, link.name) &&
        !bridges.contains(link.name)) {
      RETURN_IF_ERROR(links.DeleteLink(link.name));
    }
  }
  RETURN_IF_ERROR(namespaces.Recover(live));
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ListDirectory(NamesDirectory()));
  for (const std::string& file : files) {
    if (!names.contains(file)) RETURN_IF_ERROR(RemoveFile(JoinPath(NamesDirectory(), file)));
  }
  return absl::OkStatus();
}

absl::Status NetworkEngine::State::EnsureDefaultNetwork(NetworkEngine& engine) {
  const absl::Status found = engine.Get(kDefaultNetwork).status();
  if (!absl::IsNotFound(found)) return found;
  return Annotate(engine.Create({.name = kDefaultNetwork}, "runtime").status(),
                  "making the default network");
}

absl::Status NetworkEngine::Recover(const std::set<std::string>& live_containers) {
  State& state = *state_;
  RETURN_IF_ERROR(CheckBridgePrefix(state.options.bridge_prefix));
  RETURN_IF_ERROR(MakeDirectories(state.NamesDirectory()));
  ASSIGN_OR_RETURN(const bool changed, state.links.EnableForwarding());
  if (changed) {
    RETURN_IF_ERROR(state.db.Write([](Transaction& tx) {
      return NetworkStore::AddHostChange(
          tx, "net.ipv4.ip_forward was off and is on now: this host routes IPv4 packets");
    }));
  }
  RETURN_IF_ERROR(state.DetachTheDead(live_containers));
  RETURN_IF_ERROR(state.EnsureDefaultNetwork(*this));

  std::vector<Network> networks;
  std::vector<Attachment> attachments;
  RETURN_IF_ERROR(state.db.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(networks, NetworkStore::List(tx));
    ASSIGN_OR_RETURN(attachments, NetworkStore::ListAttachments(tx, ""));
    return absl::OkStatus();
  }));
  std::vector<nft::FirewallNetwork> firewall_networks;
  for (const Network& network : networks) {
    RETURN_IF_ERROR(state.EnsureBridge(network));
    firewall_networks.push_back(ToFirewall(network));
  }
  std::vector<nft::FirewallPort> firewall_ports;
  for (const Attachment& attachment : attachments) {
    if (!attachment.attached) continue;
    state.namespaces.Share(attachment.first_id);
    for (nft::FirewallPort& port : state.FirewallPorts(networks, attachment)) {
      firewall_ports.push_back(std::move(port));
    }
  }
  RETURN_IF_ERROR(state.rules.Replace(firewall_networks, firewall_ports));
  RETURN_IF_ERROR(state.DropStrangers(networks, live_containers));
  for (const Network& network : networks) RETURN_IF_ERROR(state.WriteNames(network.id));
  return absl::OkStatus();
}

absl::Status NetworkEngine::Heal() {
  State& state = *state_;
  RETURN_IF_ERROR(state.links.EnableForwarding().status());
  RETURN_IF_ERROR(state.rules.EnsureTable());
  ASSIGN_OR_RETURN(const std::vector<netlink::Link> links, state.links.Links());
  ASSIGN_OR_RETURN(const std::vector<Network> networks, List());
  ASSIGN_OR_RETURN(const uint32_t mtu, UplinkMtu(state.links, links));
  for (const Network& network : networks) {
    const bool whole = std::any_of(links.begin(), links.end(), [&](const netlink::Link& link) {
      return link.name == network.interface && link.mtu == mtu;
    });
    if (whole) continue;
    const absl::Status made = state.EnsureBridge(network);
    // Deleted since we looked: the bridge must not come back.
    if (absl::IsNotFound(Get(network.id).status())) {
      RETURN_IF_ERROR(state.links.DeleteLink(network.interface));
    } else {
      RETURN_IF_ERROR(made);
    }
  }
  return absl::OkStatus();
}

absl::Status TearDownNetworks(netlink::NetlinkDriver& links, nft::NftDriver& rules,
                              const NetworkOptions& options) {
  RETURN_IF_ERROR(CheckBridgePrefix(options.bridge_prefix));
  RETURN_IF_ERROR(rules.DeleteTable());
  RETURN_IF_ERROR(TearDownNamespaces(links, options.run_dir));
  ASSIGN_OR_RETURN(const std::vector<netlink::Link> there, links.Links());
  for (const netlink::Link& link : there) {
    if ((link.kind == "bridge" || link.kind == "veth") &&
        IsOwnInterface(options.bridge_prefix, link.name)) {
      RETURN_IF_ERROR(links.DeleteLink(link.name));
    }
  }
  return RemoveTree(JoinPath(options.run_dir, "dns"));
}

}  // namespace darse::runtime

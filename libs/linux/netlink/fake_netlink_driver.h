// NetlinkDriver without a kernel: keeps what it was told.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/linux/netlink/netlink_driver.h"

namespace darse::netlink {

// Thread-safe.
class FakeNetlinkDriver final : public NetlinkDriver {
 public:
  absl::StatusOr<std::vector<Link>> Links() override {
    absl::MutexLock lock(&mu_);
    std::vector<Link> links;
    int index = 1;
    for (const auto& [name, spec] : bridges_) {
      links.push_back({.index = ++index, .name = name, .kind = "bridge", .mtu = spec.mtu});
    }
    if (!uplink_.empty()) links.push_back({.index = ++index, .name = uplink_, .mtu = uplink_mtu_});
    return links;
  }
  absl::StatusOr<std::vector<Route>> Routes() override {
    absl::MutexLock lock(&mu_);
    return routes_;
  }
  absl::Status EnsureBridge(const BridgeSpec& spec) override {
    absl::MutexLock lock(&mu_);
    bridges_[spec.name] = spec;
    return absl::OkStatus();
  }
  absl::Status DeleteLink(absl::string_view name) override {
    absl::MutexLock lock(&mu_);
    bridges_.erase(std::string(name));
    return absl::OkStatus();
  }
  absl::Status CreateNamespace(absl::string_view path,
                               const std::optional<NamespaceOwner>& owner) override {
    absl::MutexLock lock(&mu_);
    for (const std::string& wanted : {std::string(path), owner ? owner->path : ""}) {
      if (namespaces_.contains(wanted) || owners_.contains(wanted)) {
        return absl::AlreadyExistsError(absl::StrCat("a namespace is mounted at ", wanted));
      }
    }
    namespaces_[std::string(path)] = {};
    if (owner) owners_[owner->path] = owner->maps;
    return absl::OkStatus();
  }
  absl::Status PrepareInterface(absl::string_view path, absl::string_view host_name,
                                absl::string_view name) override {
    absl::MutexLock lock(&mu_);
    auto found = namespaces_.find(std::string(path));
    if (found == namespaces_.end()) return absl::NotFoundError(absl::StrCat("opening ", path));
    found->second.push_back({.host_name = std::string(host_name), .name = std::string(name)});
    return absl::OkStatus();
  }
  absl::Status AddInterfaces(absl::string_view path, const std::vector<VethSpec>& veths) override {
    absl::MutexLock lock(&mu_);
    auto found = namespaces_.find(std::string(path));
    if (found == namespaces_.end()) return absl::NotFoundError(absl::StrCat("opening ", path));
    for (const VethSpec& veth : veths) {
      if (bridges_.contains(veth.bridge)) continue;
      return absl::NotFoundError(absl::StrCat("there is no bridge ", veth.bridge));
    }
    for (const VethSpec& veth : veths) {
      std::vector<VethSpec>& there = found->second;
      if (&veth == &veths.front() && !there.empty()) {
        if (there[0].host_name != veth.host_name || there[0].name != veth.name) {
          return absl::InternalError(absl::StrCat(there[0].host_name, " was prepared"));
        }
        there.clear();
      }
      there.push_back(veth);
    }
    return absl::OkStatus();
  }
  absl::Status DropNamespace(absl::string_view path) override {
    absl::MutexLock lock(&mu_);
    namespaces_.erase(std::string(path));
    owners_.erase(std::string(path));
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<std::string>> Namespaces(absl::string_view directory) override {
    absl::MutexLock lock(&mu_);
    std::vector<std::string> names;
    const std::string prefix = absl::StrCat(directory, "/");
    for (const auto& [path, veths] : namespaces_) {
      if (absl::StartsWith(path, prefix)) names.push_back(path.substr(prefix.size()));
    }
    for (const auto& [path, maps] : owners_) {
      if (absl::StartsWith(path, prefix)) names.push_back(path.substr(prefix.size()));
    }
    return names;
  }
  bool IsNamespace(absl::string_view path) override {
    absl::MutexLock lock(&mu_);
    return namespaces_.contains(std::string(path)) || owners_.contains(std::string(path));
  }
  absl::StatusOr<bool> EnableForwarding() override {
    absl::MutexLock lock(&mu_);
    return !std::exchange(forwarding_, true);
  }

  // A host with a default route by an interface of this MTU.
  void SetUplink(absl::string_view name, uint32_t mtu) {
    absl::MutexLock lock(&mu_);
    uplink_ = std::string(name);
    uplink_mtu_ = mtu;
    routes_.push_back({.destination = {{0}, 0}, .interface = uplink_});
  }
  void AddRoute(const Route& route) {
    absl::MutexLock lock(&mu_);
    routes_.push_back(route);
  }
  std::map<std::string, BridgeSpec> bridges() {
    absl::MutexLock lock(&mu_);
    return bridges_;
  }
  // User namespaces, by path.
  std::map<std::string, ns::IdMaps> owners() {
    absl::MutexLock lock(&mu_);
    return owners_;
  }
  std::map<std::string, std::vector<VethSpec>> namespaces() {
    absl::MutexLock lock(&mu_);
    return namespaces_;
  }

 private:
  absl::Mutex mu_;
  bool forwarding_ ABSL_GUARDED_BY(mu_) = false;
  std::string uplink_ ABSL_GUARDED_BY(mu_);
  uint32_t uplink_mtu_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Route> routes_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, BridgeSpec> bridges_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<VethSpec>> namespaces_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, ns::IdMaps> owners_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::netlink

#include "services/runtime/networks/container_namespaces.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

constexpr const char* kDirectories[] = {"netns", "userns"};

}  // namespace

std::string ContainerNamespaces::NetworkPath(absl::string_view id) const {
  return absl::StrCat(run_dir_, "/netns/", id);
}

std::string ContainerNamespaces::UserPath(absl::string_view id) const {
  return absl::StrCat(run_dir_, "/userns/", id);
}

absl::Status ContainerNamespaces::MakeDirectories() {
  for (const char* name : kDirectories) {
    RETURN_IF_ERROR(darse::MakeDirectories(JoinPath(run_dir_, name)));
  }
  return absl::OkStatus();
}

absl::Status ContainerNamespaces::Recover(const std::set<std::string>& live) {
  RETURN_IF_ERROR(MakeDirectories());
  for (const char* name : kDirectories) {
    const std::string directory = JoinPath(run_dir_, name);
    ASSIGN_OR_RETURN(const std::vector<std::string> mounted, links_.Namespaces(directory));
    for (const std::string& id : mounted) {
      if (!live.contains(id)) RETURN_IF_ERROR(links_.DropNamespace(JoinPath(directory, id)));
    }
  }
  return absl::OkStatus();
}

absl::Status ContainerNamespaces::Create(absl::string_view id, uint32_t first_id) {
  std::optional<netlink::NamespaceOwner> owner;
  if (first_id != 0) owner = {.path = UserPath(id), .maps = MapsFrom(first_id)};
  const absl::Status made = links_.CreateNamespace(NetworkPath(id), owner);
  if (!absl::IsNotFound(made)) return made;
  // Somebody removed the directories.
  RETURN_IF_ERROR(MakeDirectories());
  return links_.CreateNamespace(NetworkPath(id), owner);
}

absl::Status ContainerNamespaces::DropFiles(absl::string_view id) {
  RETURN_IF_ERROR(links_.DropNamespace(NetworkPath(id)));
  return links_.DropNamespace(UserPath(id));
}

absl::Status ContainerNamespaces::Prepare(absl::string_view id, absl::string_view host_name) {
  ASSIGN_OR_RETURN(const uint32_t first_id, ids_.Take());
  absl::Status made = Create(id, first_id);
  if (made.ok()) made = links_.PrepareInterface(NetworkPath(id), host_name, "eth0");
  if (!made.ok()) {
    Drop(id, first_id).IgnoreError();
    return made;
  }
  absl::MutexLock lock(&mu_);
  prepared_.emplace(id, Prepared{first_id, std::string(host_name)});
  return absl::OkStatus();
}

ContainerNamespaces::Prepared ContainerNamespaces::TakePrepared(absl::string_view id) {
  absl::MutexLock lock(&mu_);
  auto found = prepared_.find(id);
  if (found == prepared_.end()) return {};
  Prepared prepared = std::move(found->second);
  prepared_.erase(found);
  return prepared;
}

absl::Status ContainerNamespaces::DropPrepared(absl::string_view id) {
  const uint32_t first_id = TakePrepared(id).first_id;
  return first_id == 0 ? absl::OkStatus() : Drop(id, first_id);
}

bool ContainerNamespaces::IsPrepared(absl::string_view id) {
  absl::MutexLock lock(&mu_);
  return prepared_.contains(id);
}

absl::StatusOr<uint32_t> ContainerNamespaces::TakeIds(absl::string_view id) {
  {
    absl::MutexLock lock(&mu_);
    auto found = prepared_.find(id);
    if (found != prepared_.end()) return found->second.first_id;
  }
  return ids_.Take();
}

absl::Status ContainerNamespaces::Make(absl::string_view id, uint32_t first_id,
                                       const std::vector<netlink::VethSpec>& veths) {
  const Prepared prepared = TakePrepared(id);
  const bool same_ids = prepared.first_id != 0 && prepared.first_id == first_id;
  if (!same_ids || veths.empty() || veths[0].host_name != prepared.host_name) {
    RETURN_IF_ERROR(DropFiles(id));
    if (prepared.first_id != 0 && !same_ids) ids_.Return(prepared.first_id);
    RETURN_IF_ERROR(Create(id, first_id));
    return links_.AddInterfaces(NetworkPath(id), veths);
  }
  const absl::Status added = links_.AddInterfaces(NetworkPath(id), veths);
  if (absl::IsNotFound(added)) {
    absl::MutexLock lock(&mu_);
    prepared_.emplace(id, prepared);
  }
  return added;
}

absl::Status ContainerNamespaces::Drop(absl::string_view id, uint32_t first_id) {
  const uint32_t prepared = TakePrepared(id).first_id;
  RETURN_IF_ERROR(DropFiles(id));
  if (first_id != 0) ids_.Return(first_id);
  if (prepared != 0 && prepared != first_id) ids_.Return(prepared);
  return absl::OkStatus();
}

absl::Status TearDownNamespaces(netlink::NetlinkDriver& links, const std::string& run_dir) {
  for (const char* name : kDirectories) {
    const std::string directory = JoinPath(run_dir, name);
    ASSIGN_OR_RETURN(const std::vector<std::string> mounted, links.Namespaces(directory));
    for (const std::string& id : mounted) {
      RETURN_IF_ERROR(links.DropNamespace(JoinPath(directory, id)));
    }
    RETURN_IF_ERROR(RemoveTree(directory));
  }
  return absl::OkStatus();
}

}  // namespace darse::runtime

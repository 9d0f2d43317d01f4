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

absl::Status ContainerNamespaces::Prepare(absl::string_view id) {
  ASSIGN_OR_RETURN(const uint32_t first_id, ids_.Take());
  const absl::Status made = Create(id, first_id);
  if (!made.ok()) {
    ids_.Return(first_id);
    return made;
  }
  absl::MutexLock lock(&mu_);
  prepared_.emplace(id, first_id);
  return absl::OkStatus();
}

uint32_t ContainerNamespaces::TakePrepared(absl::string_view id) {
  absl::MutexLock lock(&mu_);
  auto found = prepared_.find(id);
  if (found == prepared_.end()) return 0;
  const uint32_t first_id = found->second;
  prepared_.erase(found);
  return first_id;
}

absl::Status ContainerNamespaces::DropPrepared(absl::string_view id) {
  const uint32_t first_id = TakePrepared(id);
  return first_id == 0 ? absl::OkStatus() : Drop(id, first_id);
}

absl::StatusOr<uint32_t> ContainerNamespaces::TakeIds(absl::string_view id) {
  {
    absl::MutexLock lock(&mu_);
    auto found = prepared_.find(id);
    if (found != prepared_.end()) return found->second;
  }
  return ids_.Take();
}

absl::Status ContainerNamespaces::Make(absl::string_view id, uint32_t first_id,
                                       const std::vector<netlink::VethSpec>& veths) {
  const uint32_t prepared = TakePrepared(id);
  if (prepared == 0 || prepared != first_id) {
    RETURN_IF_ERROR(DropFiles(id));
    if (prepared != 0) ids_.Return(prepared);
    RETURN_IF_ERROR(Create(id, first_id));
  }
  return links_.AddInterfaces(NetworkPath(id), veths);
}

absl::Status ContainerNamespaces::Drop(absl::string_view id, uint32_t first_id) {
  const uint32_t prepared = TakePrepared(id);
  RETURN_IF_ERROR(DropFiles(id));
  if (first_id != 0) ids_.Return(first_id);
  if (prepared != 0 && prepared != first_id) ids_.Return(prepared);
  return absl::OkStatus();
}

void ContainerNamespaces::Leave(absl::string_view id, uint32_t first_id) {
  absl::MutexLock lock(&mu_);
  left_.emplace(id, first_id);
}

absl::Status ContainerNamespaces::DropLeft(absl::string_view id) {
  uint32_t first_id = 0;
  {
    absl::MutexLock lock(&mu_);
    auto found = left_.find(id);
    if (found == left_.end()) return absl::OkStatus();
    first_id = found->second;
    left_.erase(found);
  }
  return Drop(id, first_id);
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

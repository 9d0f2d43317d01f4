// Which containers get a user namespace of their own (docs/decisions/0008-user-namespaces.md). The
// answers are obstacles: why one shares the host's, as the end of a sentence; empty for none.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "darse/runtime/v1/container.pb.h"
#include "libs/base/unique_fd.h"
#include "services/runtime/containers/user_lookup.h"

namespace darse::runtime {

// In what was asked for. `spec` is merged; `user` is who its first process is. Pure.
std::string SpecObstacle(const v1::ContainerSpec& spec, const ResolvedUser& user);

// What the host lacks. Thread-safe.
class HostUserNamespaces {
 public:
  // Tries it: a user namespace, and layers of `directory`'s file system that show its ids.
  explicit HostUserNamespaces(const std::string& directory);

  // Of this kernel, or of the file system of the layers.
  const std::string& obstacle() const { return obstacle_; }
  // Of what is bound from `path`, and everything mounted below it.
  std::string BindObstacle(const std::string& path) const;

 private:
  absl::Status Try(const std::string& directory);

  UniqueFd id_map_;
  std::string obstacle_;
};

}  // namespace darse::runtime

// The device nodes of a container.
#pragma once

#include "absl/status/status.h"
#include "libs/container/config/spec.h"
#include "libs/linux/namespace/id_maps.h"

namespace darse::container {

enum class NodeWay {
  kMake,  // mknod
  kBind,  // the host's node, which must have the same name: where mknod is not allowed
  kSkip,  // made already; those beyond /dev are bound
};
// The devices every container has and the config's, and the links /dev/fd, stdin, stdout, stderr
// and ptmx, below `root`. Nothing where the host's /dev is bound.
absl::Status MakeDevices(const Spec& spec, int root, NodeWay way);

// All nodes below /dev into `dev`, a tmpfs that will be there, owned as `maps` say.
absl::Status FillDev(const Spec& spec, int dev, const ns::IdMaps& maps);

}  // namespace darse::container

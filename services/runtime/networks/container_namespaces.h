// The network namespaces of containers and the user namespaces that they belong to, as files below
// the run directory: netns/<container id> and userns/<container id>.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "libs/linux/netlink/netlink_driver.h"
#include "services/runtime/networks/id_ranges.h"

namespace darse::runtime {

// Thread-safe; who acts on the same container does so one after another. A first id of 0 stands for
// the host's user namespace.
class ContainerNamespaces {
 public:
  ContainerNamespaces(netlink::NetlinkDriver& links, std::string run_dir)
      : links_(links), run_dir_(std::move(run_dir)) {}

  std::string NetworkPath(absl::string_view id) const;
  std::string UserPath(absl::string_view id) const;

  // Drops what is there for others than `live`. Share() the ranges of those.
  absl::Status Recover(const std::set<std::string>& live);
  void Share(uint32_t first_id) {
    if (first_id != 0) ids_.Share(first_id);
  }

  // Makes both in advance, with ids of their own, for a container that is to come, and eth0, whose
  // other end is `host_name` and on no network yet.
  absl::Status Prepare(absl::string_view id, absl::string_view host_name);
  // OK if nothing was prepared, or it is used already.
  absl::Status DropPrepared(absl::string_view id);

  // The range for a start: that of what was prepared, or a new one.
  absl::StatusOr<uint32_t> TakeIds(absl::string_view id);
  bool IsPrepared(absl::string_view id);
  // Makes what was not prepared, instead of whatever was there, and adds the interfaces. NOT_FOUND
  // if a bridge is missing. After an error call Drop, or try again.
  absl::Status Make(absl::string_view id, uint32_t first_id,
                    const std::vector<netlink::VethSpec>& veths);
  // OK if there are none; the range is free again once nobody else shares it.
  absl::Status Drop(absl::string_view id, uint32_t first_id);

 private:
  absl::Status MakeDirectories();
  absl::Status Create(absl::string_view id, uint32_t first_id);
  absl::Status DropFiles(absl::string_view id);
  struct Prepared {
    uint32_t first_id = 0;
    std::string host_name;
  };
  // A first id of 0 if nothing is.
  Prepared TakePrepared(absl::string_view id);

  netlink::NetlinkDriver& links_;
  const std::string run_dir_;
  IdRanges ids_;
  absl::Mutex mu_;
  // By container.
  std::map<std::string, Prepared, std::less<>> prepared_ ABSL_GUARDED_BY(mu_);
};

// Of a runtime that need not run.
absl::Status TearDownNamespaces(netlink::NetlinkDriver& links, const std::string& run_dir);

}  // namespace darse::runtime

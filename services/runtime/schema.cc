#include "services/runtime/schema.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "libs/eventlog/event_log.h"
#include "services/runtime/containers/container_store.h"
#include "services/runtime/images/image_store.h"
#include "services/runtime/networks/network_store.h"
#include "services/runtime/node/node_store.h"
#include "services/runtime/snapshots/snapshot_store.h"
#include "services/runtime/volumes/volume_store.h"

namespace darse::runtime {

std::span<const sqlite::Migration> RuntimeMigrations() {
  // Layers come before the images that are made of them.
  static const auto* const kFirst =
      new std::string(absl::StrCat(EventLog::kSchema, kNodeSchema, kSnapshotSchema, kImageSchema,
                                   kVolumeSchema, kNetworkSchema, kContainerSchema));
  static const sqlite::Migration kMigrations[] = {{1, kFirst->c_str()}, {2, kNetworkUserIdsSchema}};
  return kMigrations;
}

}  // namespace darse::runtime

// The runtime's database, drawn. Each noun's store draws its own tables; here is their order. A
// migration that was released is never changed: what comes later is a new one.
//
//   containers            one row a container      container_store.h
//   container_requests    who asked for it         container_store.h
//   images, references    what they are made of    images/image_store.h
//   layers, snapshots, …  root filesystems         snapshots/snapshot_store.h
//   volumes, …            and who uses them        volumes/volume_store.h
//   networks, …           and who is attached      networks/network_store.h
//   events                what happened            libs/eventlog
//   node                  this node                node/node_store.h
#pragma once

#include <span>

#include "libs/sqlite/database.h"

namespace darse::runtime {

// For Database::Open; lives as long as the process.
std::span<const sqlite::Migration> RuntimeMigrations();

}  // namespace darse::runtime

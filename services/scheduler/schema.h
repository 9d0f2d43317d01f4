// scheduler.db: what is wanted, and what was last seen of it.
//
//   stacks ──< services     a stack's specification and flags; what was asked of each of its
//   services and when
//          ──< tasks        one row a slot: the container being created (intent), and what the
//          present one was made of
//   containers              last seen, so that the scheduler can answer while the runtime is away
//   cursors                 how far each peer's event log was read; moves in one transaction with
//   what came of the events
//
// Times are nanoseconds since 1970; 0 means never.
#pragma once

#include "libs/sqlite/database.h"

namespace darse::scheduler {

inline constexpr sqlite::Migration kMigrations[] = {
    {1, R"sql(
CREATE TABLE stacks (
  name TEXT PRIMARY KEY,
  spec BLOB NOT NULL,                -- darse.scheduler.v1.StackSpec
  revision INTEGER NOT NULL,
  removing INTEGER NOT NULL,
  delete_volumes INTEGER NOT NULL,
  stop_timeout_ns INTEGER,           -- NULL: each container's own
  remove_orphans INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  update_time INTEGER NOT NULL
) STRICT;

CREATE TABLE services (
  stack TEXT NOT NULL REFERENCES stacks (name) ON DELETE CASCADE,
  service TEXT NOT NULL,
  up_time INTEGER NOT NULL,          -- newest `up`: what ended before is started again
  recreate_time INTEGER NOT NULL,    -- containers made before are made again
  restart_time INTEGER NOT NULL,     -- containers started before are restarted
  image_id TEXT NOT NULL,            -- what the reference meant at the newest `up`; empty: not known
  rebuild INTEGER NOT NULL,          -- grows with each demand for a fresh build
  build_key TEXT NOT NULL,           -- of the newest build that ended or began; empty: none
  build_attempt INTEGER NOT NULL,
  build_id TEXT NOT NULL,
  build_image_id TEXT NOT NULL,      -- empty unless it succeeded
  build_error TEXT NOT NULL,         -- empty unless it failed
  PRIMARY KEY (stack, service)
) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
  stack TEXT NOT NULL REFERENCES stacks (name) ON DELETE CASCADE,
  service TEXT NOT NULL,
  slot INTEGER NOT NULL,
  request_id TEXT NOT NULL,          -- of a CreateContainer whose outcome is not recorded; empty: none
  made_of BLOB NOT NULL,             -- darse.scheduler.v1.ServiceSpec the present container was made of; empty: not known
  made_of_image TEXT NOT NULL,
  PRIMARY KEY (stack, service, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE containers (
  id TEXT PRIMARY KEY,
  container BLOB NOT NULL,           -- darse.runtime.v1.Container
  observe_time INTEGER NOT NULL
) STRICT;

CREATE TABLE cursors (
  peer TEXT PRIMARY KEY,
  sequence INTEGER NOT NULL
) STRICT;

-- One row: request ids are never used twice, also across stacks that are gone.
CREATE TABLE request_ids (last INTEGER NOT NULL) STRICT;
INSERT INTO request_ids VALUES (0);
)sql"},
};

}  // namespace darse::scheduler

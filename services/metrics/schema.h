// The metrics database: what was sampled, what happened, and which containers are sampled.
//
//   subjects 1──* chunks      one window of one subject at one resolution, all its metrics
//        └────* series        which metrics a subject ever had
//   marks                     one an event of the runtime that is worth a line on a curve
//   deployments               the configuration that a service's newest container had
//   containers                as the runtime last told them: sampled on while it is away
//   cursor                    one row: up to which event of the runtime all of this is
#pragma once

#include "libs/sqlite/database.h"

namespace darse::metrics {

inline constexpr sqlite::Migration kMigrations[] = {
    {1, R"sql(
CREATE TABLE subjects (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE chunks (
  subject_id INTEGER NOT NULL REFERENCES subjects (id),
  resolution INTEGER NOT NULL,    -- seconds
  start INTEGER NOT NULL,         -- of the window, seconds since the epoch
  samples INTEGER NOT NULL,       -- values in the blob
  blob BLOB NOT NULL,             -- libs/series/chunk.h
  PRIMARY KEY (subject_id, resolution, start)
) STRICT;
CREATE INDEX chunks_by_age ON chunks (resolution, start);

CREATE TABLE series (
  subject_id INTEGER NOT NULL REFERENCES subjects (id),
  metric INTEGER NOT NULL,        -- number in samples/metric.h
  PRIMARY KEY (subject_id, metric)
) STRICT, WITHOUT ROWID;

CREATE TABLE marks (
  id INTEGER PRIMARY KEY,
  sequence INTEGER NOT NULL,      -- of the runtime's event; begins anew if its log is lost
  time_ns INTEGER NOT NULL,
  subject TEXT NOT NULL,
  action TEXT NOT NULL,
  text TEXT NOT NULL
) STRICT;
CREATE INDEX marks_by_subject ON marks (subject, time_ns);

CREATE TABLE deployments (
  subject TEXT PRIMARY KEY,
  config_hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE containers (
  id TEXT PRIMARY KEY,
  subject TEXT NOT NULL,
  name TEXT NOT NULL,
  image TEXT NOT NULL,
  stack TEXT NOT NULL,
  service TEXT NOT NULL,
  state TEXT NOT NULL,
  health TEXT NOT NULL,
  start_ns INTEGER NOT NULL,      -- 0: never started
  restart_count INTEGER NOT NULL,
  cgroup_path TEXT NOT NULL,
  pid INTEGER NOT NULL,
  host_network INTEGER NOT NULL,
  host_interfaces TEXT NOT NULL   -- separated by spaces
) STRICT;

CREATE TABLE cursor (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  sequence INTEGER NOT NULL
) STRICT;
)sql"},
};

}  // namespace darse::metrics

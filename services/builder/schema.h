// builder.db: what the builder owns. Times are microseconds since 1970.
//
//   builds ──< build_events          contexts ──< context_files          cache_steps cache_digests
#pragma once

#include "libs/sqlite/database.h"

namespace darse::builder {

inline constexpr char kSchema1[] = R"sql(
-- One row a build, also after it has ended; the queue is those in state QUEUED, oldest first.
CREATE TABLE builds (
  number           INTEGER PRIMARY KEY AUTOINCREMENT,
  id               TEXT NOT NULL UNIQUE,
  request_id       TEXT UNIQUE,             -- NULL: none was given
  spec             BLOB NOT NULL,           -- darse.builder.v1.BuildSpec
  context_digest   TEXT NOT NULL,           -- "" for a build without context
  state            INTEGER NOT NULL,        -- BuildState
  created_at       INTEGER NOT NULL,
  started_at       INTEGER,                 -- NULL before the first start
  finished_at      INTEGER,                 -- NULL until it has ended
  image_id         TEXT NOT NULL DEFAULT '',
  error            TEXT NOT NULL DEFAULT '',
  failed_exit_code INTEGER NOT NULL DEFAULT 0,
  steps_total      INTEGER NOT NULL DEFAULT 0,
  steps_cached     INTEGER NOT NULL DEFAULT 0,
  steps_done       INTEGER NOT NULL DEFAULT 0,
  waiting_for      TEXT NOT NULL DEFAULT '',
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  last_sequence    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX builds_by_state ON builds (state, number);

CREATE TABLE build_events (
  build_id TEXT NOT NULL REFERENCES builds (id),
  sequence INTEGER NOT NULL,                -- from 1, without gaps
  event    BLOB NOT NULL,                   -- darse.builder.v1.BuildEvent
  PRIMARY KEY (build_id, sequence)
) STRICT, WITHOUT ROWID;

-- A context's tar lies in contexts/<hex>.tar; the row is written when the file is whole.
CREATE TABLE contexts (
  digest     TEXT PRIMARY KEY,
  size_bytes INTEGER NOT NULL,
  stored_at  INTEGER NOT NULL,
  used_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE context_files (
  context_digest TEXT NOT NULL REFERENCES contexts (digest),
  path           TEXT NOT NULL,             -- clean, without a first "/"
  type           INTEGER NOT NULL,          -- FileType
  mode           INTEGER NOT NULL,
  size_bytes     INTEGER NOT NULL,
  mtime          INTEGER NOT NULL,          -- seconds
  content_offset INTEGER NOT NULL,          -- of a file's content in the tar
  link           TEXT NOT NULL,             -- of a symlink
  content        TEXT NOT NULL,             -- digest of a file's content
  PRIMARY KEY (context_digest, path)
) STRICT, WITHOUT ROWID;

-- What a step over certain inputs came to. The layers are held by the runtime's lease "builder/cache".
CREATE TABLE cache_steps (
  key        TEXT PRIMARY KEY,
  step_name  TEXT NOT NULL,
  chain_id   TEXT NOT NULL,                 -- after the step; the parent's if it changed no file
  diff_id    TEXT NOT NULL,                 -- "" if it changed no file
  size_bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  used_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX cache_steps_by_use ON cache_steps (used_at, key);

-- DigestFiles of an immutable layer, remembered.
CREATE TABLE cache_digests (
  key     TEXT PRIMARY KEY,
  digest  TEXT NOT NULL,
  used_at INTEGER NOT NULL
) STRICT;
)sql";

inline constexpr sqlite::Migration kMigrations[] = {{1, kSchema1}};

}  // namespace darse::builder

"""Keeps journal entries for good, each once, in the order in which they came.

POST /entries {"id", "text", "written_at"} answers 201 when the entry is new and 200 when it was here already.
GET /entries lists them, oldest first; GET /status answers that the archive is there.
"""

import json
import os
import signal
import sqlite3
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATABASE = os.environ.get("JOURNAL_DATABASE", "/data/archive.db")
PORT = 8000

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  text TEXT NOT NULL,
  written_at REAL NOT NULL
) STRICT;
"""


class Archive:
    """Thread-safe."""

    def __init__(self, path):
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + SCHEMA)

    def add(self, entry_id, text, written_at):
        """True if the entry is new."""
        with self._lock, self._db:
            known = self._db.execute("SELECT 1 FROM entries WHERE id = ?", (entry_id,)).fetchone()
            if not known:
                self._db.execute("INSERT INTO entries (id, text, written_at) VALUES (?, ?, ?)",
                                 (entry_id, text, written_at))
        return not known

    def all(self):
        with self._lock:
            return self._db.execute("SELECT sequence, id, text, written_at FROM entries ORDER BY sequence").fetchall()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    archive = None

    def do_GET(self):
        if self.path == "/status":
            return self._json(200, {"status": "ok"})
        if self.path != "/entries":
            return self._json(404, {"error": "no such page"})
        rows = [{"sequence": s, "id": i, "text": t, "written_at": w} for s, i, t, w in self.archive.all()]
        return self._json(200, {"entries": rows})

    def do_POST(self):
        try:
            length = int(self.headers.get("Content-Length", ""))
            if not 0 <= length <= 1_000_000:
                raise ValueError
            entry = json.loads(self.rfile.read(length))
            new = self.archive.add(str(entry["id"]), str(entry["text"]), float(entry["written_at"]))
        except (ValueError, KeyError, TypeError):
            self.close_connection = True
            return self._json(400, {"error": "not an entry"})
        return self._json(201 if new else 200, {"new": new})

    def _json(self, code, value):
        body = json.dumps(value).encode() + b"\n"
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        if len(args) > 1 and str(args[1]) >= "400":
            print(format % args, flush=True)


def probe():
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/status", timeout=2):
            return 0
    except OSError as error:
        print(error)
        return 1


def main():
    if "--probe" in sys.argv:
        return probe()
    Handler.archive = Archive(DATABASE)
    server = ThreadingHTTPServer(("", PORT), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"archive on port {PORT}", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Takes journal entries over a page and a JSON API, keeps them, and hands them to the archive in order.

An entry is answered 201 once it is committed here. Whether the archive is there does not matter then: a thread
delivers what waits, oldest first, whenever it can. Each entry has an id of its own, by which the archive knows one that
it has already, so that an answer lost on the way doubles nothing.
"""

import html
import json
import os
import signal
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATABASE = os.environ.get("JOURNAL_DATABASE", "/data/web.db")
ARCHIVE = os.environ.get("ARCHIVE_URL", "http://archive:8000")
DOMAIN = os.environ.get("JOURNAL_DOMAIN", "localhost")
PORT = 8000
LONGEST = 10_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  text TEXT NOT NULL,
  written_at REAL NOT NULL,
  delivered INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS waiting ON entries (sequence) WHERE delivered = 0;
"""


class Journal:
    """The entries of this service. Thread-safe."""

    def __init__(self, path):
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + SCHEMA)
        self.arrived = threading.Condition()
        self.degraded_since = None

    def add(self, entry_id, text):
        """Stores an entry; the same id again stores nothing. Returns its sequence."""
        with self._lock, self._db:
            self._db.execute("INSERT OR IGNORE INTO entries (id, text, written_at) VALUES (?, ?, ?)",
                             (entry_id, text, time.time()))
            row = self._db.execute("SELECT sequence FROM entries WHERE id = ?", (entry_id,)).fetchone()
        with self.arrived:
            self.arrived.notify()
        return row[0]

    def waiting(self, most):
        with self._lock:
            return self._db.execute("SELECT sequence, id, text, written_at FROM entries WHERE delivered = 0 "
                                    "ORDER BY sequence LIMIT ?", (most,)).fetchall()

    def delivered(self, sequence):
        with self._lock, self._db:
            self._db.execute("UPDATE entries SET delivered = 1 WHERE sequence = ?", (sequence,))

    def newest(self, most):
        with self._lock:
            return self._db.execute("SELECT sequence, id, text, written_at, delivered FROM entries "
                                    "ORDER BY sequence DESC LIMIT ?", (most,)).fetchall()

    def counts(self):
        with self._lock:
            return self._db.execute("SELECT count(*), coalesce(sum(delivered = 0), 0) FROM entries").fetchone()


def deliver(journal):
    """Hands waiting entries to the archive, one after the other, for ever."""
    delay = 0.2
    while True:
        batch = journal.waiting(100)
        if not batch:
            with journal.arrived:
                journal.arrived.wait(1)
            continue
        for sequence, entry_id, text, written_at in batch:
            body = json.dumps({"id": entry_id, "text": text, "written_at": written_at}).encode()
            request = urllib.request.Request(ARCHIVE + "/entries", body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=5):
                    pass
            except (urllib.error.URLError, OSError) as error:
                if journal.degraded_since is None:
                    journal.degraded_since = time.time()
                    print(f"archive is missing: {error}; keeping entries here", flush=True)
                time.sleep(delay)
                delay = min(delay * 2, 2)
                break
            journal.delivered(sequence)
            delay = 0.2
            if journal.degraded_since is not None:
                print("archive is back", flush=True)
                journal.degraded_since = None


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Journal at {domain}</title>
<h1>Journal at {domain}</h1>
{state}
<form method="post" action="/"><input name="text" autofocus required maxlength="{longest}"> <button>Write</button></form>
<ol reversed>{entries}</ol>
</html>
"""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    journal = None

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        if path == "/":
            self._answer(200, self._page(), "text/html; charset=utf-8")
        elif path == "/api/entries":
            rows = [{"sequence": s, "id": i, "text": t, "written_at": w, "delivered": bool(d)}
                    for s, i, t, w, d in self.journal.newest(1_000_000)]
            self._json(200, {"entries": rows})
        elif path == "/api/status":
            total, waiting = self.journal.counts()
            self._json(200, {"domain": DOMAIN, "entries": total, "waiting": waiting,
                             "degraded_since": self.journal.degraded_since})
        else:
            self._json(404, {"error": "no such page"})

    def do_POST(self):
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self.close_connection = True
            return self._json(411, {"error": "Content-Length is needed"})
        if not 0 <= length <= 4 * LONGEST:
            self.close_connection = True
            return self._json(413, {"error": "too long"})
        body = self.rfile.read(length)
        if self.path == "/api/entries":
            try:
                entry = json.loads(body)
                text, entry_id = entry["text"], entry.get("id") or str(uuid.uuid4())
                if not isinstance(text, str) or not isinstance(entry_id, str) or not text or len(text) > LONGEST:
                    raise ValueError
            except (ValueError, KeyError, TypeError, AttributeError):
                return self._json(400, {"error": 'send {"text": "…"}, at most %d characters' % LONGEST})
            return self._json(201, {"id": entry_id, "sequence": self.journal.add(entry_id, text)})
        if self.path == "/":
            text = urllib.parse.parse_qs(body.decode("utf-8", "replace")).get("text", [""])[0][:LONGEST]
            if text:
                self.journal.add(str(uuid.uuid4()), text)
            self.send_response(303)
            self.send_header("Location", "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        return self._json(404, {"error": "no such page"})

    def _page(self):
        total, waiting = self.journal.counts()
        since = self.journal.degraded_since
        if since is not None:
            clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(since))
            state = f"<p><strong>degraded since {clock} UTC</strong>: the archive is away; {waiting} entries wait here.</p>"
        else:
            state = f"<p>{total} entries, {waiting} on their way to the archive.</p>"
        rows = "".join(f"<li>{html.escape(text)}{'' if delivered else ' <em>(waiting)</em>'}</li>"
                       for _, _, text, _, delivered in self.journal.newest(100))
        return PAGE.format(domain=html.escape(DOMAIN), state=state, entries=rows, longest=LONGEST).encode()

    def _json(self, code, value):
        self._answer(code, json.dumps(value).encode() + b"\n", "application/json")

    def _answer(self, code, body, kind):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        if len(args) > 1 and str(args[1]) >= "400":
            print(format % args, flush=True)


def probe():
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/status", timeout=2):
            return 0
    except OSError as error:
        print(error)
        return 1


def main():
    if "--probe" in sys.argv:
        return probe()
    Handler.journal = Journal(DATABASE)
    threading.Thread(target=deliver, args=(Handler.journal,), daemon=True).start()
    server = ThreadingHTTPServer(("", PORT), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"journal for {DOMAIN} on port {PORT}", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())

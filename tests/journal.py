"""The example stack under test: its images, and a client that writes entries while things break."""

import json
import os
import shutil
import threading
import time
import uuid

from darse_testing import CACHE, Darse, JOURNAL, eventually, free_port, http

BASE_IMAGES = os.path.join(CACHE, "journal-base.tar")


def with_base_images(darse):
    """debian:bookworm and journal-python:1, made once and loaded from the cache after that."""
    if os.path.exists(BASE_IMAGES):
        darse("load", "-i", BASE_IMAGES, timeout=120)
        return
    darse("image", "bootstrap", "debian:bookworm", timeout=900)
    darse("build", "-t", "journal-python:1", os.path.join(JOURNAL, "base"), timeout=900)
    os.makedirs(CACHE, exist_ok=True)
    darse("save", "-o", BASE_IMAGES + ".new", "debian:bookworm", "journal-python:1", timeout=120)
    os.rename(BASE_IMAGES + ".new", BASE_IMAGES)


class JournalStack:
    """The journal in an instance of its own."""

    def __init__(self):
        self.darse = Darse()
        try:
            with_base_images(self.darse)
            self.directory = os.path.join(self.darse.base, "journal")
            shutil.copytree(JOURNAL, self.directory)
            self.port = free_port()
            self.up()
            self.wait_page()
        except BaseException:
            self.darse.close()
            raise

    def environment(self):
        return {"JOURNAL_PORT": str(self.port)}

    def up(self, *args, **kwargs):
        return self.darse("up", *args, cwd=self.directory, env=self.environment(), timeout=300, **kwargs)

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_page(self):
        eventually(lambda: http(self.url("/api/status"))[0] == 200, 30, "the page does not answer")

    def containers(self):
        """{service: (container id, pid)} of what runs."""
        found = {}
        for line in self.darse("ps", "--no-trunc", "--format", "json", "--filter", "label=darse.stack=journal").splitlines():
            row = json.loads(line)
            shown = self.darse.inspect(row["ID"])
            found[shown["Config"]["Labels"]["darse.service"]] = (shown["Id"], shown["State"]["Pid"])
        return found

    def archived(self):
        """Texts in the archive's database, in its order; read inside its container."""
        out = self.darse("exec", "journal-archive-1", "python3", "-c",
                         "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000/entries').read().decode())")
        return [entry["text"] for entry in json.loads(out)["entries"]]

    def close(self):
        self.darse.close()


class Writer(threading.Thread):
    """Writes numbered entries until stopped; an entry counts once the answer to it was 201."""

    def __init__(self, stack, pause=0.02):
        super().__init__(daemon=True)
        self.stack = stack
        self.pause = pause
        self.accepted = []
        self.refused = 0
        # Never that of an earlier writer: the archive would know its entries already.
        self.name = str(uuid.uuid4())
        self._ended = threading.Event()

    def run(self):
        number = 0
        while not self._ended.wait(self.pause):
            number += 1
            text = f"entry {number}"
            # The same id on every attempt: an answer that was lost on the way must not double the entry.
            body = json.dumps({"text": text, "id": f"{self.name}-{number}"}).encode()
            while not self._ended.is_set():
                status, _ = http(self.stack.url("/api/entries"), body, timeout=3)
                if status == 201:
                    self.accepted.append(text)
                    break
                self.refused += 1
                time.sleep(0.05)

    def stop(self):
        self._ended.set()
        self.join(10)
        return self.accepted

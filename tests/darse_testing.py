"""What the integration and chaos tests share: a private instance with a small image, and ways to ask it things."""

import io
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tools"))
from instance.build import BIN, build  # noqa: E402
from instance.instance import Instance, SERVICES, tear_down  # noqa: E402,F401

JOURNAL = os.path.join(TOP, "examples", "journal")
# Images that take minutes to make are kept here between runs of the tests.
CACHE = os.path.expanduser("~/.cache/darse-test-images")


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(condition, timeout=15, message=None):
    """Waits until `condition()` is true and returns what it answered."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, (message() if callable(message) else message) or "it did not happen in time"
        time.sleep(0.05)


def http(url, body=None, timeout=5):
    """(status, text); (0, reason) when there is no answer."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def busybox_rootfs(path):
    """Writes a tar of a root filesystem that is busybox and nothing else."""
    applets = subprocess.run(["busybox", "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    with tarfile.open(path, "w") as tar:
        for directory in ("bin", "etc", "tmp", "root", "proc", "sys", "dev", "var", "home"):
            info = tarfile.TarInfo(directory)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            tar.addfile(info)
        tar.add(subprocess.run(["which", "busybox"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip(),
                "bin/busybox")
        for applet in applets:
            if applet == "busybox":
                continue
            info = tarfile.TarInfo("bin/" + applet)
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
        for name, text in (("passwd", "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home:/bin/sh\n"),
                           ("group", "root:x:0:\nguest:x:1000:\n")):
            data = text.encode()
            info = tarfile.TarInfo("etc/" + name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def mount_tmpfs(path):
    os.makedirs(path)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)
    return path


def unmount_tmpfs(path):
    if path and os.path.ismount(path):
        subprocess.run(["umount", "-l", path], check=True)


class Darse:
    """An instance, and its client."""

    def __init__(self, image=True, services=SERVICES, volatile=False):
        """`volatile`: the run directory is a tmpfs, as /run is on a Debian machine."""
        self.base = tempfile.mkdtemp(prefix="darse-test-", dir="/var/tmp")
        self.instance = Instance.private(BIN, self.base)
        self.tmpfs = volatile and mount_tmpfs(self.instance.run)
        try:
            self.instance.start(services)
            self.instance.wait_ready(services)
            if image:
                tar = os.path.join(self.base, "busybox.tar")
                busybox_rootfs(tar)
                self("image", "import", tar, "busybox:1")
        except BaseException:
            self.close()
            raise

    def close(self):
        if os.environ.get("DARSE_TEST_KEEP"):
            self.instance.down()
            print("kept: " + self.base)
        else:
            self.instance.remove()
            unmount_tmpfs(self.tmpfs)
            shutil.rmtree(self.base, ignore_errors=True)

    def run(self, *args, stdin=None, cwd=None, timeout=60, env=None):
        environment = self.instance.env()
        environment.update(env or {})
        return subprocess.run([os.path.join(BIN, "darse"), *args], env=environment, cwd=cwd or self.base, timeout=timeout,
                              input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", check=False)

    def __call__(self, *args, code=0, **kwargs):
        """Standard output of a command that must end with `code`."""
        done = self.run(*args, **kwargs)
        assert done.returncode == code, f"darse {' '.join(args)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def fails(self, *args, code=1, says=(), **kwargs):
        """Standard error of a command that must end with `code` and say each of `says`."""
        done = self.run(*args, **kwargs)
        assert done.returncode == code, f"darse {' '.join(args)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        for words in [says] if isinstance(says, str) else says:
            assert words.lower() in done.stderr.lower(), f"{words!r} is not in: {done.stderr}"
        return done.stderr

    def popen(self, *args, **kwargs):
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen([os.path.join(BIN, "darse"), *args], env=self.instance.env(), text=True, **kwargs)

    def inspect(self, container):
        return json.loads(self("inspect", container))[0]

    def state(self, container):
        return self.inspect(container)["State"]["Status"]

    def wait_state(self, container, state, timeout=15):
        eventually(lambda: self.state(container) == state, timeout,
                   lambda: f"{container} is {self.state(container)}, not {state}")

    def remove_all(self):
        ids = self("ps", "-aq").split()
        if ids:
            # One that removes itself may be gone by now.
            self.run("rm", "-f", *ids)
            eventually(lambda: self("ps", "-aq") == "")


def integrity(database):
    """What SQLite says of a database file."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        return db.execute("PRAGMA integrity_check").fetchone()[0]

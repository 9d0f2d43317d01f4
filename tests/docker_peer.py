"""Docker on the same machine, with data, socket and bridge of its own, as the peer that Darse is measured against."""

import os
import shutil
import subprocess
import tempfile
import time

PACKAGES = ["docker.io", "iptables"]
DOCKER = "/usr/bin/docker"


def install():
    if not os.path.exists("/usr/sbin/dockerd"):
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES], check=True,
                       env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, stdout=subprocess.DEVNULL)


def _tables():
    """The nftables tables of this machine: "ip filter"."""
    done = subprocess.run(["nft", "list", "tables"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return {line.removeprefix("table ").strip() for line in done.stdout.decode().splitlines()}


class Docker:
    """`arguments`: more of dockerd's; `bridge`: the name of one that is made for it, `octet` its 172.31.<octet>.0/24;
    `volatile`: what it has below /run, where that is a tmpfs, is on one."""

    def __init__(self, arguments=(), bridge="dbench0", octet=254, volatile=False):
        install()
        self.tables = _tables()
        self.base = tempfile.mkdtemp(prefix="darse-bench-docker-", dir="/var/tmp")
        self.socket = f"unix://{self.base}/docker.sock"
        self.bridge = bridge
        if volatile:
            os.makedirs(f"{self.base}/exec")
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", f"{self.base}/exec"], check=True)
        subprocess.run(["ip", "link", "add", self.bridge, "type", "bridge"], check=True)
        subprocess.run(["ip", "addr", "add", f"172.31.{octet}.1/24", "dev", self.bridge], check=True)
        subprocess.run(["ip", "link", "set", self.bridge, "up"], check=True)
        self.log = open(f"{self.base}/dockerd.log", "wb")
        self.daemon = subprocess.Popen(
            ["dockerd", "--data-root", f"{self.base}/data", "--exec-root", f"{self.base}/exec", "--pidfile",
             f"{self.base}/docker.pid", "-H", self.socket, "--bridge", self.bridge, *arguments],
            stdout=self.log, stderr=self.log, env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        deadline = time.monotonic() + 30
        while self.run("version", check=False).returncode != 0:
            if time.monotonic() > deadline or self.daemon.poll() is not None:
                raise RuntimeError(f"dockerd does not answer; see {self.base}/dockerd.log")
            time.sleep(0.1)

    def command(self, *args):
        return [DOCKER, "-H", self.socket, *args]

    def run(self, *args, check=True, **kwargs):
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        return subprocess.run(self.command(*args), check=check, **kwargs)

    def pids(self):
        """dockerd, its containerd and their shims; not the containers' own processes."""
        children = {}
        names = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stat:
                        text = stat.read()
                except OSError:
                    continue
                parent = int(text.rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
                names[int(entry)] = text.partition("(")[2].rpartition(")")[0]
        found, queue = [], [self.daemon.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue += children.get(pid, [])
        # A shim is reparented to init when it starts.
        for pid, name in names.items():
            if name.startswith("containerd-shim"):
                with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                    if self.base.encode() in cmdline.read():
                        found.append(pid)
        return sorted(set(found))

    def close(self):
        ids = self.run("ps", "-aq", check=False).stdout.decode().split()
        if ids:
            self.run("rm", "-f", *ids, check=False)
        self.daemon.terminate()
        try:
            self.daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        self.log.close()
        # dockerd leaves its rules, among them a forward chain that drops what is not Docker's: every other container's
        # traffic, even between ports of one bridge.
        for table in ("ip nat", "ip filter", "ip6 nat", "ip6 filter"):
            if table in _tables() - self.tables:
                subprocess.run(["nft", "delete", "table", *table.split()], check=False)
        subprocess.run(["ip", "link", "delete", self.bridge], check=False)
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            below = [line.split()[1] for line in mounts if line.split()[1].startswith(self.base)]
        for path in sorted(below, key=len, reverse=True):
            subprocess.run(["umount", "-l", path], check=False)
        shutil.rmtree(self.base, ignore_errors=True)

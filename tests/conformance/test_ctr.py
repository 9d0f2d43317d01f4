"""containerd's own client over darse-oci and over runc, compared."""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from darse_testing import BIN, busybox_rootfs, eventually  # noqa: E402
from docker_peer import install  # noqa: E402
from instance.build import build  # noqa: E402


class Containerd:
    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="darse-ctr-", dir="/var/tmp")
        self.rootfs = os.path.join(self.base, "rootfs")
        os.makedirs(self.rootfs)
        tar = os.path.join(self.base, "root.tar")
        busybox_rootfs(tar)
        subprocess.run(["tar", "-xf", tar, "-C", self.rootfs], check=True)
        self.log = open(os.path.join(self.base, "log"), "wb")
        self.socket = os.path.join(self.base, "c.sock")
        self.daemon = subprocess.Popen(["containerd", "--root", f"{self.base}/root", "--state", f"{self.base}/state", "--address",
                                        self.socket], stdout=self.log, stderr=self.log)
        eventually(lambda: self("version")[0] == 0)

    def __call__(self, *args):
        done = subprocess.run(["ctr", "-a", self.socket, *args], check=False, timeout=60, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stdout

    def close(self):
        self.daemon.terminate()
        self.daemon.wait(30)
        self.log.close()
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            below = [line.split()[1] for line in mounts if line.split()[1].startswith(self.base)]
        for path in sorted(below, key=len, reverse=True):
            subprocess.run(["umount", "-l", path], check=False)
        shutil.rmtree(self.base, ignore_errors=True)


@pytest.fixture(scope="module")
def containerd():
    build()
    install()
    made = Containerd()
    yield made
    made.close()


def both(containerd, scenario):
    seen = {}
    for name, program in (("runc", shutil.which("runc")), ("darse", os.path.join(BIN, "darse-oci"))):
        def run(*args, program=program, name=name):
            return containerd("run", "--runc-binary", program, "--rootfs", *args[:-1], containerd.rootfs, name, *args[-1])
        seen[name] = scenario(run, name)
        containerd("task", "kill", "-s", "KILL", name)
        containerd("task", "rm", "-f", name)
        containerd("container", "rm", name)
    assert seen["darse"] == seen["runc"]
    return seen["darse"]


def test_run(containerd):
    seen = both(containerd, lambda run, name: run("--rm", ("/bin/sh", "-c", "echo out; /bin/id -u; exit 4")))
    assert seen == (4, "out\n0\n")


def test_exec_pause_and_kill(containerd):
    def scenario(run, name):
        def state():
            for line in containerd("task", "ls")[1].splitlines():
                if line.split()[0] == name:
                    return line.split()[2]
            return None
        seen = [run("-d", ("/bin/sleep", "100"))[0], state(),
                containerd("task", "exec", "--exec-id", "e", name, "/bin/sh", "-c", "echo in; exit 3"),
                containerd("task", "pause", name)[0], state(), containerd("task", "resume", name)[0], state(),
                containerd("task", "ps", name)[0], containerd("task", "metrics", name)[0],
                containerd("task", "kill", "-s", "KILL", name)[0]]
        eventually(lambda: state() in ("STOPPED", None))
        return seen
    seen = both(containerd, scenario)
    assert seen[1] == "RUNNING" and seen[4] == "PAUSED" and seen[2] == (3, "in\n")

"""A bundle of busybox for darse-oci, with a configuration that a test may make as it likes."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile

from darse_testing import BIN, busybox_rootfs
from instance.build import build


class Bundle:
    def __init__(self, base):
        self.base = base
        self.rootfs = os.path.join(base, "rootfs")
        # Or one that was built otherwise (the asan stage of tools/test).
        self.program = os.environ.get("DARSE_OCI", os.path.join(BIN, "darse-oci"))
        os.makedirs(self.rootfs)
        tar = os.path.join(base, "root.tar")
        busybox_rootfs(tar)
        subprocess.run(["tar", "-xf", tar, "-C", self.rootfs], check=True)
        self("spec")
        with open(os.path.join(base, "config.json"), encoding="utf-8") as config:
            self.spec = json.load(config)
        process = self.spec["process"]
        process["terminal"] = False
        process.pop("rlimits", None)
        self.spec["root"] = {"path": "rootfs"}
        self.id = os.path.basename(base)

    def __call__(self, *args, **kwargs):
        return subprocess.run([self.program, "--root", os.path.join(self.base, "state"), *args], cwd=self.base, check=False,
                              timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              **kwargs)

    def write(self):
        with open(os.path.join(self.base, "config.json"), "w", encoding="utf-8") as out:
            json.dump(self.spec, out)

    def run(self, *args):
        """What `args` does in a container."""
        self.spec["process"]["args"] = list(args)
        self.write()
        return self("run", self.id)

    def start(self, *args):
        self.spec["process"]["args"] = list(args)
        self.write()
        started = subprocess.run([self.program, "--root", os.path.join(self.base, "state"), "run", "-d", self.id], cwd=self.base,
                                 check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert started.returncode == 0

    def without(self, destination):
        self.spec["mounts"] = [mount for mount in self.spec["mounts"] if not mount["destination"].startswith(destination)]

    def path(self, name):
        return os.path.join(self.rootfs, name)


@contextlib.contextmanager
def make_bundle(prefix):
    build()
    base = tempfile.mkdtemp(prefix=prefix, dir="/var/tmp")
    made = Bundle(base)
    try:
        yield made
    finally:
        made("delete", "-f", made.id)
        shutil.rmtree(base, ignore_errors=True)
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            assert base not in mounts.read()

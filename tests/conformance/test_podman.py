"""podman over darse-oci behaves as podman over runc."""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import scenarios  # noqa: E402
from darse_testing import BIN, busybox_rootfs  # noqa: E402
from docker_peer import install  # noqa: E402
from instance.build import build  # noqa: E402


class Podman:
    def __init__(self):
        install()
        if not os.path.exists("/usr/libexec/podman/catatonit") or shutil.which("podman") is None:
            subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "podman", "catatonit"], check=True,
                           env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, stdout=subprocess.DEVNULL)
        self.base = tempfile.mkdtemp(prefix="darse-podman-", dir="/var/tmp")
        self.config = os.path.join(self.base, "containers.conf")
        with open(self.config, "w", encoding="utf-8") as out:
            # Its own are beyond what some machines let root have.
            out.write('[containers]\ndefault_ulimits = ["nofile=1024:2048", "nproc=4096:4096"]\nnetns = "none"\n')

    def command(self, *args):
        """podman takes its runtime before the verb."""
        args = list(args)
        runtime = "runc"
        if "--runtime" in args:
            at = args.index("--runtime")
            runtime = args[at + 1]
            del args[at:at + 2]
        program = os.path.join(BIN, "darse-oci") if runtime == "darse" else shutil.which("runc")
        return ["env", f"CONTAINERS_CONF={self.config}", "podman", "--root", f"{self.base}/root", "--runroot", f"{self.base}/run", "--storage-driver", "vfs",
                "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", program, *args]

    def run(self, *args, check=True, input=None, timeout=120):
        done = subprocess.run(self.command(*args), check=False, input=input, timeout=timeout,
                              stdin=None if input is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 0 or not check, done.stderr
        return done

    def close(self):
        self.run("rm", "-af", "-t", "0", check=False)
        shutil.rmtree(self.base, ignore_errors=True)


@pytest.fixture(scope="module")
def podman():
    build()
    made = Podman()
    try:
        with tempfile.NamedTemporaryFile(suffix=".tar") as tar:
            busybox_rootfs(tar.name)
            made.run("import", tar.name, "busybox:1")
        yield made
    finally:
        made.close()


def users_of_its_own(under):
    """Through a user namespace, with files that show it."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        seen = under.run("--uidmap", "0:200000:65536", "--gidmap", "0:200000:65536", "-v", f"{directory}:/b",
                         scenarios.IMAGE, "sh", "-c", "id -u; cat /proc/self/uid_map; touch /b/x /y; stat -c %u /b/x /y")
        return seen, [os.stat(os.path.join(directory, name)).st_uid for name in os.listdir(directory)]


# There is no bridge without netavark; figures, restarts and health are podman's own work; and its nproc limit is above what some
# machines let root have, which stops runc.
LEFT_OUT = {"network_modes", "figures", "restarts", "health", "ulimits"}
SCENARIOS = [scenario for scenario in scenarios.SCENARIOS if scenario.__name__ not in LEFT_OUT] + [users_of_its_own]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_darse_is_as_runc(podman, scenario):
    scenarios.assert_same(podman, scenario)

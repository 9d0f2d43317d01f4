"""Docker as Debian sets it up (systemd's control groups, v2, AppArmor): over darse-oci as over runc, in a virtual machine that
systemd runs."""

import glob
import os
import re
import sys
import tempfile

import pytest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [TESTS, os.path.join(TESTS, "vm")]
import vm  # noqa: E402
from darse_testing import BIN, busybox_rootfs  # noqa: E402
from docker_peer import install  # noqa: E402
from instance.build import build  # noqa: E402

PROGRAMS = ["/usr/sbin/dockerd", "/usr/bin/docker", "/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2", "/usr/sbin/runc",
            "/usr/sbin/apparmor_parser"]

# What each runtime answers is compared line by line; numbers of the host are not printed.
SCRIPT = """
export HOME=/root
dockerd --exec-opt native.cgroupdriver=systemd --add-runtime darse=/usr/bin/darse-oci --iptables=false --ip6tables=false --bridge=none \\
  > /dockerd.log 2>&1 &
for i in $(seq 150); do docker version > /dev/null 2>&1 && break; sleep 1; done
docker info 2> /dev/null | grep -i "cgroup" ; docker import /busybox.tar box:1 > /dev/null || { tail -20 /dockerd.log; exit 1; }
D() { docker "$@" 2>&1; }
scope() { echo docker-$(docker inspect -f '{{.Id}}' one).scope; }
for r in runc darse; do
  echo "=== $r"
  D run --rm --network none --runtime $r box:1 sh -c 'echo hi; exit 7'; echo "code $?"
  docker run -d --name one --network none --runtime $r -m 64m --memory-swap 64m --cpus 0.5 --cpu-shares 512 --pids-limit 50 box:1 sleep 1000 \\
    2>&1 > /dev/null || { tail -5 /dockerd.log; exit 1; }
  show() { D exec one sh -c 'cd /sys/fs/cgroup; cat memory.max memory.swap.max cpu.max cpu.weight pids.max'; }
  show
  cat /proc/$(docker inspect -f '{{.State.Pid}}' one)/cgroup | sed "s/$(scope)/SCOPE/"
  systemctl --no-pager show $(scope) -p MemoryMax -p TasksMax -p CPUQuotaPerSecUSec -p Delegate -p Slice
  D update -m 128m --memory-swap 128m --cpus 1 one > /dev/null; echo "update $?"; show
  D pause one > /dev/null; docker inspect -f '{{.State.Status}}' one; D unpause one > /dev/null; docker inspect -f '{{.State.Status}}' one
  D exec one cat /proc/1/attr/current; D stats --no-stream --format '{{.Name}} {{.PIDs}}' one
  D exec one sh -c 'echo > /dev/null && echo open; mknod /tmp/x b 1 1 && dd if=/tmp/x count=1 2>&1 | tail -n 1'
  D kill one > /dev/null; docker wait one; D start one > /dev/null; docker inspect -f '{{.State.Status}}' one
  s=$(scope); docker rm -f one; systemctl is-active $s
  D run --rm --network none --runtime $r -m 32m --memory-swap 32m box:1 sh -c 'dd if=/dev/zero of=/dev/null bs=100M count=1'; echo "code $?"
  echo "=== exit 0"
done
"""


@pytest.fixture(scope="module")
def answers():
    """{runtime: lines}."""
    install()
    build()
    programs = {path: path for path in PROGRAMS} | {"/usr/bin/darse-oci": os.path.join(BIN, "darse-oci")}
    # What docker-default is made of.
    profiles = glob.glob("/etc/apparmor.d/[at]*/**", recursive=True)
    files = {path: path for path in ["/etc/apparmor/parser.conf", "/usr/share/apparmor-features/features", *profiles]
             if os.path.isfile(path)}
    with tempfile.NamedTemporaryFile(suffix=".tar") as tar:
        busybox_rootfs(tar.name)
        found = vm.run_sections(SCRIPT, programs, files | {"/busybox.tar": tar.name}, timeout=500, memory="3G", cgroups="systemd")
    return {name: [re.sub(r"\d+ bytes.*", "bytes", line) for line in text.splitlines()] for name, (_, text) in found.items()}


def test_darse_is_as_runc(answers):
    assert answers["darse"] == answers["runc"]


def test_docker_did_what_it_was_asked_for(answers):
    lines = answers["darse"]
    assert lines[:7] == ["hi", "code 7", "67108864", "0", "50000 100000", "20", "50"], lines
    assert lines[7] == "0::/system.slice/SCOPE" and "MemoryMax=67108864" in lines, lines
    assert "docker-default (enforce)" in lines and "dd: can't open '/tmp/x': Operation not permitted" in lines, lines
    assert lines[lines.index("update 0") + 1:lines.index("update 0") + 4] == ["134217728", "0", "100000 100000"], lines

"""Shims that wait for containers: used once, gone with the runtime, and not needed."""

import os

import pytest

from darse_testing import Darse, eventually


def parked(darse):
    """Pids of the instance's shims that have no container yet, each with the helper that is its child."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as cmdline:
                    words = cmdline.read().split(b"\0")
            except OSError:
                continue
            if b"--parked" in words and any(word.startswith(darse.base.encode()) for word in words):
                container = words[words.index(b"--run") + 1].decode()
                if not os.path.exists(os.path.join(container, "shim.pid")):
                    found.append(int(entry))
    return found


def cgroups(darse):
    parent = darse.instance.environment["DARSE_CGROUP_PARENT"]
    found = set()
    for controller in os.listdir("/sys/fs/cgroup"):
        place = os.path.join("/sys/fs/cgroup", controller, parent)
        if os.path.isdir(place):
            found |= {name for name in os.listdir(place) if os.path.isdir(os.path.join(place, name))}
    return found


@pytest.fixture(name="own")
def _own():
    darse = Darse(services=["runtime"])
    yield darse
    darse.close()


def test_they_are_used_and_come_again(own):
    eventually(lambda: len(parked(own)) == 8)
    waiting = cgroups(own)
    name = own("run", "-d", "busybox:1", "sleep", "100")
    assert name in waiting, "the container did not get a shim that waited"
    eventually(lambda: len(parked(own)) == 8)
    assert own("run", "--rm", "busybox:1", "echo", "still") == "still"
    own.remove_all()


def test_they_end_with_the_runtime_and_leave_nothing(own):
    eventually(lambda: len(parked(own)) == 8)
    container = own("run", "-d", "busybox:1", "sleep", "100")
    eventually(lambda: len(parked(own)) == 8)
    before = cgroups(own) - {container}
    own.instance.kill("runtime")
    eventually(lambda: not before & cgroups(own), message=lambda: f"left: {before & cgroups(own)}")
    own.instance.wait_ready(["runtime"])
    assert own.state(container) == "running"
    own.remove_all()


def test_one_that_was_killed_is_not_missed(own):
    eventually(lambda: len(parked(own)) == 8)
    for pid in parked(own):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass  # a helper, gone with its shim
    for _ in range(6):
        assert own("run", "--rm", "busybox:1", "echo", "all the same") == "all the same"


def test_tight_limits_and_no_pool_are_started_the_long_way(own):
    eventually(lambda: len(parked(own)) == 8)
    waiting = cgroups(own)
    assert own("run", "-d", "--pids-limit", "1", "busybox:1", "sleep", "100") not in waiting
    own.remove_all()
    own.instance.environment["DARSE_SHIM_POOL_SIZE"] = "0"
    own.instance.kill("runtime")
    eventually(lambda: not parked(own))
    own.instance.wait_ready(["runtime"])
    assert own("run", "--rm", "busybox:1", "echo", "alone") == "alone"
    assert not parked(own)


def test_their_program_cannot_be_written_from_a_container(own):
    """CVE-2019-5736: whoever gets a link to it, and waits until nobody executes it."""
    eventually(lambda: len(parked(own)) == 8)
    for pid in parked(own):
        program = os.open(f"/proc/{pid}/exe", os.O_PATH)
        try:
            assert os.fstatvfs(program).f_flag & os.ST_RDONLY, os.readlink(f"/proc/{pid}/exe")
            with pytest.raises(OSError):
                os.open(f"/proc/self/fd/{program}", os.O_RDWR)
        finally:
            os.close(program)

"""Root of a container is nobody on the host, and disks do not show it (docs/decisions/0008-user-namespaces.md)."""

import os
import re
import shutil
import struct
import subprocess

import pytest

from darse_testing import eventually


@pytest.fixture(scope="module", autouse=True)
def host_has_them(darse):
    darse("run", "-d", "--name", "probe", "busybox:1", "true")
    why = darse.inspect("probe")["UserNamespace"].get("Host", "")
    darse("rm", "-f", "probe")
    if why:
        pytest.skip(why)


def first_id(darse, name):
    return darse.inspect(name)["UserNamespace"]["FirstId"]


def host_uid(darse, name):
    with open(f"/proc/{darse.inspect(name)['State']['Pid']}/status", encoding="utf-8") as status:
        return int(re.search(r"^Uid:\t(\d+)", status.read(), re.M).group(1))


def test_each_container_has_users_of_its_own(darse):
    for name in ("one", "two"):
        darse("run", "-d", "--name", name, "busybox:1", "sleep", "600")
    darse("run", "-d", "--name", "guest", "-u", "guest", "busybox:1", "sleep", "600")
    firsts = {name: first_id(darse, name) for name in ("one", "two", "guest")}
    assert len(set(firsts.values())) == 3 and min(firsts.values()) >= 0x40000000
    assert host_uid(darse, "one") == firsts["one"] and host_uid(darse, "guest") == firsts["guest"] + 1000
    assert darse("exec", "one", "id", "-u") == "0" and darse("exec", "guest", "id", "-u") == "1000"
    assert re.search(r"^1000 ", darse("top", "guest").split("\n")[1]), darse("top", "guest")
    # A restart by the shim and one by hand.
    darse("restart", "-t", "0", "one")
    assert darse("exec", "one", "sh", "-c", "touch /f && stat -c %u:%g /f") == "0:0"


def test_disks_show_the_ids_of_the_inside(darse):
    bind = os.path.join(darse.base, "bound")
    os.makedirs(bind)
    with open(os.path.join(bind, "of-1000"), "w", encoding="utf-8") as file:
        file.write("x")
    os.chown(os.path.join(bind, "of-1000"), 1000, 1000)
    darse("run", "-d", "--name", "one", "-v", f"{bind}:/bound", "-v", "named:/named", "--tmpfs", "/scratch", "busybox:1",
          "sleep", "600")
    assert darse("exec", "one", "stat", "-c", "%u:%g", "/bound/of-1000") == "1000:1000"
    darse("exec", "one", "sh", "-c", "chown 7:8 /bound/of-1000; touch /bound/new /named/new /scratch/new /var/new; "
          "chown guest /named/new; echo 10.0.0.1 extra >> /etc/hosts; chown 5 /bin/busybox")
    host = {name: (os.stat(os.path.join(bind, name)).st_uid, os.stat(os.path.join(bind, name)).st_gid)
            for name in ("of-1000", "new")}
    assert host == {"of-1000": (7, 8), "new": (0, 0)}
    # With other ids, or without a map, the same container finds the same owners.
    before = first_id(darse, "one")
    darse("stop", "-t", "0", "one")
    darse("start", "one")
    assert first_id(darse, "one") != before
    seen = darse("exec", "one", "stat", "-c", "%u:%g", "/bound/of-1000", "/named/new", "/var/new", "/bin/busybox")
    assert seen.split("\n") == ["7:8", "1000:0", "0:0", "5:0"]
    assert darse("run", "--rm", "--userns=host", "-v", "named:/named", "busybox:1", "stat", "-c", "%u:%g",
                 "/named/new") == "1000:0"


@pytest.mark.parametrize("flags, why", [
    (["--userns=host"], "it was asked for"),
    (["--privileged"], "it is privileged"),
    (["--network", "host"], "it uses the host's network"),
    (["--pid", "host"], "it sees the host's processes"),
    (["--cap-add", "SYS_ADMIN"], "CAP_SYS_ADMIN counts only there"),
    (["-u", "70000"], "user or group 70000 is above 65535"),
    (["-v", "/proc:/mnt:ro"], "a file system at /proc has no id-mapped mounts"),
])
def test_what_is_in_the_way_is_said_and_may_be_an_error(darse, flags, why):
    darse("run", "-d", "--name", "one", *flags, "busybox:1", "sleep", "600")
    shown = darse.inspect("one")
    assert shown["UserNamespace"] == {"Host": why}
    assert os.readlink(f"/proc/{shown['State']['Pid']}/ns/user") == os.readlink("/proc/self/ns/user")
    assert shown["HostConfig"]["UsernsMode"] == ("host" if flags == ["--userns=host"] else "")
    if flags != ["--userns=host"]:
        darse.fails("create", "--userns=private", *flags, "busybox:1", "true", says=["userns_mode", why])
        assert darse("ps", "-aq", "--no-trunc") == shown["Id"]


def test_settings_of_its_network_are_its_own_to_make(darse):
    assert darse("run", "--rm", "--userns=private", "--sysctl", "net.ipv4.ping_group_range=0 2147483647", "--sysctl",
                 "net.core.somaxconn=77", "busybox:1", "cat", "/proc/sys/net/core/somaxconn",
                 "/proc/sys/net/ipv4/ping_group_range") == "77\n0\t65535"


def test_private_is_granted_where_nothing_is_in_the_way(darse):
    assert darse("run", "--rm", "--userns=private", "busybox:1", "cat", "/proc/self/uid_map").split()[2] == "65536"
    darse.fails("run", "--userns=keep-id", "busybox:1", "true", code=1, says=["--userns", "keep-id", "host, private"])


def test_programs_that_raise_their_rights_do(darse):
    """The owner of a setuid program, and the capabilities of a file, are seen through the map."""
    darse("create", "--name", "one", "busybox:1", "sleep", "600")
    programs = os.path.join(darse.instance.root, "runtime", "snapshots", darse.inspect("one")["Id"], "upper", "bin")
    os.makedirs(programs)
    for name, mode in (("busybox-capable", 0o755), ("busybox-setuid", 0o4755)):
        shutil.copy(shutil.which("busybox"), os.path.join(programs, name))
        os.chmod(os.path.join(programs, name), mode)
    # struct vfs_cap_data: revision 2, effective; CAP_NET_RAW.
    os.setxattr(os.path.join(programs, "busybox-capable"), "security.capability",
                struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
    darse("start", "one")
    assert darse("exec", "-u", "guest", "one", "busybox-capable", "grep", "CapEff", "/proc/self/status").endswith("2000")
    # Without the right it says that it must be setuid.
    darse.fails("exec", "-u", "guest", "one", "busybox-setuid", "su", says="incorrect password")


def test_a_network_is_shared_with_its_users(darse):
    darse("run", "-d", "--name", "vpn", "--cap-add", "NET_ADMIN", "busybox:1", "sleep", "600")
    darse("run", "-d", "--name", "guest", "--network", "container:vpn", "busybox:1", "sleep", "600")
    assert first_id(darse, "guest") == first_id(darse, "vpn")
    # Root inside rules over its own network, and no other.
    assert darse("exec", "vpn", "sh", "-c", "ip link add br7 type bridge && ip -o link | grep -c br7") == "1"
    assert darse("exec", "guest", "sh", "-c", "ip -o link | grep -c br7") == "1"
    assert darse.run("exec", "guest", "ip", "link", "delete", "br7").returncode != 0


def test_the_root_inside_is_nobody_outside(darse):
    secret = os.path.join(darse.base, "secret")
    with open(secret, "w", encoding="utf-8") as file:
        file.write("x")
    os.chmod(secret, 0o600)
    darse("run", "-d", "--name", "one", "busybox:1", "sleep", "600")
    pid = darse.inspect("one")["State"]["Pid"]
    # As one who got out would find himself: with all its capabilities and ids, in the host's mounts.
    tried = subprocess.run(["nsenter", "-t", str(pid), "-U", "--setuid", "0", "--setgid", "0", "sh", "-c",
                            f"cat {secret}; kill -0 1; mknod {darse.base}/null c 1 3; echo 1 > /proc/sys/vm/drop_caches; "
                            "echo x > /sys/fs/cgroup/cgroup.procs; sethostname() { hostname x; }; sethostname"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert tried.returncode != 0 and "x\n" not in tried.stdout, tried.stdout
    assert len(re.findall("denied|not permitted", tried.stdout)) >= 5, tried.stdout


def test_the_ids_are_kept_over_a_restart_of_the_runtime(darse):
    darse("run", "-d", "--name", "one", "busybox:1", "sleep", "600")
    before = first_id(darse, "one")
    old = darse.instance.pid("runtime")
    darse.instance.kill("runtime")
    eventually(lambda: darse.instance.pid("runtime") not in (None, old))
    darse.instance.wait_ready(("runtime",))
    assert first_id(darse, "one") == before
    assert darse("exec", "one", "id", "-u") == "0"
    darse("run", "-d", "--name", "two", "busybox:1", "sleep", "600")
    assert first_id(darse, "two") != before
    darse("rm", "-f", "one", "two")
    # Those of parked shims are left.
    eventually(lambda: len(os.listdir(os.path.join(darse.instance.run, "userns"))) <= 4)

"""What config.json asks for, seen from inside a container of darse-oci: a test a field.

Those of cgroups are in tests/vm as well, where v2 is.
"""

import ctypes
import json
import os
import re
import socket
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from oci_bundle import make_bundle  # noqa: E402

HOST_ID = 200000


@pytest.fixture
def bundle():
    with make_bundle("darse-config-") as made:
        yield made


def own_user_namespace(bundle, size=65536):
    bundle.spec["linux"]["namespaces"].append({"type": "user"})
    for side in ("uidMappings", "gidMappings"):
        bundle.spec["linux"][side] = [{"containerID": 0, "hostID": HOST_ID, "size": size}]
    for directory, _, files in os.walk(bundle.rootfs):
        for name in [directory] + [os.path.join(directory, file) for file in files]:
            if not os.path.islink(name):
                os.chown(name, HOST_ID, HOST_ID)


def shows(bundle, script):
    done = bundle.run("sh", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refuses(bundle, script="true"):
    done = bundle.run("sh", "-c", script)
    assert done.returncode != 0
    return done.stderr


# User namespaces


def test_root_of_a_user_namespace_is_nobody_on_the_host(bundle):
    own_user_namespace(bundle)
    os.chmod(bundle.base, 0o700)  # as a state directory is: its parents are for the host's root alone
    shown = shows(bundle, "id -u; cat /proc/self/uid_map; hostname x; touch /made && stat -c %u:%g /made; ls -ln /dev/null")
    assert shown.startswith("0\n")
    assert re.search(rf"\b0\s+{HOST_ID}\s+65536", shown)
    assert "0:0\n" in shown
    made = os.stat(bundle.path("made"))
    assert (made.st_uid, made.st_gid) == (HOST_ID, HOST_ID)


def test_devices_work_in_a_user_namespace(bundle):
    own_user_namespace(bundle)
    loop = {"path": "/dev/net/of-mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 7, "gid": 8}
    bundle.spec["linux"]["devices"] = [loop]
    shown = shows(bundle, """echo gone > /dev/null && head -c 2 /dev/zero | od -An -tx1
                             stat -c '%u:%g %a %F' /dev/net/of-mine; head -c 1 /dev/net/of-mine | od -An -tx1
                             mknod /dev/mine c 1 3 2>&1; ls -l /dev/fd /dev/ptmx | wc -l""")
    assert "00 00" in shown and "7:8 640 character special file" in shown
    assert "Operation not permitted" in shown and shown.endswith("2\n")


def test_without_a_tmpfs_the_hosts_devices_are_bound(bundle):
    own_user_namespace(bundle)
    bundle.spec["mounts"] = [m for m in bundle.spec["mounts"] if not m["destination"].startswith("/dev")]
    os.makedirs(bundle.path("dev/pts"), exist_ok=True)
    os.chown(bundle.path("dev"), HOST_ID, HOST_ID)
    assert shows(bundle, "echo gone > /dev/null; head -c 1 /dev/zero | od -An -tx1; grep -c /dev/null /proc/mounts") == " 00\n1\n"
    bundle.spec["linux"]["devices"] = [{"path": "/dev/darse-none", "type": "c", "major": 1, "minor": 5}]
    assert "device /dev/darse-none" in refuses(bundle)


def test_root_of_a_user_namespace_starts_containers_too(bundle):
    """As inside `podman unshare`: root by name, with rights over its own mounts alone."""
    own_user_namespace(bundle)
    for side in ("uidMappings", "gidMappings"):
        bundle.spec["linux"][side][0].update(hostID=0, size=1)
    bundle.spec["mounts"] = [m for m in bundle.spec["mounts"] if m["type"] not in ("cgroup", "sysfs")]
    for mount in bundle.spec["mounts"]:
        mount["options"] = [option for option in mount.get("options", []) if option != "gid=5"]
    bundle.spec["linux"]["resources"] = {}
    bundle.spec["process"]["args"] = ["sh", "-c", "id -u; echo gone > /dev/null; head -c 1 /dev/zero | od -An -tx1"]
    bundle.write()
    for directory, _, files in os.walk(bundle.rootfs):
        for name in [directory] + [os.path.join(directory, file) for file in files]:
            if not os.path.islink(name):
                os.chown(name, 0, 0)
    command = ["unshare", "--map-root-user", "--mount", bundle.program, "--root", os.path.join(bundle.base, "state"), "--rootless",
               "true", "run", bundle.id]
    done = subprocess.run(command, cwd=bundle.base, check=False, timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    assert done.stdout == "0\n 00\n", done.stderr


def test_bound_directories_are_opened_by_the_host(bundle):
    own_user_namespace(bundle)
    os.makedirs(os.path.join(bundle.base, "hidden/shown"))
    os.chmod(os.path.join(bundle.base, "hidden"), 0o700)
    os.chmod(os.path.join(bundle.base, "hidden/shown"), 0o755)
    bundle.spec["mounts"].append({"destination": "/data", "type": "bind", "source": os.path.join(bundle.base, "hidden/shown"),
                                  "options": ["rbind", "ro"]})
    assert "Read-only" in shows(bundle, "ls -lnd /data; touch /data/x 2>&1; true")


def test_exec_enters_the_user_namespace(bundle):
    own_user_namespace(bundle)
    bundle.spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 100}]
    bundle.start("sleep", "100")
    inside = bundle("exec", "--user", "5:6", bundle.id, "sh", "-c", "id -u; id -g; ulimit -n; cat /proc/self/uid_map; echo x >/dev/stdout")
    assert inside.returncode == 0, inside.stderr
    assert inside.stdout.split()[:4] == ["5", "6", "100", "0"] and inside.stdout.endswith("x\n")
    pid = json.loads(bundle("state", bundle.id).stdout)["pid"]
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        assert f"Uid:\t{HOST_ID}" in status.read()


def test_who_is_not_mapped_is_named(bundle):
    own_user_namespace(bundle, size=1000)
    bundle.spec["process"]["user"] = {"uid": 5000, "gid": 0}
    assert "become user 5000" in refuses(bundle) and "does not map" in refuses(bundle)
    bundle.spec["linux"]["uidMappings"][0]["containerID"] = 1
    assert "linux.uidMappings: the container's user 0 is not mapped" in refuses(bundle)


def test_a_user_namespace_is_joined_with_others(bundle):
    own_user_namespace(bundle)
    bundle.start("sleep", "100")
    pid = json.loads(bundle("state", bundle.id).stdout)["pid"]
    with make_bundle("darse-config-") as second:
        own_user_namespace(second)
        for side in ("uidMappings", "gidMappings"):
            del second.spec["linux"][side]
        for entry in second.spec["linux"]["namespaces"]:
            name = {"network": "net", "user": "user", "pid": "pid", "ipc": "ipc"}.get(entry["type"])
            if name:
                entry["path"] = f"/proc/{pid}/ns/{name}"
        shown = shows(second, "for n in net user pid ipc; do readlink /proc/self/ns/$n; done; ps -o comm | head -3; id -u")
        for name in ("net", "user", "pid", "ipc"):
            assert os.readlink(f"/proc/{pid}/ns/{name}") in shown
        assert "sleep" in shown and shown.endswith("0\n")
        second.spec["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 5, "size": 1}]
        second.spec["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 5, "size": 1}]
        assert "not those of the user namespace that is joined" in refuses(second)


def test_a_new_user_namespace_joins_what_the_host_owns(bundle):
    own_user_namespace(bundle)
    for entry in bundle.spec["linux"]["namespaces"]:
        if entry["type"] in ("network", "ipc"):
            entry["path"] = "/proc/self/ns/" + {"network": "net", "ipc": "ipc"}[entry["type"]]
    bundle.without("/dev/mqueue")  # a new one is for who owns the ipc namespace
    shown = shows(bundle, "readlink /proc/self/ns/net; ls /sys/class/net")
    assert os.readlink("/proc/self/ns/net") in shown and "lo" in shown.split()


# Mounts


def test_id_mapped_mounts(bundle):
    own_user_namespace(bundle)
    data = os.path.join(bundle.base, "data")
    os.makedirs(data)
    os.chown(data, 33, 33)
    os.chmod(data, 0o777)
    bundle.spec["mounts"].append({"destination": "/data", "type": "bind", "source": data, "options": ["rbind", "ridmap"]})
    shown = shows(bundle, "stat -c %u /data; touch /data/made; stat -c %u /data/made")
    assert shown == "33\n0\n"
    assert os.stat(os.path.join(data, "made")).st_uid == 0


def test_a_mount_has_id_mappings_of_its_own_without_a_user_namespace(bundle):
    data = os.path.join(bundle.base, "data")
    os.makedirs(data)
    os.chown(data, 0, 0)
    mapping = [{"containerID": 0, "hostID": 1234, "size": 10}]
    mount = {"destination": "/data", "type": "bind", "source": data, "options": ["bind", "idmap"], "uidMappings": mapping,
             "gidMappings": mapping}
    bundle.spec["mounts"].append(mount)
    assert shows(bundle, "stat -c %u:%g /data") == "1234:1234\n"
    del mount["uidMappings"], mount["gidMappings"]
    assert "mounts[" in refuses(bundle) and "idmap" in refuses(bundle)


def test_tmpcopyup(bundle):
    image = bundle.path("var/lib/thing")
    os.makedirs(os.path.join(image, "below"))
    with open(os.path.join(image, "below/file"), "w", encoding="utf-8") as file:
        file.write("kept")
    os.chown(os.path.join(image, "below/file"), 7, 8)
    os.chmod(os.path.join(image, "below/file"), 0o4755)
    os.symlink("below/file", os.path.join(image, "link"))
    os.utime(os.path.join(image, "below/file"), (1000000000, 1000000000))
    bundle.spec["mounts"].append({"destination": "/var/lib/thing", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]})
    shown = shows(bundle, """cd /var/lib/thing; cat link; stat -c ' %u:%g %a %Y' below/file; touch x 2>&1; stat -f -c %T .""")
    assert shown.startswith("kept 7:8 4755 1000000000\n") and "Read-only" in shown and "tmpfs" in shown
    bundle.spec["mounts"][-1] = {"destination": "/x", "type": "bind", "source": "/etc", "options": ["bind", "tmpcopyup"]}
    assert "tmpcopyup" in refuses(bundle)


# Time


def test_time_namespace_with_offsets(bundle):
    bundle.spec["linux"]["namespaces"].append({"type": "time"})
    bundle.spec["linux"]["timeOffsets"] = {"monotonic": {"secs": 864000}, "boottime": {"secs": 864000, "nanosecs": 5}}
    with open("/proc/uptime", encoding="utf-8") as uptime:
        here = float(uptime.read().split()[0])
    assert float(shows(bundle, "cat /proc/uptime").split()[0]) - here >= 864000
    bundle.start("sleep", "100")
    inside = bundle("exec", bundle.id, "cat", "/proc/uptime")
    assert float(inside.stdout.split()[0]) - here >= 864000
    bundle("delete", "-f", bundle.id)
    bundle.spec["linux"]["timeOffsets"] = {"realtime": {"secs": 1}}
    assert "linux.timeOffsets.realtime" in refuses(bundle)
    bundle.spec["linux"]["timeOffsets"] = {"monotonic": {"secs": 1}}
    bundle.spec["linux"]["namespaces"].pop()
    assert "needs a time namespace" in refuses(bundle)


def test_time_and_user_namespace_together(bundle):
    own_user_namespace(bundle)
    bundle.spec["linux"]["namespaces"].append({"type": "time"})
    bundle.spec["linux"]["timeOffsets"] = {"boottime": {"secs": 864000}}
    bundle.start("sleep", "100")
    inside = bundle("exec", bundle.id, "sh", "-c", "id -u; cat /proc/uptime")
    assert inside.returncode == 0, inside.stderr
    assert inside.stdout.startswith("0\n") and float(inside.stdout.split()[1]) > 864000


# The process


def test_memory_policy(bundle):
    bundle.spec["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    shown = shows(bundle, "head -1 /proc/self/numa_maps")
    assert "bind=static:0" in shown or "bind" in shown
    bundle.spec["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0-"}
    assert "linux.memoryPolicy.nodes" in refuses(bundle)
    bundle.spec["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "999"}
    assert "linux.memoryPolicy" in refuses(bundle)


def test_exec_cpu_affinity(bundle):
    bundle.start("sleep", "100")
    process = dict(bundle.spec["process"], args=["grep", "Cpus_allowed_list", "/proc/self/status"],
                   execCPUAffinity={"initial": "0-1", "final": "1"})
    path = os.path.join(bundle.base, "process.json")
    for affinity, expected in (({"initial": "0-1", "final": "1"}, "1"), ({"initial": "0"}, None)):
        process["execCPUAffinity"] = affinity
        with open(path, "w", encoding="utf-8") as file:
            json.dump(process, file)
        inside = bundle("exec", "--process", path, bundle.id)
        assert inside.returncode == 0, inside.stderr
        if expected:
            assert inside.stdout.split() == ["Cpus_allowed_list:", expected]
    process["execCPUAffinity"] = {"final": "one"}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(process, file)
    assert "process.execCPUAffinity.final" in bundle("exec", "--process", path, bundle.id).stderr


def test_personality(bundle):
    bundle.spec["linux"]["personality"] = {"domain": "LINUX32"}
    assert shows(bundle, "uname -m") == "i686\n"
    bundle.spec["linux"]["personality"] = {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}
    assert "linux.personality.flags" in refuses(bundle)


# Seccomp


class Agent:
    """Answers each notification with an errno of its own."""

    def __init__(self, path):
        self.state = None
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        self.listening.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        connection, _ = self.listening.accept()
        data, fds, _, _ = socket.recv_fds(connection, 65536, 1)
        self.state = json.loads(data)
        libc = ctypes.CDLL(None, use_errno=True)
        request = ctypes.create_string_buffer(80)
        while libc.ioctl(fds[0], ctypes.c_ulong(0xc0502100), request) == 0:  # SECCOMP_IOCTL_NOTIF_RECV
            answer = request.raw[:8] + b"\0" * 8 + (-123 & 0xffffffff).to_bytes(4, "little") + b"\0" * 4
            libc.ioctl(fds[0], ctypes.c_ulong(0xc0182101), answer)  # SECCOMP_IOCTL_NOTIF_SEND
            request = ctypes.create_string_buffer(80)


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_a_seccomp_agent_answers(bundle, no_new_privileges):
    path = os.path.join(bundle.base, "agent.sock")
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "of mine",
               "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}
    bundle.spec["linux"]["seccomp"] = seccomp
    bundle.spec["process"]["noNewPrivileges"] = no_new_privileges
    assert "no agent listens" in refuses(bundle)
    agent = Agent(path)
    assert "No medium found" in shows(bundle, "mkdir /made 2>&1 | head -1")
    assert agent.state["fds"] == ["seccompFd"] and agent.state["metadata"] == "of mine"
    assert agent.state["state"]["id"] == bundle.id and agent.state["pid"] == agent.state["state"]["pid"]
    del seccomp["listenerPath"]
    assert "listenerPath" in refuses(bundle)
    seccomp["listenerPath"] = path
    seccomp["syscalls"][0]["names"] = ["sendmsg"]
    assert "linux.seccomp: SCMP_ACT_NOTIFY for sendmsg" in refuses(bundle)


# Without root


USER = 65534  # nobody


def as_user_command(bundle, *args):
    return [*getattr(bundle, "prefix", []), "setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", bundle.program,
            "--root", os.path.join(bundle.base, "own/state"), *args]


def as_user(bundle, *args):
    return subprocess.run(as_user_command(bundle, *args), cwd=os.path.join(bundle.base, "own"), check=False, timeout=60,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def own(bundle):
    """A bundle that belongs to an ordinary user, with the configuration of `spec --rootless`."""
    os.chmod(bundle.base, 0o755)
    directory = os.path.join(bundle.base, "own")
    os.makedirs(directory)
    os.rename(bundle.rootfs, os.path.join(directory, "rootfs"))
    bundle.rootfs = os.path.join(directory, "rootfs")
    subprocess.run(["chown", "-R", f"{USER}:{USER}", directory], check=True)
    made = as_user(bundle, "spec", "--rootless")
    assert made.returncode == 0, made.stderr
    with open(os.path.join(directory, "config.json"), encoding="utf-8") as config:
        bundle.spec = json.load(config)
    bundle.spec["process"]["terminal"] = False
    bundle.spec["root"]["readonly"] = False

    def configure(*args):
        bundle.spec["process"]["args"] = list(args)
        with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as out:
            json.dump(bundle.spec, out)

    def run(script):
        configure("sh", "-c", script)
        return as_user(bundle, "run", bundle.id)
    bundle.configure = configure
    bundle.run_as_user = run
    return bundle


def test_rootless_with_ones_own_id_alone(own):
    done = own.run_as_user("id -u; touch /made; echo gone >/dev/null; ls /proc | grep -c '^[0-9]'")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0\n3\n"
    assert os.stat(own.path("made")).st_uid == USER
    own.spec["linux"]["resources"] = {"memory": {"limit": 100000000}}
    assert "linux.resources: needs a cgroup" in own.run_as_user("true").stderr
    own.spec["linux"]["resources"] = {}
    own.spec["linux"]["namespaces"] = [n for n in own.spec["linux"]["namespaces"] if n["type"] != "user"]
    del own.spec["linux"]["uidMappings"], own.spec["linux"]["gidMappings"]
    assert "needs a user namespace" in own.run_as_user("true").stderr


def test_rootless_life_of_a_container(own):
    own.configure("sleep", "100")
    started = subprocess.run(as_user_command(own, "run", "-d", own.id), cwd=os.path.join(own.base, "own"), check=False,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert started.returncode == 0
    assert json.loads(as_user(own, "state", own.id).stdout)["status"] == "running"
    inside = as_user(own, "exec", own.id, "sh", "-c", "id -u; cat /proc/1/comm")
    assert inside.stdout == "0\nsleep\n", inside.stderr
    assert "needs a cgroup" in as_user(own, "pause", own.id).stderr
    assert as_user(own, "kill", own.id, "KILL").returncode == 0
    assert as_user(own, "delete", "-f", own.id).returncode == 0
    assert "does not exist" in as_user(own, "state", own.id).stderr


def test_rootless_with_ranges(own):
    ranges = os.path.join(own.base, "ranges")
    with open(ranges, "w", encoding="utf-8") as file:
        file.write("nobody:700000:1000\n")
    for side in ("uidMappings", "gidMappings"):
        own.spec["linux"][side] = [{"containerID": 0, "hostID": USER, "size": 1}, {"containerID": 1, "hostID": 700000, "size": 1000}]
    own.spec["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}
    assert f"/etc/subuid does not give user {USER} these ids" in own.run_as_user("true").stderr
    # The files of this machine stay as they are.
    own.prefix = ["unshare", "-m", "sh", "-c", f"touch /etc/subuid /etc/subgid; mount --bind {ranges} /etc/subuid; "
                  f"mount --bind {ranges} /etc/subgid; exec \"$@\"", "sh"]
    done = own.run_as_user("id -u; id -g; cat /proc/self/status | grep Groups; grep 700000 /proc/self/uid_map")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["5", "6", "Groups:", "7", "1", "700000", "1000"]


# Network devices


@pytest.mark.parametrize("in_user_namespace", [False, True])
def test_a_network_device_moves_in_with_its_addresses(bundle, in_user_namespace):
    name, peer = f"drs{os.getpid() % 100000}a", f"drs{os.getpid() % 100000}b"
    if in_user_namespace:
        own_user_namespace(bundle)
    bundle.spec["linux"]["netDevices"] = {name: {"name": "data0"}}
    assert f"linux.netDevices.{name}: this host has no such interface" in refuses(bundle)
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", peer], check=True)
    try:
        for address in ("192.0.2.7/24", "2001:db8::7/64"):
            subprocess.run(["ip", "address", "add", address, "dev", name], check=True)
        shown = shows(bundle, "ip address show data0; ip -6 address show data0")
        assert "192.0.2.7/24" in shown and "2001:db8::7/64" in shown and "UP" in shown
        assert name not in subprocess.run(["ip", "-o", "link"], check=True, stdout=subprocess.PIPE, text=True).stdout
    finally:
        subprocess.run(["ip", "link", "delete", peer], check=False, stderr=subprocess.DEVNULL)
    bundle.spec["linux"]["netDevices"] = {"lo": {"name": "much-too-long-a-name"}}
    assert "linux.netDevices.lo.name" in refuses(bundle)


# Labels


def test_labels_of_what_the_host_lacks_are_refused_by_name(bundle):
    if os.path.exists("/sys/fs/selinux/enforce"):
        pytest.skip("this host has SELinux")
    bundle.spec["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0"
    assert "linux.mountLabel: this host has no SELinux" in refuses(bundle)
    del bundle.spec["linux"]["mountLabel"]
    bundle.spec["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0"
    assert "process.selinuxLabel: this host has no SELinux" in refuses(bundle)


def test_shares_of_the_cache_are_refused_where_there_is_no_resctrl(bundle):
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        if " - resctrl " in mounts.read():
            pytest.skip("this host has resctrl")
    bundle.spec["linux"]["intelRdt"] = {"closID": "gold", "schemata": ["L3:0=ff"]}
    assert "linux.intelRdt: no resctrl file system" in refuses(bundle)


# What a command leaves that was killed in the middle


def test_a_forced_delete_takes_what_a_killed_command_left(bundle):
    os.makedirs(os.path.join(bundle.base, "state", bundle.id))
    with open(os.path.join(bundle.base, "state", bundle.id, "restore.pid"), "w", encoding="utf-8"):
        pass
    assert "exists already" in refuses(bundle)
    assert bundle("delete", "-f", bundle.id).returncode == 0
    assert "ran" in shows(bundle, "echo ran")


def test_the_null_device_as_stdio_is_the_containers_own(bundle):
    shown = shows(bundle, "stat -L -c %d /dev/null /proc/self/fd/0; grep flags /proc/self/fdinfo/0")
    devices = shown.split()
    assert devices[0] == devices[1] and devices[3] in ("0100000", "0100002"), shown  # no O_NONBLOCK

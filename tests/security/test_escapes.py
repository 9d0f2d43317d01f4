"""The old container escapes, from their public descriptions, tried on darse-oci. Each test names what stands in the way:
without it the test fails.

`libs/container` is the same for `darse run`; a bundle lets the configuration be hostile too.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from darse_testing import eventually  # noqa: E402
from oci_bundle import make_bundle  # noqa: E402

CANARY = "/darse-escape-canary"
RENAME_EXCHANGE = 2


@pytest.fixture
def bundle():
    with make_bundle("darse-escape-") as made:
        yield made
    assert not os.path.exists(CANARY)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def test_cve_2019_5736_the_runtimes_program_cannot_be_written(bundle):
    """mnt::StaySealed in tools/oci/main.cc: the program that enters a container runs from a read-only mount.

    The container makes the runtime execute itself inside (/bin/again is /proc/self/exe), holds a descriptor of what runs
    there, and writes to that once nobody runs it any more. The runtime inside is kept waiting at a FIFO meanwhile.
    """
    program = os.path.join(bundle.base, "darse-oci")
    shutil.copy(bundle.program, program)
    bundle.program = program
    before = digest(program)
    os.symlink("/proc/self/exe", bundle.path("bin/again"))
    os.mkfifo(bundle.path("fifo"))
    bundle.start("sh", "-c", """
        until [ -n "$held" ]; do for p in /proc/[0-9]*; do
          case "$(readlink $p/exe)" in */busybox|"") ;; *) exec 9< $p/exe && held=yes && break;; esac; done; done
        cat /fifo > /dev/null; touch /held
        for i in $(seq 100); do (echo overwritten > /proc/self/fd/9) 2>/dev/null && touch /won; sleep 0.02; done; touch /done""")
    inside = subprocess.Popen([program, "--root", os.path.join(bundle.base, "state"), "exec", bundle.id, "/bin/again", "--log",
                               "/fifo", "no-such-verb"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    inside.wait(30)
    eventually(lambda: os.path.exists(bundle.path("done")), 30)
    assert os.path.exists(bundle.path("held")), "the attack did not come to its end"
    assert digest(program) == before and not os.path.exists(bundle.path("won"))


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_cve_2019_19921_and_2023_27561_proc_and_sys_are_no_symlinks(bundle, name):
    """The check of mount points in libs/container/rootfs.cc: a symlinked /proc or /sys could be exchanged between the mount
    and what is masked in it."""
    os.rmdir(bundle.path(name))
    os.makedirs(bundle.path(f"elsewhere/{name}"))
    os.symlink(f"/elsewhere/{name}", bundle.path(name))
    done = bundle.run("true")
    assert done.returncode != 0
    assert f"/{name}" in done.stderr and "symbolic links" in done.stderr, done.stderr


@pytest.mark.parametrize("inside", ["/proc", "/proc/self/attr", "/proc/sys"])
def test_cve_2019_16884_nothing_is_mounted_over_proc(bundle, inside):
    """CheckProc in libs/container/rootfs.cc: a volume over /proc would take the place of what labels and limits are written
    to."""
    fake = os.path.join(bundle.base, "fake")
    os.makedirs(os.path.join(fake, "self/attr"))
    if inside == "/proc":
        bundle.without("/proc")
    bundle.spec["mounts"].append({"destination": inside, "type": "bind", "source": fake, "options": ["bind"]})
    done = bundle.run("true")
    assert done.returncode != 0 and "/proc" in done.stderr, (done.returncode, done.stderr)


def test_figures_in_proc_may_be_replaced(bundle):
    """As lxcfs does."""
    figures = os.path.join(bundle.base, "uptime")
    with open(figures, "w", encoding="utf-8") as out:
        out.write("1 2\n")
    bundle.spec["mounts"].append({"destination": "/proc/uptime", "type": "bind", "source": figures, "options": ["bind"]})
    assert bundle.run("cat", "/proc/uptime").stdout == "1 2\n"


def test_cve_2021_30465_a_mount_point_behind_a_symlink_stays_inside(bundle):
    """mnt::EnsureInRoot: every mount point is resolved with openat2 below the root and mounted by descriptor."""
    for name, target in (("absolute", "/"), ("relative", "../../../../../../.."), ("proc-root", "/proc/1/root")):
        os.symlink(target, bundle.path(name))
        bundle.spec["mounts"].append({"destination": f"/{name}{CANARY}", "type": "tmpfs", "source": "tmpfs"})
    done = bundle.run("sh", "-c", f"test -d {CANARY} && echo inside")
    assert not os.path.exists(CANARY)
    assert done.stdout == "inside\n" or done.returncode != 0, done.stderr


def test_cve_2021_30465_not_even_when_the_symlink_comes_in_between(bundle):
    """As above, with a volume in which a directory and a symlink to / change places all the time."""
    volume = os.path.join(bundle.base, "volume")
    os.makedirs(os.path.join(volume, "place"))
    os.symlink("/", os.path.join(volume, "link"))
    bundle.spec["mounts"] += [
        {"destination": "/v", "type": "bind", "source": volume, "options": ["bind"]},
        {"destination": f"/v/place{CANARY}", "type": "tmpfs", "source": "tmpfs"}]
    libc = ctypes.CDLL(None, use_errno=True)
    ends = threading.Event()

    def exchange():
        one, other = (os.path.join(volume, name).encode() for name in ("place", "link"))
        while not ends.is_set():
            libc.renameat2(-100, one, -100, other, RENAME_EXCHANGE)

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        for _ in range(40):
            bundle.run("true")
            assert not os.path.exists(CANARY)
    finally:
        ends.set()
        thread.join()


def test_cve_2022_29162_no_capability_is_inheritable(bundle):
    """Capabilities given to an exec are not put into its inheritable set."""
    bundle.start("sleep", "100")
    done = bundle("exec", "--cap", "CAP_NET_ADMIN", bundle.id, "grep", "CapInh", "/proc/self/status")
    assert done.stdout.split() == ["CapInh:", "0000000000000000"], done.stderr
    done = bundle("exec", bundle.id, "grep", "CapInh", "/proc/1/status")
    assert done.stdout.split() == ["CapInh:", "0000000000000000"], done.stderr


@pytest.mark.parametrize("how", ["run", "exec"])
def test_cve_2024_21626_the_working_directory_is_not_a_descriptor_of_the_host(bundle, how):
    """Every descriptor is closed on exec and none of the host's is open when the directory is entered."""
    if how == "exec":
        bundle.start("sleep", "100")
    for number in range(3, 40):
        place = f"/proc/self/fd/{number}"
        if how == "exec":
            done = bundle("exec", "--cwd", place, bundle.id, "sh", "-c", "cat ./../../../../../../../../etc/hostname; pwd -P")
        else:
            bundle.spec["process"]["cwd"] = place
            done = bundle.run("sh", "-c", "cat ./../../../../../../../../etc/hostname; pwd -P")
        with open("/etc/hostname", encoding="utf-8") as name:
            assert name.read() not in done.stdout, place
        assert done.returncode != 0 or done.stdout.strip().startswith("/proc") is False, (place, done.stdout)


def test_no_descriptor_of_the_host_is_inherited(bundle):
    """CloseOnExecFrom in libs/container/init.cc."""
    reader, writer = os.pipe()
    try:
        bundle.spec["process"]["args"] = ["sh", "-c", "ls /proc/self/fd | grep -vxE '[0-3]'"]  # 3 is ls's own
        bundle.write()
        for extra in ([], ["--preserve-fds", "0"]):
            done = subprocess.run([bundle.program, "--root", os.path.join(bundle.base, "state"), "run", *extra, bundle.id],
                                  cwd=bundle.base, pass_fds=[reader, writer], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, check=False)
            assert done.stdout == "", done.stdout
        bundle.start("sleep", "100")
        done = bundle("exec", bundle.id, "sh", "-c", "ls /proc/self/fd | grep -vxE '[0-3]'")
        assert done.stdout == "", done.stdout
    finally:
        os.close(reader)
        os.close(writer)


def test_cve_2024_45310_no_mount_point_is_made_on_the_host(bundle):
    """mnt::EnsureInRoot again: what has to be made for a mount is made below the root, whatever a volume holds."""
    volume = os.path.join(bundle.base, "volume")
    outside = os.path.join(bundle.base, "outside")
    os.makedirs(volume)
    os.makedirs(outside)
    os.symlink(outside, os.path.join(volume, "link"))
    bundle.spec["mounts"] += [
        {"destination": "/v", "type": "bind", "source": volume, "options": ["bind"]},
        {"destination": "/v/link/made", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/v/link/file", "type": "bind", "source": "/etc/hostname", "options": ["bind"]}]
    bundle.run("true")
    assert os.listdir(outside) == []


@pytest.mark.parametrize("kind", ["symlink", "file", "missing"])
def test_cve_2025_31133_masks_do_not_come_from_the_images_null(bundle, kind):
    """OpenTrueNull in libs/container/rootfs.cc: only the real null device hides a path. /dev is a volume here, so that what
    is in it is not replaced."""
    bundle.without("/dev")
    dev = os.path.join(bundle.base, "dev")
    os.makedirs(dev)
    if kind == "symlink":
        os.symlink("/proc/sys/kernel/core_pattern", os.path.join(dev, "null"))
    elif kind == "file":
        with open(os.path.join(dev, "null"), "w", encoding="utf-8") as out:
            out.write("not null")
    bundle.spec["mounts"].append({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]})
    bundle.spec["linux"]["maskedPaths"] = ["/proc/kcore", "/etc/passwd"]
    done = bundle.run("sh", "-c", "cat /etc/passwd; grep -c core_pattern /proc/self/mountinfo")
    if done.returncode <= 1 and done.stdout:
        assert done.stdout == "0\n", done.stdout
    else:
        assert "null" in done.stderr, done.stderr


@pytest.mark.parametrize("target", ["/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/etc/passwd"])
def test_cve_2025_52565_the_console_is_bound_where_it_belongs(bundle, target):
    """BindConsole in libs/container/rootfs.cc does not follow what the image has at /dev/console."""
    bundle.without("/dev")
    bundle.spec["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                                  "options": ["newinstance", "ptmxmode=0666"]})
    os.makedirs(bundle.path("dev/pts"))
    os.symlink(target, bundle.path("dev/console"))
    bundle.spec["process"]["terminal"] = True
    bundle.spec["process"]["args"] = ["sh", "-c", "cat /proc/self/mountinfo > /mounts"]
    bundle.write()
    subprocess.run(["script", "-qec", f"{bundle.program} --root {bundle.base}/state run {bundle.id}", "/dev/null"],
                   cwd=bundle.base, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                   timeout=60)
    if os.path.exists(bundle.path("mounts")):
        with open(bundle.path("mounts"), encoding="utf-8") as mounts:
            for line in mounts:
                assert not (line.split()[4] == target and "devpts" in line), line


def test_cve_2025_52881_settings_are_not_written_to_a_false_proc(bundle):
    """WriteSysctl in libs/container/rootfs.cc: a sysctl goes to procfs or nowhere. The image has a /proc of its own, and
    nothing is mounted over it."""
    bundle.without("/proc")
    os.makedirs(bundle.path("proc/sys/net/ipv4"))
    with open(bundle.path("proc/sys/net/ipv4/ip_unprivileged_port_start"), "w", encoding="utf-8") as out:
        out.write("0")
    bundle.spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "81"}
    done = bundle.run("true")
    assert done.returncode != 0, done.stdout
    assert "/proc is not procfs" in done.stderr, done.stderr


def test_an_exec_is_held_as_tightly_as_the_container(bundle):
    """Join in libs/container/launch.cc: the same filter, capabilities and cgroup."""
    bundle.spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}
    bundle.spec["linux"]["cgroupsPath"] = f"/{bundle.id}"
    bundle.start("sleep", "100")
    ask = "mkdir /x 2>&1; grep -E '^(Seccomp|Cap|NoNew)' /proc/self/status; cat /proc/self/cgroup"
    inside = bundle("exec", bundle.id, "sh", "-c", ask)
    assert "Not supported" in inside.stdout or "not supported" in inside.stdout, inside.stdout
    first = bundle("exec", bundle.id, "sh", "-c", "grep -E '^(Seccomp|Cap|NoNew)' /proc/1/status; cat /proc/1/cgroup")
    assert inside.stdout.splitlines()[1:] == first.stdout.splitlines()

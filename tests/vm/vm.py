"""Boots Debian's cloud kernel in QEMU, without KVM, with the control groups that are asked for, and runs a script in it.

The machine is an initramfs made for the occasion: busybox, the programs asked for with the libraries they need, the kernel
modules that Darse needs. It ends when the script ends; what the script prints is the answer.
"""

import glob
import os
import re
import shutil
import subprocess
import tempfile

CACHE = os.path.expanduser("~/.cache/darse-test-vm")
META_PACKAGE = "linux-image-cloud-amd64"
MODULES = ["overlay", "loop", "crc32c_generic", "ext4", "bfq", "bridge", "veth", "nf_tables", "nft_chain_nat", "nft_masq", "nft_nat", "nft_ct", "nft_reject_inet",
           "nf_nat", "br_netfilter", "nft_fib_inet", "nft_redir", "virtio_net"]

# The initramfs cannot be pivoted away from, as containers do with their root: all moves to a tmpfs first.
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /new
mount -t tmpfs -o size=90% tmpfs /new
for d in /*; do [ $d = /new ] || cp -a $d /new/; done
exec switch_root /new /second
"""

SECOND = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run /tmp /var/tmp /var/lib /root
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
@CGROUPS@
for m in $(cat /modules); do insmod $m 2>/dev/null; done
ip link set lo up
dmesg -n 1
cd /
exec @INIT@
"""

THIRD = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
cd /
echo VM-BEGIN
sh /script
echo "VM-END $?"
poweroff -f
"""

# With systemd as the first process, whose only unit is the script. It mounts the control groups.
SYSTEMD = "/usr/lib/systemd/systemd"
SYSTEMD_PROGRAMS = [SYSTEMD, "/usr/bin/systemctl", "/usr/bin/dbus-daemon"]
SYSTEMD_FILES = {
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/os-release": "ID=test\n",
    "etc/systemd/system/default.target": "[Unit]\nDefaultDependencies=no\nWants=script.service\n",
    "etc/systemd/system/script.service":
        "[Unit]\nDefaultDependencies=no\n"
        "[Service]\nExecStart=/third\nStandardOutput=tty\nStandardError=tty\nTTYPath=/dev/console\nTimeoutStartSec=infinity\n",
    "etc/systemd/system/dbus.service":
        "[Unit]\nDefaultDependencies=no\n"
        "[Service]\nType=notify\n"
        "ExecStart=/usr/bin/dbus-daemon --config-file=/etc/bus.conf --address=systemd: --nofork --nopidfile --systemd-activation\n",
    "etc/systemd/system/dbus.socket":
        "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n",
    "etc/bus.conf":
        "<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>"
        "<auth>EXTERNAL</auth><policy context='default'><allow own='*'/><allow user='*'/>" + "".join(
            f"<allow send_type='{kind}'/><allow receive_type='{kind}'/>"
            for kind in ("method_call", "method_return", "error", "signal")) + "</policy></busconfig>\n",
}

# By name: the kernel's arguments, and how control groups are mounted: what users have, what they had, and what systemd's
# hybrid mode makes; then the latter two as systemd itself makes them.
CGROUPS = {
    "v2": ("cgroup_no_v1=all", """
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for c in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$c > /sys/fs/cgroup/cgroup.subtree_control; done
"""),
    "v1": ("", """
mount -t tmpfs tmpfs /sys/fs/cgroup
for c in cpuset cpu cpuacct blkio memory devices freezer pids hugetlb net_cls net_prio perf_event; do
  mkdir /sys/fs/cgroup/$c && mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c
done
"""),
    "hybrid": ("", """
mount -t tmpfs tmpfs /sys/fs/cgroup
for c in cpuset cpu,cpuacct blkio memory devices freezer pids hugetlb net_cls,net_prio perf_event; do
  mkdir /sys/fs/cgroup/$c && mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c
done
ln -s cpu,cpuacct /sys/fs/cgroup/cpu; ln -s cpu,cpuacct /sys/fs/cgroup/cpuacct
ln -s net_cls,net_prio /sys/fs/cgroup/net_cls; ln -s net_cls,net_prio /sys/fs/cgroup/net_prio
mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
"""),
    "systemd": ("systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all", None),
    "systemd-hybrid": ("systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0", None),
}


def kernel():
    """(vmlinuz, modules directory), downloaded once as a package and unpacked, never installed."""
    ask = ["apt-cache", "depends", META_PACKAGE]
    depends = subprocess.run(ask, stdout=subprocess.PIPE, text=True, check=False).stdout
    if "Depends:" not in depends:
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
        depends = subprocess.run(ask, stdout=subprocess.PIPE, text=True, check=True).stdout
    package = next(line.split()[1] for line in depends.splitlines() if "Depends:" in line)
    unpacked = os.path.join(CACHE, package)
    if not os.path.isdir(unpacked):
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            subprocess.run(["apt-get", "download", "-q", package], cwd=directory, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            subprocess.run(["dpkg", "-x", *glob.glob(os.path.join(directory, "*.deb")), os.path.join(directory, "tree")],
                           check=True)
            os.rename(os.path.join(directory, "tree"), unpacked)
    return glob.glob(os.path.join(unpacked, "boot", "vmlinuz-*"))[0], glob.glob(os.path.join(unpacked, "lib/modules/*"))[0]


def module_files(directory, wanted):
    """The modules wanted and those they need, in the order to load them."""
    if not os.path.exists(os.path.join(directory, "modules.dep")):
        base = os.path.dirname(os.path.dirname(os.path.dirname(directory)))
        subprocess.run(["depmod", "-b", base, os.path.basename(directory)], check=True)
    depends = {}
    with open(os.path.join(directory, "modules.dep"), encoding="utf-8") as lines:
        for line in lines:
            path, _, needed = line.partition(":")
            depends[os.path.basename(path).partition(".ko")[0].replace("-", "_")] = (path, needed.split())
    ordered = []
    for name in wanted:
        if name not in depends:
            continue  # built in
        path, needed = depends[name]
        for module in [*reversed(needed), path]:
            if module not in ordered:
                ordered.append(module)
    return ordered


# What criu needs: modules that it asks for what sockets and connections there are, and tools to hold the network meanwhile.
CRIU_MODULES = ["unix_diag", "inet_diag", "tcp_diag", "udp_diag", "raw_diag", "af_packet_diag", "netlink_diag",
                "nf_conntrack_netlink", "nft_compat", "x_tables", "xt_mark"]
CRIU_PROGRAMS = {
    **{path: path for path in ("/usr/sbin/criu", "/usr/sbin/ip", "/usr/bin/tar", "/usr/bin/gzip")},
    **{f"/usr/sbin/{name}": "/usr/sbin/xtables-nft-multi"
       for name in ("iptables-restore", "ip6tables-restore", "iptables-save", "ip6tables-save")},
    **{path: path for name in ("mark", "standard") for path in glob.glob(f"/usr/lib/*/xtables/libxt_{name}.so")},
}


def _libraries(program):
    done = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    for line in done.stdout.splitlines():
        for word in line.split():
            if word.startswith("/"):
                yield word


def run(script, programs=(), files=(), timeout=180, memory="1536M", cgroups="v2", modules=(), arguments=""):
    """(exit code, output) of `script`, a text for sh. `programs`: {path: path here}, copied with the libraries they
    need; `files`: {path: path here}; `cgroups`: a key of CGROUPS; `modules`: beside MODULES; `arguments`: of the kernel."""
    argument, mounts = CGROUPS[cgroups]
    vmlinuz, tree = kernel()
    with tempfile.TemporaryDirectory(prefix="darse-vm-", dir="/var/tmp") as work:
        root = os.path.join(work, "root")
        for directory in ("bin", "sbin", "usr/bin", "usr/sbin", "etc", "proc", "sys", "dev", "run", "tmp", "var", "root", "lib",
                          "lib64", "modules.d"):
            os.makedirs(os.path.join(root, directory))
        busybox = shutil.which("busybox")
        shutil.copy(busybox, os.path.join(root, "bin/busybox"))
        applets = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        for applet in applets:
            if applet != "busybox":
                os.symlink("busybox", os.path.join(root, "bin", applet))
        programs = dict(programs)
        texts = {"init": INIT, "second": SECOND.replace("@CGROUPS@", mounts or "").replace("@INIT@", SYSTEMD if mounts is None else "/third"),
                 "third": THIRD, "script": script, "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n",
                 "etc/resolv.conf": "", "etc/hosts": "127.0.0.1 localhost\n"}
        if mounts is None:
            programs |= {path: path for path in SYSTEMD_PROGRAMS}
            texts |= SYSTEMD_FILES
        for name, path in programs.items():
            os.makedirs(os.path.dirname(root + name), exist_ok=True)
            shutil.copy(path, root + name)
            for library in _libraries(path):
                target = root + library
                os.makedirs(os.path.dirname(target), exist_ok=True)
                if not os.path.exists(target):
                    shutil.copy(library, target)
        for target, path in dict(files).items():
            os.makedirs(os.path.dirname(root + target), exist_ok=True)
            shutil.copy(path, root + target)
        names = []
        for number, module in enumerate(module_files(tree, [*MODULES, *modules])):
            name = f"/modules.d/{number:02d}-{os.path.basename(module)}"
            shutil.copy(os.path.join(tree, module), root + name)
            names.append(name)
        texts["modules"] = "\n".join(names) + "\n"
        for path, text in texts.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as out:
                out.write(text)
        for path in ("init", "second", "third"):
            os.chmod(os.path.join(root, path), 0o755)
        initrd = os.path.join(work, "initrd")
        with open(initrd, "wb") as out:
            listing = subprocess.run(["find", "."], cwd=root, stdout=subprocess.PIPE, check=True).stdout
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=listing, stdout=out, check=True)
        done = subprocess.run(
            ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", memory, "-nographic",
             "-no-reboot", "-nodefaults", "-serial", "stdio", "-kernel", vmlinuz, "-initrd", initrd, "-append",
             f"console=ttyS0 quiet panic=-1 psi=1 mitigations=off {argument} {arguments}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
    text = done.stdout.decode(errors="replace").replace("\r", "")
    if "VM-BEGIN\n" not in text or "VM-END " not in text:
        return -1, text
    output, _, end = text.partition("VM-BEGIN\n")[2].rpartition("VM-END ")
    return int(end.split()[0]), output


def run_sections(script, *arguments, **keywords):
    """As run(), of a script that prints "=== NAME" and "=== exit CODE" around what it does: {name: (exit code, output)}."""
    code, output = run(script, *arguments, **keywords)
    found = {name: (int(ended), text)
             for name, text, ended in re.findall(r"^=== ([\w.]+)\n(.*?)^=== exit (\d+)$", output, re.M | re.S)}
    assert code == 0 and found, output[-5000:]
    return found

"""tools/dev: private instances side by side, and nothing left of them."""

import os
import re
import signal
import subprocess

from darse_testing import TOP, eventually

DEV = os.path.join(TOP, "tools", "dev")


def traces(environment_dump):
    """What is left on the machine of the instance whose environment this is."""
    env = dict(line.split("=", 1) for line in environment_dump.splitlines() if line.startswith("DARSE_"))
    found = []
    links = subprocess.run(["ip", "-o", "link"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found += re.findall(rf"\b{env['DARSE_NETWORK_BRIDGE_PREFIX']}\w*", links)
    tables = subprocess.run(["nft", "list", "tables"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found += [line for line in tables.splitlines() if line.endswith(" " + env["DARSE_NETWORK_NFT_TABLE"])]
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        found += [line for line in mounts if env["DARSE_RUN"] in line or env["DARSE_ROOT"] in line]
    for path, directories, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(path, name) for name in directories if name == env["DARSE_CGROUP_PARENT"]]
        if path.count("/") > 4:
            directories.clear()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/environ", "rb") as environ:
                    if f"DARSE_RUN={env['DARSE_RUN']}\0".encode() in environ.read():
                        found.append(f"process {entry}")
            except OSError:
                pass
    return found


SCRIPT = ('env | grep ^DARSE_; busybox --help >/dev/null; d=$(mktemp -d); mkdir $d/bin; cp $(command -v busybox) $d/bin/busybox;'
          'ln -s busybox $d/bin/sleep; tar -C $d -cf $d.tar .; darse image import $d.tar b:1 >&2; '
          'darse run -d --restart always -p 80 b:1 sleep 600 >&2; rm -r $d $d.tar; ')


def test_the_command_runs_in_an_instance_that_is_gone_afterwards():
    done = subprocess.run([DEV, "--", "sh", "-c", SCRIPT + "darse ps -q >&2; exit 6"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert done.returncode == 6, done.stderr
    assert traces(done.stdout) == []


def test_interrupted_it_still_leaves_nothing():
    process = subprocess.Popen([DEV, "--", "sh", "-c", SCRIPT + "echo ready; sleep 600"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        if line == "ready\n":
            break
        lines.append(line)
    assert lines, process.stderr.read()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    eventually(lambda: traces("".join(lines)) == [], message=lambda: str(traces("".join(lines))))


def test_two_instances_run_side_by_side():
    both = [subprocess.Popen([DEV, "--", "sh", "-c", SCRIPT + "sleep 2; darse ps -q | wc -l >&2"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True) for _ in range(2)]
    dumps = []
    for process in both:
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        assert error.strip().splitlines()[-1] == "1"
        dumps.append(out)
    assert dumps[0] != dumps[1]
    assert [traces(dump) for dump in dumps] == [[], []]

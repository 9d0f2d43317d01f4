"""darse-oci checkpoint and restore, with Debian's criu on Debian's kernel, on cgroup v2 and hybrid.

As in test_cgroups.py, one boot runs everything, in sections.
"""

import json
import os
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import vm  # noqa: E402
from darse_testing import BIN, busybox_rootfs  # noqa: E402
from instance.build import build  # noqa: E402

COUNT = "i=0; while :; do i=$((i+1)); echo $i; echo $i > /dev/shm/count; sleep 0.1; done"

SCRIPT = """
section() { name=$1; echo "=== $name"; sh -c ". /lib.sh; $2" < /dev/null 2>&1; end=$?
  darse-oci delete -f one two 2> /dev/null; echo "=== exit $end"; }
cat > /lib.sh <<'LIB'
# Once more if it is just being written.
count() { for try in 1 2 3; do c=$(darse-oci exec $1 cat /dev/shm/count) && [ -n "$c" ] && echo $c && return 0; done; return 1; }
# seen ID FILE: all that holds the container's process; what its mounts show but for their numbers
seen() {
  darse-oci exec $1 sh -c 'grep "^Cap\\|^Sec\\|^NoNew\\|^Groups\\|^.id" /proc/1/status
    sed "s/^[0-9]* [0-9]* [0-9:]* //" /proc/1/mountinfo | sort; hostname; cat /proc/1/cgroup; cat /proc/1/oom_score_adj' | sed "s/darse.$1/darse.ID/" > $2
}
eventually() { for i in $(seq 100); do "$@" > /dev/null 2>&1 && return 0; sleep 0.1; done; return 1; }
above() { [ $(count $2) -gt $1 ]; }
goes_on() { now=$(count $2); [ $now -ge $1 ] && eventually above $now $2; }
LIB
for b in /plain /kept /hooked /joined /old; do mkdir -p $b/rootfs; tar -xf /busybox.tar -C $b/rootfs; done
mkdir /data; echo hi > /data/file; /usr/sbin/ip netns add outside; /usr/sbin/ip -n outside link set lo up

section whole 'cd /plain; (darse-oci run -d one 2>&1 | cat > /first) & eventually count one; seen one /before; n=$(count one)
  darse-oci checkpoint --image-path /img one; echo "checkpoint $?"; darse-oci list -q; ls /run/darse-oci
  rm -rf rootfs/*; tar -xf /busybox.tar -C rootfs
  (darse-oci restore -d --pid-file /pid --image-path /img two 2>&1 | cat > /second) &
  eventually count two; goes_on $n two && echo "goes on"
  seen two /after; diff /before /after && echo same; darse-oci state two | grep status
  [ -d /proc/$(cat /pid) ] && [ $(head -n 1 /second) -gt $(tail -n 1 /first) ] && echo "output goes on"
  darse-oci exec two cat /data/file; darse-oci exec two touch /data/x /x; darse-oci pause two; darse-oci resume two
  cat $(find /sys/fs/cgroup -path "*darse/two/pids.max")
  darse-oci delete -f two; ls /run/darse-oci /data'
section kept 'cd /kept; darse-oci run -d one > /dev/null 2>&1; eventually count one; n=$(count one)
  darse-oci checkpoint --leave-running --image-path /img2 one || exit; goes_on $n one && echo "goes on"
  darse-oci checkpoint --pre-dump --image-path /img3 one || exit; goes_on $n one && echo "goes on"
  n=$(count one); darse-oci checkpoint --parent-path ../img3 --image-path /img4 one || exit
  darse-oci restore -d --image-path /img4 one > /dev/null 2>&1 || exit; goes_on $n one && echo "goes on"; darse-oci delete -f one'
section attached 'cd /kept; darse-oci run -d one > /dev/null 2>&1; eventually count one; darse-oci checkpoint --image-path /img5 one || exit
  darse-oci restore --image-path /img5 one > /dev/null 2>&1 & p=$!; eventually count one
  darse-oci kill one KILL; wait $p; echo "code $?"; darse-oci list -q'
section hooked 'cd /hooked; darse-oci run -d one > /dev/null 2>&1; eventually count one; rm /hook; darse-oci checkpoint --image-path /img6 one || exit
  darse-oci restore -d --image-path /img6 two > /dev/null 2>&1; cat /hook; echo; darse-oci delete -f two'
section joined 'cd /joined; darse-oci run -d one > /dev/null 2>&1; eventually count one; darse-oci checkpoint --image-path /img7 one || exit
  darse-oci restore -d --image-path /img7 two > /dev/null 2>&1; p=$(darse-oci ps -f json two | tr -d []); p=${p%%,*}
  /usr/sbin/ip netns identify $p; darse-oci delete -f two'
section old_criu 'cd /old; darse-oci run -d one > /dev/null 2>&1; darse-oci checkpoint --image-path /img8 one; darse-oci list -q; darse-oci delete -f one'
section bad 'cd /kept; darse-oci restore --image-path /nothing one; darse-oci checkpoint one; mkdir /empty; darse-oci restore --image-path /empty one
  echo "{}" > /empty/darse.json; darse-oci restore --image-path /empty one; cp /img4/darse.json /empty; darse-oci restore --image-path /empty one
  ls /run/darse-oci; find /sys/fs/cgroup -path "*darse/*" -type d; grep -c /kept /proc/self/mountinfo'
"""


def bundles(directory):
    """{path in the machine: path here} of the configurations."""
    subprocess.run([os.path.join(BIN, "darse-oci"), "spec"], cwd=directory, check=True)
    with open(os.path.join(directory, "config.json"), encoding="utf-8") as file:
        text = file.read()
    files = {}

    def add(name, change):
        spec = json.loads(text)
        spec["process"] |= {"terminal": False, "noNewPrivileges": False, "args": ["sh", "-c", COUNT]}
        change(spec)
        files[f"/{name}/config.json"] = os.path.join(directory, name)
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            json.dump(spec, file)

    def plain(spec):
        spec["mounts"].append({"destination": "/data", "type": "bind", "source": "/data", "options": ["rbind", "ro"]})
        spec["linux"]["resources"]["pids"] = {"limit": 20}
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                                    "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}
        spec["process"]["oomScoreAdj"] = 300
        spec["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [7]}

    def hooked(spec):
        spec["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "cat > /hook"]}]}

    def joined(spec):
        network = next(entry for entry in spec["linux"]["namespaces"] if entry["type"] == "network")
        network["path"] = "/run/netns/outside"

    add("plain", plain)
    add("kept", lambda spec: None)
    add("hooked", hooked)
    add("joined", joined)
    add("old", lambda spec: spec["process"].update({"noNewPrivileges": True}))
    return files


@pytest.fixture(scope="module", params=["v2", "hybrid"])
def sections(request):
    """{section: (exit code, lines)}."""
    build()
    programs = {"/usr/bin/darse-oci": os.path.join(BIN, "darse-oci"), **vm.CRIU_PROGRAMS}
    with tempfile.NamedTemporaryFile(suffix=".tar") as tar, tempfile.TemporaryDirectory() as directory:
        busybox_rootfs(tar.name)
        found = vm.run_sections(SCRIPT, programs, bundles(directory) | {"/busybox.tar": tar.name}, timeout=300,
                              cgroups=request.param, modules=vm.CRIU_MODULES)
    return {name: (code, text.splitlines()) for name, (code, text) in found.items()}


def test_a_container_goes_on_elsewhere_held_as_before(sections):
    _, lines = sections["whole"]
    assert lines[:2] == ["checkpoint 0", ":seccomp"], lines  # gone from the list and the state directory
    # Its capabilities, filter, mounts, cgroups, as seen from inside; the diff is empty.
    assert lines[2:4] == ["goes on", "same"], lines
    assert "output goes on" in lines and '"status": "running",' in lines[4], lines


def test_its_mounts_and_limits_are_back(sections):
    _, lines = sections["whole"]
    assert lines[lines.index("hi") + 1:lines.index("hi") + 4] == [
        "touch: /data/x: Read-only file system", "touch: /x: Read-only file system", "20"], lines
    assert lines[-5:] == ["/data:", "file", "", "/run/darse-oci:", ":seccomp"], lines


def test_it_may_be_kept_running_and_dumped_in_steps(sections):
    assert sections["kept"] == (0, ["goes on"] * 3)


def test_restore_stays_with_it_and_hands_on_its_code(sections):
    assert sections["attached"] == (0, ["code 137"])


def test_hooks_run_at_a_restore(sections):
    code, lines = sections["hooked"]
    state = json.loads(lines[0])
    assert code == 0 and state["id"] == "two" and state["pid"] > 0 and state["status"] == "creating", lines


def test_a_joined_network_is_joined_again(sections):
    assert sections["joined"] == (0, ["outside"])


def test_what_criu_would_lose_is_not_checkpointed(sections):
    _, lines = sections["old_criu"]
    assert "process.noNewPrivileges: this host's criu (3.17) does not bring it back" in lines[0] and lines[1] == "one", lines


def test_a_restore_that_fails_leaves_nothing(sections):
    _, lines = sections["bad"]
    assert [line.partition(": ")[2][:33] for line in lines[:5]] == [
        "restore: /nothing: No such file o", "checkpoint: container one: does n", "restore: open /empty/darse.json: ",
        "restore: darse.json: not what a c", "restore: criu restore: Unexpected"], lines
    assert lines[5:] == [":seccomp", "0"], lines

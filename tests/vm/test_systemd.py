"""darse-oci --systemd-cgroup with systemd as the machine's first process, on cgroup v2 and in its hybrid mode.

As in test_cgroups.py, one boot runs everything, in sections. First there is no bus, then there is.
"""

import os
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import vm  # noqa: E402
from darse_testing import BIN, busybox_rootfs  # noqa: E402
from instance.build import bazel, build  # noqa: E402

SCRIPT = """
section() { name=$1; echo "=== $name"; sh -c "$2" < /dev/null 2>&1; echo "=== exit $?"; }
cat > /lib.sh <<'LIB'
oci() { darse-oci --systemd-cgroup "$@"; }
unit() { systemctl show -p "$2" --value "$1"; }
# bundle LIMITS COMMAND...: in /bundle
bundle() {
  limits=$1; shift; words=; for word; do words="$words,\\"$word\\""; done
  rm -rf /bundle; mkdir -p /bundle; ln -s /rootfs /bundle/rootfs; cd /bundle; darse-oci spec
  sed -i "s/\\"terminal\\": true/\\"terminal\\": false/; s%\\"sh\\"%${words#,}%
    s#\\"linux\\": {#\\"linux\\": {\\"cgroupsPath\\": \\"system.slice:darse:one\\", #
    s#\\"resources\\": {#\\"resources\\": {$limits#" config.json
}
scope=/sys/fs/cgroup/system.slice/darse-one.scope
[ -d /sys/fs/cgroup/memory ] && scope=/sys/fs/cgroup/memory/system.slice/darse-one.scope
LIB
mkdir -p /rootfs; tar -xf /busybox.tar -C /rootfs
sections() {
section $1_contract '/tests/cgroup_contract_test --gtest_filter="*/Systemd" | grep -c "       OK "'
section $1_run '. /lib.sh; bundle "" cat /proc/self/cgroup; oci run one; systemctl is-active darse-one.scope'
section $1_life '. /lib.sh
  bundle "\\"memory\\": {\\"limit\\": 67108864}, \\"pids\\": {\\"limit\\": 20}, \\"cpu\\": {\\"quota\\": 50000, \\"period\\": 100000}," \\
    sh -c "exec sleep 1000"
  oci create one < /dev/null > /tmp/log 2>&1 || { cat /tmp/log; exit 1; }
  systemctl is-active darse-one.scope; oci start one || exit 1
  echo "MemoryMax $(unit darse-one.scope MemoryMax) MemoryLimit $(unit darse-one.scope MemoryLimit)"
  echo "TasksMax $(unit darse-one.scope TasksMax) Slice $(unit darse-one.scope Slice) Delegate $(unit darse-one.scope Delegate)"
  echo "CPU $(unit darse-one.scope CPUQuotaPerSecUSec)"
  oci exec one cat /proc/self/cgroup
  echo "processes $(cat $scope/cgroup.procs | wc -l)"
  oci update --memory 33554432 --pids-limit 30 one || exit 1
  systemctl daemon-reload; systemctl set-property --runtime darse-one.scope CPUWeight=50 2>/dev/null
  echo "MemoryMax $(unit darse-one.scope MemoryMax) TasksMax $(unit darse-one.scope TasksMax)"
  cat $scope/memory.max $scope/memory.limit_in_bytes 2>/dev/null
  oci exec one sh -c "mknod /dev/mem2 c 1 1; cat /dev/mem2; head -c 1 /dev/zero | wc -c"
  oci pause one && darse-oci state one | grep status; oci resume one && darse-oci state one | grep status
  darse-oci ps one
  oci kill one KILL; for i in $(seq 100); do darse-oci state one | grep -q stopped && break; sleep 0.1; done
  oci delete one || exit 1; systemctl is-active darse-one.scope; ls -d $scope'
section $1_forced '. /lib.sh; bundle "" sh -c "sleep 1000 | sleep 1000"; oci run -d one < /dev/null > /dev/null 2>&1
  systemctl is-active darse-one.scope; darse-oci delete -f one && systemctl is-active darse-one.scope'
section $1_stopped_by_systemd '. /lib.sh; bundle "" sh -c "trap exit TERM; while :; do sleep 0.1; done"; oci run -d one < /dev/null > /dev/null 2>&1
  systemctl stop darse-one.scope; darse-oci state one | grep status
  oci kill --all one KILL && oci kill --all one TERM && oci delete one'
section $1_bad_path '. /lib.sh; bundle "" true; sed -i s/system.slice:darse:one/..foo/ config.json; oci run one'
section $1_refused '. /lib.sh; bundle "\\"memory\\": {\\"limit\\": -5000000000}, \\"pids\\": {\\"limit\\": 0}," true
  sed -i "s/system.slice:darse:one/system.slice:darse:o?ne/" config.json; oci run one; ls /run/darse-oci 2>/dev/null'
}
sections alone
systemctl start dbus.socket dbus.service; systemctl is-active dbus.service
sections bus
section left 'find /sys/fs/cgroup -name "*darse*"; systemctl list-units --all "*darse*" --no-legend --no-pager | cat; ps | grep darse-oc[i]'
"""


@pytest.fixture(scope="module", params=["systemd", "systemd-hybrid"])
def machine(request):
    """(mode, {section: (exit code, output)})."""
    build()
    bazel("build", "--noshow_progress", "--ui_event_filters=-info", "//libs/linux/cgroup:cgroup_contract_test")
    bazel_bin = bazel("info", "bazel-bin", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    programs = {"/tests/cgroup_contract_test": os.path.join(bazel_bin, "libs/linux/cgroup/cgroup_contract_test"),
                "/usr/bin/darse-oci": os.path.join(BIN, "darse-oci")}
    with tempfile.NamedTemporaryFile(suffix=".tar") as tar:
        busybox_rootfs(tar.name)
        sections = vm.run_sections(SCRIPT, programs, {"/busybox.tar": tar.name}, timeout=400, cgroups=request.param)
    return request.param, sections


@pytest.fixture(params=["alone", "bus"])
def section(machine, request):
    """A function of a section's name: (exit code, lines)."""
    def find(name):
        assert f"{request.param}_{name}" in machine[1], sorted(machine[1])
        code, text = machine[1][f"{request.param}_{name}"]
        return code, text.splitlines()
    return find


def test_the_contract_holds_through_systemd(section):
    assert section("contract") == (0, ["7"])  # none skipped


def test_a_container_is_a_scope_and_goes_with_it(machine, section):
    _, lines = section("run")
    # As the process sees itself: the scope is the root of every hierarchy, systemd's own too.
    assert lines[-2] == "0::/" and lines[-1] == "inactive", lines
    if machine[0] == "systemd-hybrid":
        assert "1:name=systemd:/" in lines and all(line.endswith(":/") for line in lines[:-1]), lines


def test_systemd_knows_the_limits(machine, section):
    code, lines = section("life")
    memory = "MemoryMax 67108864" if machine[0] == "systemd" else "MemoryLimit 67108864"
    assert lines[0] == "active" and memory in lines[1], lines
    assert lines[2:4] == ["TasksMax 20 Slice system.slice Delegate yes", "CPU 500ms"], lines


def test_exec_is_in_the_scope(section):
    _, lines = section("life")
    assert "0::/" in lines and "processes 1" in lines, lines


def test_an_update_and_the_devices_survive_a_reload(section):
    _, lines = section("life")
    reloaded = lines.index("processes 1") + 1
    assert lines[reloaded].endswith("TasksMax 30") and lines[reloaded + 1] == "33554432", lines
    assert "mknod: /dev/mem2: Operation not permitted" in lines and "1" in lines, lines


def test_it_is_paused_listed_killed_and_deleted(section):
    _, lines = section("life")
    assert [line.strip() for line in lines if "status" in line] == ['"status": "paused",', '"status": "running",'], lines
    assert any(line.endswith("sleep 1000 ") for line in lines), lines
    assert lines[-2] == "inactive" and lines[-1].endswith("No such file or directory"), lines


def test_a_forced_delete_takes_the_scope_along(section):
    assert section("forced") == (3, ["active", "inactive"])


def test_systemd_may_stop_it(section):
    code, lines = section("stopped_by_systemd")
    assert code == 0 and lines[-1].strip() == '"status": "stopped",', lines


def test_what_is_no_scope_is_refused(section):
    code, lines = section("bad_path")
    assert code == 1 and '"slice:prefix:name"' in lines[0], lines
    _, lines = section("refused")
    assert lines == ["darse-oci: run: systemd: start darse-o?ne.scope: Invalid unit name or type."], lines


def test_nothing_is_left(machine):
    assert machine[1]["left"][1] == "", machine[1]["left"]

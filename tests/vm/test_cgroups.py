"""Control groups as others have them: v2 with all controllers, and systemd's hybrid, each in a virtual machine.

One boot runs everything, in sections; each test looks at one of them.
"""

import os
import re
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import resources  # noqa: E402
import vm  # noqa: E402
from darse_testing import BIN, TOP, busybox_rootfs  # noqa: E402
from instance.build import bazel, build  # noqa: E402

TESTS = {"cgroup_contract_test": "libs/linux/cgroup", "overlay_test": "libs/linux/mount", "shim_test": "services/shim"}

# A container's standard output and error are two streams, without an order between them: what looks at the order joins
# them inside.
SECTIONS = """
section() { name=$1; shift; echo "=== $name"; "$@" 2>&1; echo "=== exit $?"; }
sh_section() { name=$1; echo "=== $name"; sh -c "$2" 2>&1; echo "=== exit $?"; }
ends() { for i in $(seq 300); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; return 1; }
"""

KERNEL = """
cd /tests
# The root is a tmpfs, which has no id-mapped mounts in this kernel.
truncate -s 134217728 /disk && losetup /dev/loop0 /disk && mke2fs /dev/loop0 > /dev/null && mkdir -p /var/tmp &&
  mount -t ext4 /dev/loop0 /var/tmp
echo bfq > /sys/block/loop0/queue/scheduler
section contract ./cgroup_contract_test --gtest_brief=1
section overlay ./overlay_test --gtest_brief=1
section id_maps sh -c './overlay_test --gtest_filter=*ShowsOtherIds* | grep -c "       OK "'
section shim ./shim_test --gtest_brief=1
cd /
"""

ON_DISK = "mkdir -p /var/tmp/lib /var/lib/darse && mount --bind /var/tmp/lib /var/lib/darse\n"

DARSE = """
for s in runtime builder scheduler metrics; do darse-$s > /tmp/$s.log 2>&1 & done
ends darse images
section status darse status
section import darse import /busybox.tar busybox:1
sh_section limits 'darse run --rm -m 64m --memory-swap 64m --cpus 0.5 --pids-limit 20 busybox:1 sh -c "
  exec 2>&1; cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory.max cpu.max pids.max; echo x > memory.max"'
sh_section oom 'darse run --name oom -m 16m busybox:1 tail /dev/zero; echo "code $?"; darse inspect oom | grep OOMKilled'
sh_section devices 'darse run --rm --userns=host busybox:1 sh -c "
  exec 2>&1; mknod /tmp/mem c 1 1; mknod /tmp/zero c 1 5; head -c 1 /tmp/zero | wc -c; head -c 1 /tmp/mem || echo refused"'
darse run -d --name web -p 8080:80 busybox:1 httpd -f -p 80 -h /etc > /dev/null
sh_section port 'for i in $(seq 50); do wget -qO- http://127.0.0.1:8080/passwd && exit 0; sleep 0.1; done; exit 1'
section exec darse exec web sh -c 'cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs'
sh_section users 'darse run --rm --userns=private -v files:/files busybox:1 sh -c "
  cat /proc/self/uid_map; touch /bin/new /files/new; stat -c %u:%g /bin/new /files/new /etc/hosts"
  stat -c %u:%g /var/lib/darse/runtime/volumes/files/_data/new
  darse inspect web | grep -A 2 UserNamespace; darse info'
section stats darse stats --no-stream web
sh_section update 'darse update -m 32m --memory-swap 32m web && darse exec web cat /sys/fs/cgroup/memory.max'
sh_section pause 'darse pause web && darse ps | grep Paused && darse unpause web && darse exec web true'
sh_section metrics 'wget -qO- http://127.0.0.1:9323/metrics | grep -i pressure | head -3'
mkdir -p /stack; cat > /stack/compose.yaml <<'YAML'
services:
  one:
    image: busybox:1
    command: sleep 1000
    mem_limit: 20m
  two:
    image: busybox:1
    command: sh -c 'ping -c 1 one && sleep 1000'
    depends_on: [one]
YAML
sh_section stack 'cd /stack && darse up -d && darse ps && darse logs two && darse down'
section oci sh -c 'mkdir -p /bundle/rootfs && tar -xf /busybox.tar -C /bundle/rootfs && cd /bundle && darse-oci spec &&
  sed -i "s/\\"terminal\\": true/\\"terminal\\": false/; s/\\"sh\\"/\\"cat\\", \\"\\/proc\\/self\\/cgroup\\"/" config.json &&
  darse-oci run one'
@RESOURCES@
sh_section kill_runtime 'kill -9 $(cut -d" " -f1 /run/darse/runtime.pid); sleep 0.3
  wget -qO- http://127.0.0.1:8080/passwd > /dev/null && darse-runtime > /tmp/runtime2.log 2>&1 &
  for i in $(seq 100); do darse exec web true && exit 0; sleep 0.1; done; exit 1'
sh_section left 'darse rm -f web oom; darse ps -aq; for i in $(seq 50); do
  [ $(find /sys/fs/cgroup -path "*/darse/*" -type d -mindepth 2 | wc -l) -le @PARKED@ ] && exit 0; sleep 0.1; done
  find /sys/fs/cgroup -path "*/darse/*" -type d; exit 1'
section kernel_log sh -c 'dmesg | grep -i overlay'
section logs grep -h level=error /tmp/runtime.log /tmp/builder.log /tmp/scheduler.log /tmp/metrics.log
"""


@pytest.fixture(scope="module", params=["v2", "hybrid"])
def machine(request):
    """(mode, {section: (exit code, output)})."""
    build()
    targets = {name: f"//{package}:{name}" for name, package in TESTS.items()}
    bazel("build", "--noshow_progress", "--ui_event_filters=-info", *targets.values())
    bazel_bin = bazel("info", "bazel-bin", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    programs = {f"/tests/{name}": os.path.join(bazel_bin, package, name) for name, package in TESTS.items()}
    programs["/tests/services/shim/darse-shim"] = os.path.join(BIN, "darse-shim")
    for name in os.listdir(BIN):
        programs[f"/usr/bin/{name}"] = os.path.join(BIN, name)
    # v1: a parked shim has a cgroup below every controller.
    parked = 4 * (1 if request.param == "v2" else 12)
    with tempfile.NamedTemporaryFile(suffix=".tar") as tar, tempfile.TemporaryDirectory() as directory:
        busybox_rootfs(tar.name)
        # One of them with data where nothing can be id-mapped.
        place = ON_DISK if request.param == "v2" else ""
        darse = DARSE.replace("@PARKED@", str(parked)).replace("@RESOURCES@", resources.script(request.param))
        bundles = resources.bundles(directory, os.path.join(BIN, "darse-oci"), request.param)
        sections = vm.run_sections(SECTIONS + KERNEL + place + darse, programs, bundles | {"/busybox.tar": tar.name}, timeout=400,
                              cgroups=request.param)
    return request.param, sections


def passed(machine, name):
    assert name in machine[1], f"{name} did not run: {sorted(machine[1])}"
    code, text = machine[1][name]
    assert code == 0, text[-6000:]
    return text


@pytest.mark.parametrize("program", ["contract", "overlay", "shim"])
def test_the_kernel_tests_pass(machine, program):
    text = passed(machine, program)
    assert "PASSED" in text and "FAILED" not in text, text[-6000:]


def test_layers_show_other_ids_on_this_kernel_too(machine):
    assert passed(machine, "id_maps").strip() == "2"  # both ways, neither skipped


def test_a_container_has_a_user_namespace_on_this_kernel_too(machine):
    text = passed(machine, "users")
    if machine[0] == "v2":
        assert re.match(r"\s*0 +1[0-9]{9} +65536\n(0:0\n){4}", text) and '"FirstId": 1' in text, text
        assert "user namespaces" not in text, text
    else:
        assert "cannot have a user namespace of its own: this host has none" in text, text
        assert '"Host": "this host has none' in text and "root of a container is root of the host" in text, text


def test_a_container_sees_its_own_limits(machine):
    code, text = machine[1]["limits"]
    if machine[0] == "v2":
        lines = text.splitlines()
        assert lines[:4] == ["0::/", "67108864", "50000 100000", "20"], text
        assert "Read-only file system" in text or "ermission denied" in text, text
    assert code == 1, text


def test_an_oom_kill_is_reported(machine):
    text = passed(machine, "oom")
    assert "code 137" in text and '"OOMKilled": true' in text, text


def test_devices_are_filtered(machine):
    lines = passed(machine, "devices").splitlines()
    assert lines[0] == "1" and lines[-1] == "refused", lines


def test_a_port_is_published(machine):
    assert "root:x:0:0" in passed(machine, "port")


def test_an_exec_is_in_the_containers_cgroup(machine):
    code, text = machine[1]["exec"]
    if machine[0] == "v2":
        assert code == 0 and text.splitlines()[0] == "0::/", text
    else:
        # As the process sees itself: the container's cgroup is the root of each hierarchy.
        assert re.search(r"^\d+:memory:/$", text, re.M), text


def test_stats_have_figures(machine):
    text = passed(machine, "stats")
    assert re.search(r"web +\d+\.\d+% +[1-9]", text), text


def test_limits_can_be_changed_while_it_runs(machine):
    code, text = machine[1]["update"]
    if machine[0] == "v2":
        assert code == 0 and "33554432" in text, text


def test_it_can_be_paused(machine):
    passed(machine, "pause")


def test_pressure_is_measured(machine):
    if machine[0] == "v2":
        assert "pressure" in passed(machine, "metrics")


def test_a_stack_comes_up_and_goes(machine):
    assert "1 packets received" in passed(machine, "stack")


def test_darse_oci_runs_a_bundle(machine):
    text = passed(machine, "oci")
    if machine[0] == "v2":
        assert text.strip().endswith("0::/"), text


@pytest.mark.parametrize("name", sorted({case[0] for cases in resources.CASES.values() for case in cases}))
def test_each_field_of_linux_resources(machine, name):
    for case, _, where, content in resources.CASES[machine[0]]:
        if case != name:
            continue
        code, text = machine[1][f"resource_{name}"]
        if where is None:
            assert code == 1 and content in text, text
        else:
            assert code == 0 and content in text.splitlines(), text


def test_it_goes_on_when_the_runtime_is_killed(machine):
    passed(machine, "kill_runtime")


def test_nothing_is_left(machine):
    passed(machine, "left")


def test_the_kernel_did_not_complain(machine):
    code, text = machine[1]["kernel_log"]
    assert code != 0, text


def test_no_service_complained(machine):
    code, text = machine[1]["logs"]
    assert code != 0, text

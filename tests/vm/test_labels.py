"""Containers under SELinux and AppArmor: Debian's kernel has both, and takes one at a boot.

The policies are made for the test: who may become what, so that a label that does nothing would be seen.
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

# What is not told here the kernel allows; becoming another type is told.
SELINUX_POLICY = """
(handleunknown allow)
(mls false)
(policycap nnp_nosuid_transition)
(class process (transition dyntransition))
(classorder (process))
(sid kernel)
(sid security)
(sid unlabeled)
(sidorder (kernel security unlabeled))
(user u)
(role r)
(role object_r)
(type kernel_t)
(type container_t)
(type forbidden_t)
(type files_t)
(sensitivity s0)
(sensitivityorder (s0))
(level low (s0))
(userlevel u low)
(userrange u (low low))
(userrole u r)
(userrole u object_r)
(roletype r kernel_t)
(roletype r container_t)
(roletype r forbidden_t)
(roletype object_r files_t)
(allow kernel_t container_t (process (transition)))
(sidcontext kernel (u r kernel_t (low low)))
(sidcontext security (u r kernel_t (low low)))
(sidcontext unlabeled (u object_r files_t (low low)))
"""

APPARMOR_POLICY = """
profile darse-test flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  signal,
  deny /etc/secret rw,
}
"""

SCRIPT = """
section() { echo "=== $1"; (cd $2; darse-oci run -d one > /out 2>&1 < /dev/null; echo "run $?"; cat /out
  darse-oci exec one sh -c "$3" 2>&1) ; echo "=== exit $?"; darse-oci delete -f one 2> /dev/null; }
for b in /labelled /forbidden /unknown; do mkdir -p $b/rootfs; tar -xf /busybox.tar -C $b/rootfs; echo x > $b/rootfs/etc/secret; done
"""
SELINUX = SCRIPT + """
mount -t selinuxfs selinuxfs /sys/fs/selinux && dd if=/policy of=/sys/fs/selinux/load bs=4M 2> /dev/null && echo 1 > /sys/fs/selinux/enforce || exit
section labelled /labelled 'tr "\\0" "\\n" < /proc/1/attr/current; tr "\\0" "\\n" < /proc/self/attr/current; grep -c "context=u:object_r:files_t" /proc/mounts'
section forbidden /forbidden true
section unknown /unknown true
"""
APPARMOR = SCRIPT + """
mount -t securityfs securityfs /sys/kernel/security && apparmor_parser -K -r /policy || exit
section labelled /labelled 'cat /proc/1/attr/current /proc/self/attr/current; cat /etc/passwd > /dev/null && cat /etc/secret'
section unknown /unknown true
"""


def bundles(directory, labels, mount_label=""):
    """Files of a bundle for each of {name: what its process is given}."""
    files = {}
    for name, label in labels.items():
        place = os.path.join(directory, name)
        os.mkdir(place)
        subprocess.run([os.path.join(BIN, "darse-oci"), "spec", "-b", place], check=True)
        path = os.path.join(place, "config.json")
        with open(path, encoding="utf-8") as config:
            spec = json.load(config)
        spec["process"] |= {"args": ["sleep", "1000"], "terminal": False, **label}
        spec["linux"]["mountLabel"] = mount_label
        with open(path, "w", encoding="utf-8") as config:
            json.dump(spec, config)
        files[f"/{name}/config.json"] = path
    return files


def sections(script, policy, labels, arguments, programs=(), mount_label=""):
    """{section: (exit code, lines)}."""
    build()
    with tempfile.NamedTemporaryFile(suffix=".tar") as tar, tempfile.TemporaryDirectory() as directory:
        busybox_rootfs(tar.name)
        found = vm.run_sections(script, {"/usr/bin/darse-oci": os.path.join(BIN, "darse-oci"), **dict(programs)},
                                bundles(directory, labels, mount_label) | {"/busybox.tar": tar.name, "/policy": policy},
                                timeout=300, arguments=arguments)
    return {name: (code, text.splitlines()) for name, (code, text) in found.items()}


@pytest.fixture(scope="module")
def selinux(tmp_path_factory):
    directory = tmp_path_factory.mktemp("selinux")
    (directory / "policy.cil").write_text(SELINUX_POLICY, encoding="ascii")
    subprocess.run(["secilc", "-c", "33", "-o", "policy", "-f", "/dev/null", "policy.cil"], cwd=directory, check=True)
    labels = {name: {"selinuxLabel": f"u:r:{type_}"} for name, type_ in
              {"labelled": "container_t", "forbidden": "forbidden_t", "unknown": "nobody_t"}.items()}
    return sections(SELINUX, str(directory / "policy"), labels, "lsm=selinux selinux=1", mount_label="u:object_r:files_t")


@pytest.fixture(scope="module")
def apparmor(tmp_path_factory):
    policy = tmp_path_factory.mktemp("apparmor") / "policy"
    policy.write_text(APPARMOR_POLICY, encoding="ascii")
    labels = {"labelled": {"apparmorProfile": "darse-test"}, "unknown": {"apparmorProfile": "nobody"}}
    return sections(APPARMOR, str(policy), labels, "lsm=apparmor apparmor=1", {"/usr/sbin/apparmor_parser": "/usr/sbin/apparmor_parser"})


def test_selinux_labels_processes_and_mounts(selinux):
    code, lines = selinux["labelled"]
    assert lines[:3] == ["run 0", "u:r:container_t", "u:r:container_t"], lines
    # /dev, /dev/shm, /dev/mqueue and the like.
    assert code == 0 and int(lines[3]) >= 3, lines


def test_what_selinux_forbids_does_not_start(selinux):
    _, lines = selinux["forbidden"]
    assert lines[0] == "run 1" and "ermission denied" in lines[1], lines
    _, lines = selinux["unknown"]
    assert lines[0] == "run 1" and 'process.selinuxLabel "u:r:nobody_t"' in lines[1], lines


def test_apparmor_confines_processes(apparmor):
    code, lines = apparmor["labelled"]
    assert lines[:3] == ["run 0", "darse-test (enforce)", "darse-test (enforce)"], lines
    assert code == 1 and lines[3] == "cat: can't open '/etc/secret': Permission denied", lines


def test_an_apparmor_profile_that_is_not_loaded_is_named(apparmor):
    _, lines = apparmor["unknown"]
    assert lines[0] == "run 1" and 'process.apparmorProfile "exec nobody"' in lines[1], lines

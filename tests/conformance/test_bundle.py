"""darse-oci and runc, by hand on one bundle: the same commands, the same codes, the same JSON."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from darse_testing import BIN, busybox_rootfs, eventually  # noqa: E402
from docker_peer import install  # noqa: E402
from instance.build import build  # noqa: E402

PROGRAMS = ["runc", "darse-oci"]


class Runtime:
    def __init__(self, name, base):
        self.program = os.path.join(BIN, name) if name == "darse-oci" else shutil.which(name)
        self.root = os.path.join(base, "state-" + name)
        self.bundle = os.path.join(base, "bundle")
        self.id = "conformance-" + name

    def __call__(self, *args, **kwargs):
        return subprocess.run([self.program, "--root", self.root, *args], cwd=self.bundle, check=False, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)

    def config(self, **changes):
        with open(os.path.join(self.bundle, "plain.json"), encoding="utf-8") as plain:
            spec = json.load(plain)
        for path, value in changes.items():
            where = spec
            *parents, last = path.split("__")
            for key in parents:
                where = where[key]
            where[last] = value
        with open(os.path.join(self.bundle, "config.json"), "w", encoding="utf-8") as out:
            json.dump(spec, out)

    def state(self):
        return json.loads(self("state", self.id).stdout)

    def close(self):
        self("delete", "-f", self.id)


@pytest.fixture(scope="module")
def base():
    build()
    install()
    with tempfile.TemporaryDirectory(prefix="darse-conformance-", dir="/var/tmp") as directory:
        bundle = os.path.join(directory, "bundle")
        os.makedirs(os.path.join(bundle, "rootfs"))
        busybox_rootfs(os.path.join(directory, "root.tar"))
        subprocess.run(["tar", "-xf", os.path.join(directory, "root.tar"), "-C", os.path.join(bundle, "rootfs")], check=True)
        subprocess.run(["runc", "spec", "-b", bundle], check=True)
        path = os.path.join(bundle, "config.json")
        with open(path, encoding="utf-8") as config:
            spec = json.load(config)
        spec["process"]["terminal"] = False
        spec["process"]["rlimits"] = []
        spec["root"]["readonly"] = False
        spec["process"]["capabilities"].pop("ambient", None)
        with open(os.path.join(bundle, "plain.json"), "w", encoding="utf-8") as out:
            json.dump(spec, out)
        yield directory


def both(base, scenario):
    seen = {}
    for name in PROGRAMS:
        runtime = Runtime(name, base)
        try:
            seen[name] = scenario(runtime)
        finally:
            runtime.close()
    assert seen["darse-oci"] == seen["runc"]
    return seen["runc"]


def test_run_hands_on_output_and_code(base):
    def scenario(runtime):
        runtime.config(process__args=["sh", "-c", "echo out; echo err >&2; exit 9"])
        done = runtime("run", runtime.id)
        return done.returncode, done.stdout, "err" in done.stderr, runtime("state", runtime.id).returncode
    assert both(base, scenario)[0] == 9


def test_create_start_state_kill_delete(base):
    def scenario(runtime):
        runtime.config(process__args=["sleep", "100"])
        pid_file = os.path.join(base, "pid")
        # Detached: it must not hold our pipes.
        created = subprocess.run([runtime.program, "--root", runtime.root, "create", "--pid-file", pid_file, runtime.id],
                                 cwd=runtime.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, check=False)
        seen = [created.returncode, runtime.state()["status"], runtime.state()["pid"] == int(open(pid_file).read())]
        seen.append(sorted(set(runtime.state()) & {"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"}))
        seen.append(runtime("exec", runtime.id, "true").returncode)
        seen.append(runtime("start", runtime.id).returncode)
        seen.append(runtime.state()["status"])
        seen.append(runtime("start", runtime.id).returncode)
        seen.append(runtime("delete", runtime.id).returncode)
        seen.append(runtime("kill", runtime.id, "KILL").returncode)
        eventually(lambda: runtime.state()["status"] == "stopped")
        seen.append(runtime("kill", runtime.id, "KILL").returncode)
        seen.append(runtime("delete", runtime.id).returncode)
        seen.append(runtime("state", runtime.id).returncode)
        seen.append(runtime("delete", runtime.id).returncode)
        seen.append(runtime("delete", "-f", runtime.id).returncode)
        return seen
    both(base, scenario)


def running(runtime, command=("sleep", "100"), **changes):
    runtime.config(process__args=list(command), **changes)
    done = subprocess.run([runtime.program, "--root", runtime.root, "run", "-d", runtime.id], cwd=runtime.bundle,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == 0


def test_exec_and_its_flags(base):
    def scenario(runtime):
        running(runtime)
        process = os.path.join(base, "process.json")
        with open(process, "w", encoding="utf-8") as out:
            json.dump({"args": ["sh", "-c", "echo from a file; exit 4"], "cwd": "/", "env": ["PATH=/bin"],
                       "user": {"uid": 0, "gid": 0}}, out)
        seen = []
        for arguments in ([runtime.id, "sh", "-c", "exit 6"],
                          ["--cwd", "/etc", "--env", "A=b", runtime.id, "sh", "-c", "pwd; echo $A"],
                          ["--user", "1000:1000", runtime.id, "sh", "-c", "id -u; id -g"],
                          ["--process", process, runtime.id],
                          ["--cap", "CAP_NET_ADMIN", runtime.id, "grep", "CapEff", "/proc/self/status"]):
            done = runtime("exec", *arguments)
            seen.append((done.returncode, done.stdout))
        seen.append(runtime("exec", runtime.id, "no-such-command").returncode)
        seen.append(runtime("exec", "no-such-container", "true").returncode)
        return seen
    both(base, scenario)


def test_pause_and_resume(base):
    def scenario(runtime):
        running(runtime)
        seen = [runtime("pause", runtime.id).returncode, runtime.state()["status"],
                runtime("exec", runtime.id, "true").returncode, runtime("resume", runtime.id).returncode,
                runtime.state()["status"], runtime("exec", runtime.id, "true").returncode]
        return seen
    both(base, scenario)


def test_ps_list_and_events(base):
    def scenario(runtime):
        running(runtime, linux__resources={"memory": {"limit": 50 << 20}, "devices": [{"allow": False, "access": "rwm"}]})
        ps = json.loads(runtime("ps", "--format", "json", runtime.id).stdout)
        listed = json.loads(runtime("list", "--format", "json").stdout)
        quiet = runtime("list", "-q").stdout
        events = json.loads(runtime("events", "--stats", runtime.id).stdout)
        return (len(ps), [entry["status"] for entry in listed], sorted(set(listed[0]) & {"id", "pid", "status", "bundle"}),
                quiet.replace(runtime.id, "ID"), events["type"], events["data"]["memory"]["usage"]["limit"],
                events["data"]["pids"]["current"], sorted(events["data"]["cpu"]["usage"]) != [])
    both(base, scenario)


def test_update(base):
    def scenario(runtime):
        running(runtime, linux__cgroupsPath=f"/{runtime.id}", linux__resources={"memory": {"limit": 50 << 20}})
        codes = [runtime("update", "--memory", str(30 << 20), "--pids-limit", "17", "--cpu-share", "300", runtime.id).returncode,
                 runtime("update", "--memory", "nonsense", runtime.id).returncode]
        values = []
        for controller, name in (("memory", "memory.limit_in_bytes"), ("pids", "pids.max"), ("cpu", "cpu.shares")):
            with open(f"/sys/fs/cgroup/{controller}/{runtime.id}/{name}", encoding="ascii") as file:
                values.append(file.read())
        return codes, values
    both(base, scenario)


def test_console_socket_gets_the_terminal(base):
    def scenario(runtime):
        runtime.config(process__args=["sh", "-c", "tty; sleep 100"], process__terminal=True)
        path = os.path.join(base, "console.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            started = subprocess.Popen([runtime.program, "--root", runtime.root, "run", "-d", "--console-socket", path, runtime.id],
                                       cwd=runtime.bundle, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            connection, _ = listener.accept()
            _, fds, _, _ = socket.recv_fds(connection, 4096, 1)
            connection.close()
        os.unlink(path)
        text = os.read(fds[0], 100).decode()
        os.close(fds[0])
        return started.wait(30), text.strip()
    assert both(base, scenario) == (0, "/dev/pts/0")


def test_preserved_descriptors(base):
    def scenario(runtime):
        runtime.config(process__args=["sh", "-c", "cat <&3; ls /proc/self/fd | grep -c ."])
        text = os.path.join(base, "text")
        with open(text, "w", encoding="utf-8") as out:
            out.write("through\n")
        done = subprocess.run(["sh", "-c", f'exec "$0" "$@" 3< {text}', runtime.program, "--root", runtime.root, "run",
                               "--preserve-fds", "1", runtime.id], cwd=runtime.bundle, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout
    both(base, scenario)


def test_signals_reach_the_process(base):
    def scenario(runtime):
        runtime.config(process__args=["sh", "-c", "trap 'echo got it; exit 8' USR1; echo up; while :; do sleep 0.05; done"])
        process = subprocess.Popen([runtime.program, "--root", runtime.root, "run", runtime.id], cwd=runtime.bundle,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout.readline() == "up\n"
        code = runtime("kill", runtime.id, "USR1").returncode
        rest = process.stdout.read()
        return code, rest, process.wait(20)
    assert both(base, scenario) == (0, "got it\n", 8)


def test_run_forwards_signals(base):
    def scenario(runtime):
        runtime.config(process__args=["sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"])
        process = subprocess.Popen([runtime.program, "--root", runtime.root, "run", runtime.id], cwd=runtime.bundle,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        return process.wait(20)
    assert both(base, scenario) == 5


@pytest.mark.parametrize("broken", [{"process__args": ["no-such-command"]}, {"process__cwd": "relative"},
                                    {"root__path": "no/such/root"}, {"process__args": []},
                                    {"linux__namespaces": [{"type": "mount"}, {"type": "mount"}]},
                                    {"linux__namespaces": [{"type": "nonsense"}]}])
def test_what_cannot_be_run_is_refused_and_leaves_nothing(base, broken):
    def scenario(runtime):
        runtime.config(**broken)
        done = runtime("run", runtime.id)
        return done.returncode, done.stdout, done.stderr != "", runtime("list", "-q").stdout
    both(base, scenario)


def test_json_log(base):
    def scenario(runtime):
        log = os.path.join(base, "log-" + os.path.basename(runtime.program))
        runtime.config(process__args=["no-such-command"])
        runtime("--log", log, "--log-format", "json", "run", runtime.id)
        with open(log, encoding="utf-8") as lines:
            last = json.loads(lines.read().splitlines()[-1])
        return sorted(last), last["level"], "executable file not found in $PATH" in last["msg"]
    both(base, scenario)


def test_features_name_what_there_is(base):
    def scenario(runtime):
        done = runtime("features")
        features = json.loads(done.stdout)
        return done.returncode, sorted(set(features) & {"ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux"})
    runtime = Runtime("darse-oci", base)
    assert scenario(runtime) == (0, ["hooks", "linux", "mountOptions", "ociVersionMax", "ociVersionMin"])

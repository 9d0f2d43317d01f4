"""What people do with containers, seen through a client that speaks docker's words: each function is a scenario, and what it
answers is compared between one OCI runtime and another."""

import json
import os
import pty
import re
import select
import subprocess
import tempfile
import time

from darse_testing import eventually

RUNTIMES = ["runc", "darse"]


class Under:
    """An engine with one runtime."""

    def __init__(self, engine, runtime):
        self.engine = engine
        self.runtime = runtime
        self.names = []

    def __call__(self, *args, stdin=None):
        """(exit code, standard output)"""
        done = self.engine.run(*args, check=False, input=stdin, timeout=60)
        self.errors = done.stderr.decode()
        return done.returncode, done.stdout.decode()

    def run(self, *args, **kwargs):
        return self("run", "--rm", "--runtime", self.runtime, *args, **kwargs)

    def start(self, *args):
        """The name of a container that runs in the background."""
        name = f"{self.runtime}{len(self.names)}"
        self.names.append(name)
        code, _ = self("run", "-d", "--runtime", self.runtime, "--name", name, *args)
        assert code == 0, self.errors
        return name

    def inspect(self, name, path):
        return self("inspect", "-f", "{{json %s}}" % path, name)[1].strip()

    def close(self):
        if self.names:
            self("rm", "-f", *self.names)


IMAGE = "busybox:1"


def output(under):
    return under.run(IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3")


def standard_input(under):
    return under.run("-i", IMAGE, "cat", stdin=b"typed\n")


def environment(under):
    return under.run("-e", "A=b", "-w", "/tmp", "-u", "1000:1000", "--hostname", "box", IMAGE, "sh", "-c",
                     "echo $A $HOME; pwd; id; hostname; umask")


def missing_command(under):
    return under.run(IMAGE, "no-such-command")


def missing_path(under):
    return under.run(IMAGE, "/no/such/command")


def not_executable(under):
    return under.run(IMAGE, "/etc/passwd")


def directory_as_command(under):
    return under.run(IMAGE, "/etc")


def missing_directory(under):
    return under.run("-w", "/made/for/it", IMAGE, "pwd")


def unknown_user(under):
    return under.run("-u", "nobody-here", IMAGE, "true")


def read_only(under):
    return under.run("--read-only", "--tmpfs", "/scratch", IMAGE, "sh", "-c",
                     "touch /file 2>/dev/null || echo refused; touch /scratch/file && echo written")


def capabilities(under):
    return [under.run(*flags, IMAGE, "grep", "^Cap", "/proc/self/status")
            for flags in ([], ["--cap-drop", "ALL"], ["--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"],
                          ["--privileged"], ["-u", "1000"])]


def security_options(under):
    return [under.run(*flags, IMAGE, "grep", "-E", "^(NoNewPrivs|Seccomp):", "/proc/self/status")
            for flags in ([], ["--security-opt", "no-new-privileges"], ["--security-opt", "seccomp=unconfined"])]


def seccomp_profile(under):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as profile:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW",
                   "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}, profile)
        profile.flush()
        return under.run("--security-opt", f"seccomp={profile.name}", IMAGE, "sh", "-c", "mkdir /x 2>&1; echo $?")


def limits(under):
    return under.run("-m", "32m", "--memory-swap", "32m", "--cpus", "0.5", "--pids-limit", "30", "--cpu-shares", "512",
                     "--cpuset-cpus", "0", IMAGE, "sh", "-c",
                     "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares pids/pids.max "
                     "cpuset/cpuset.cpus")


def ulimits(under):
    return under.run("--ulimit", "nofile=64:128", IMAGE, "sh", "-c", "ulimit -n; ulimit -Hn")


def out_of_memory(under):
    name = under.start("-m", "16m", "--memory-swap", "16m", IMAGE, "tail", "/dev/zero")
    code = under("wait", name)
    return code, under.inspect(name, ".State.OOMKilled")


def network_modes(under):
    return [under.run("--network", mode, IMAGE, "sh", "-c", "ls /sys/class/net | grep -c . ; ls /sys/class/net | grep -x lo")
            for mode in ("none", "bridge")]


def host_namespaces(under):
    code, text = under.run("--network", "host", "--pid", "host", "--ipc", "host", "--uts", "host", IMAGE, "sh", "-c",
                           "for n in net pid ipc uts; do readlink /proc/self/ns/$n; done")
    host = [os.readlink(f"/proc/self/ns/{name}") for name in ("net", "pid", "ipc", "uts")]
    return code, text.split() == host


def volumes(under):
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "file"), "w", encoding="utf-8") as out:
            out.write("bound\n")
        return under.run("-v", f"{directory}:/b:ro", "-v", "/anonymous", "--tmpfs", "/t:size=1m,mode=1770", IMAGE, "sh", "-c",
                         "cat /b/file; touch /b/x 2>/dev/null || echo refused; touch /anonymous/x && echo kept; "
                         "stat -c %a /t; grep ' /t ' /proc/mounts | cut -d' ' -f3,4 | tr , '\\n' | grep -E 'tmpfs|size|mode'")


def masked(under):
    return under.run(IMAGE, "sh", "-c", "cat /proc/kcore | wc -c; ls /proc/acpi /sys/firmware 2>&1; "
                     "echo 1 > /proc/sys/kernel/panic || echo refused; cat /proc/self/attr/current 2>&1 | head -1")


def devices(under):
    return under.run("--device", "/dev/full:/dev/mine:rw", IMAGE, "sh", "-c",
                     "ls -1 /dev; echo x > /dev/mine; mknod /tmp/m b 8 0 && head -c1 /tmp/m || echo refused")


def sysctls(under):
    return under.run("--sysctl", "net.ipv4.ip_unprivileged_port_start=81", IMAGE, "cat",
                     "/proc/sys/net/ipv4/ip_unprivileged_port_start")


def init(under):
    return under.run("--init", IMAGE, "sh", "-c", "readlink /proc/1/exe; echo $$ | grep -c .")


def terminal(under):
    """run -it from a terminal of ours."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        under.engine.command("run", "--rm", "-it", "--runtime", under.runtime, IMAGE, "sh", "-c", "tty; stty size; read x; echo got $x"),
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    text = b""
    typed = False
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.2)[0]:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            text += piece
        if not typed and b"/dev/" in text and text.count(b"\n") >= 2:
            os.write(master, b"hello\n")
            typed = True
    os.close(master)
    return process.wait(30), text.decode().replace("\r", "")


def execs(under):
    name = under.start("-u", "1000", "-m", "64m", "--cap-drop", "CHOWN", IMAGE, "sleep", "100")
    # runc joins systemd's own hierarchy too, where there is one; Darse leaves that to systemd.
    works = [under("exec", *arguments) for arguments in (
        [name, "sh", "-c", "id; exit 5"], ["-u", "0", "-w", "/etc", "-e", "X=y", name, "sh", "-c", "id; pwd; echo $X"],
        [name, "grep", "-E", "^(Cap|Seccomp:|NoNew)", "/proc/self/status"],
        [name, "grep", "-v", "name=systemd", "/proc/self/cgroup"], ["-d", name, "sh", "-c", "echo done > /tmp/done"])]
    # What they say is their own; how it ends is not.
    fails = [under("exec", *arguments)[0] for arguments in (
        ["--privileged", name, "grep", "CapEff", "/proc/self/status"], [name, "no-such-command"], [name, "/etc"],
        ["-w", "/no/such/place", name, "true"], ["-u", "nobody-here", name, "true"])]
    return works, fails, eventually(lambda: under("exec", name, "cat", "/tmp/done")[1])


def exec_input(under):
    name = under.start(IMAGE, "sleep", "100")
    return under("exec", "-i", name, "cat", stdin=b"through\n")


def life(under):
    name = under.start(IMAGE, "sh", "-c", "trap 'echo term; exit 7' TERM; echo up; while :; do sleep 0.1; done")
    eventually(lambda: "up" in under("logs", name)[1])
    seen = [under("pause", name)[0], under.inspect(name, ".State.Status"), under("unpause", name)[0],
            under.inspect(name, ".State.Status"), under("stop", "-t", "5", name)[0],
            under.inspect(name, ".State.ExitCode"), under("logs", name)]
    seen += [under("start", name)[0], under("kill", name)[0], under("wait", name), under("rm", name)[0]]
    return seen


def update(under):
    name = under.start("-m", "64m", IMAGE, "sleep", "100")
    return (under("update", "-m", "48m", "--memory-swap", "48m", "--pids-limit", "20", name)[0],
            under("exec", name, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/pids/pids.max"))


def figures(under):
    name = under.start("-m", "64m", IMAGE, "sleep", "100")
    code, text = under("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", name)
    top_code, top = under("top", name, "-o", "comm")
    return code, re.sub(r"^[0-9.]+[kKMG]?i?B", "x", text), top_code, top


def restarts(under):
    name = under.start("--restart", "on-failure:2", IMAGE, "false")
    eventually(lambda: under.inspect(name, ".State.Status") == '"exited"' and under.inspect(name, ".RestartCount") == "2", 30)
    return under.inspect(name, ".RestartCount"), under.inspect(name, ".State.ExitCode")


def health(under):
    name = under.start("--health-cmd", "test -e /etc/passwd", "--health-interval", "200ms", IMAGE, "sleep", "100")
    return eventually(lambda: under.inspect(name, ".State.Health.Status") == '"healthy"')


def namespaces_of_another(under):
    name = under.start("--hostname", "first", IMAGE, "sleep", "100")
    return under.run("--pid", f"container:{name}", "--network", f"container:{name}", IMAGE, "sh", "-c",
                     "ps | grep -c '[s]leep 100'; ls /sys/class/net | sort | head -1")


def process_settings(under):
    return under.run("--oom-score-adj", "300", "--shm-size", "1m", IMAGE, "sh", "-c",
                     "cat /proc/self/oom_score_adj; df -k /dev/shm | tail -1 | awk '{print $2}'")


SCENARIOS = [output, standard_input, environment, missing_command, missing_path, not_executable, directory_as_command,
             missing_directory, unknown_user, read_only, capabilities, security_options, seccomp_profile, limits, ulimits,
             out_of_memory, network_modes, host_namespaces, volumes, masked, devices, sysctls, init, terminal, execs,
             exec_input, life, update, figures, restarts, health, namespaces_of_another, process_settings]


def plain(value, runtime):
    """Without what differs from one container to the next."""
    text = json.dumps(value, default=str)
    text = re.sub(r"\b[0-9a-f]{64}\b", "<id>", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "<id>", text)
    return json.loads(text.replace(f"{runtime}0", "<name>"))


def assert_same(engine, scenario):
    """`engine` has run(*args, check, input, timeout) and command(*args)."""
    seen = {}
    for runtime in RUNTIMES:
        under = Under(engine, runtime)
        try:
            seen[runtime] = plain(scenario(under), runtime)
        finally:
            under.close()
    assert seen["darse"] == seen["runc"], json.dumps(seen, indent=1)
    return seen["darse"]

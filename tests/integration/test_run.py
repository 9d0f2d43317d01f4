"""`darse run` and the life of a container, as someone who knows docker would try it."""

import json
import os
import signal
import socket
import subprocess
import time

from darse_testing import eventually, free_port, http


def test_run_prints_output_and_answers_with_the_commands_code(darse):
    done = darse.run("run", "--rm", "busybox:1", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    assert darse("ps", "-aq") == ""


def test_run_passes_standard_input(darse):
    assert darse("run", "--rm", "-i", "busybox:1", "wc", "-c", stdin="x" * 100_000) == "100000"


def test_a_missing_command_is_127_and_is_named(darse):
    darse.fails("run", "--rm", "busybox:1", "pyton3", code=127, says=["pyton3", "not found"])
    assert darse("ps", "-aq") == ""


def test_a_command_that_cannot_be_executed_is_126(darse):
    darse.fails("run", "--rm", "busybox:1", "/etc/passwd", code=126, says="/etc/passwd")


def test_an_unknown_image_is_125_and_says_how_to_get_one(darse):
    darse.fails("run", "--rm", "nosuchimage:1", "true", code=125, says="nosuchimage")


def test_a_flag_that_does_not_exist_is_refused(darse):
    darse.fails("run", "--no-such-flag", "busybox:1", code=2, says="no-such-flag")


def test_detached_container_shows_in_ps_logs_and_inspect(darse):
    container = darse("run", "-d", "--name", "web", "-e", "A=1", "-l", "tier=front", "-w", "/tmp", "busybox:1",
                      "sh", "-c", "echo $A; pwd; hostname; sleep 600")
    assert len(container) == 64
    eventually(lambda: darse("logs", "web").count("\n") == 2)
    assert darse("logs", "web").split("\n") == ["1", "/tmp", container[:12]]
    row = json.loads(darse("ps", "--format", "json").splitlines()[0])
    assert row["Names"] == "web" and row["State"] == "running"
    shown = darse.inspect("web")
    assert shown["Id"] == container
    assert shown["State"]["Running"] is True and shown["Config"]["Labels"]["tier"] == "front"
    assert darse("ps", "-q", "--filter", "label=tier=front") == container[:12]
    assert darse("ps", "-q", "--filter", "label=tier=back") == ""
    assert darse("ps", "-q", "--filter", "name=web", "--no-trunc") == container


def test_the_container_has_namespaces_of_its_own(darse):
    out = darse("run", "--rm", "--hostname", "box", "busybox:1", "sh", "-c",
                "hostname; echo $$; ls /proc | grep -c '^[0-9]'; ip -o link | grep -c .; id -u; cat /proc/1/comm")
    hostname, pid, processes, links, uid, _ = out.split("\n")
    assert hostname == "box" and pid == "1" and int(processes) < 6 and links == "2" and uid == "0"


def test_stop_sends_the_stop_signal_and_records_the_code(darse):
    darse("run", "-d", "--name", "trap", "busybox:1", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done")
    time.sleep(0.2)
    assert darse("stop", "trap") == "trap"
    assert darse.inspect("trap")["State"]["ExitCode"] == 3
    assert darse("wait", "trap") == "3"


def test_stop_kills_after_its_timeout(darse):
    darse("run", "-d", "--name", "deaf", "busybox:1", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    time.sleep(0.2)
    begin = time.monotonic()
    darse("stop", "-t", "1", "deaf")
    assert 0.9 < time.monotonic() - begin < 5
    assert darse.inspect("deaf")["State"]["ExitCode"] == 137


def test_kill_start_restart_and_rm(darse):
    darse("run", "-d", "--name", "c", "busybox:1", "sleep", "600")
    darse("kill", "c")
    darse.wait_state("c", "exited")
    darse("start", "c")
    first = darse.inspect("c")["State"]["Pid"]
    darse("restart", "-t", "0", "c")
    assert darse.inspect("c")["State"]["Pid"] != first
    darse.fails("rm", "c", says="running")
    darse("rm", "-f", "c")
    darse.fails("inspect", "c", says="c")


def test_pause_freezes_and_unpause_goes_on(darse):
    darse("run", "-d", "--name", "p", "busybox:1", "sh", "-c", "while :; do echo tick; sleep 0.05; done")
    darse("pause", "p")
    darse.wait_state("p", "paused")
    time.sleep(0.2)
    before = darse("logs", "p").count("tick")
    time.sleep(0.3)
    assert darse("logs", "p").count("tick") == before
    darse("unpause", "p")
    eventually(lambda: darse("logs", "p").count("tick") > before)


def test_exec_runs_inside_with_environment_user_and_code(darse):
    darse("run", "-d", "--name", "e", "-e", "A=1", "busybox:1", "sleep", "600")
    assert darse("exec", "-e", "B=2", "-w", "/tmp", "e", "sh", "-c", "echo $A$B; pwd") == "12\n/tmp"
    assert darse("exec", "-u", "guest", "e", "id", "-un") == "guest"
    assert darse.run("exec", "e", "sh", "-c", "exit 9").returncode == 9
    assert darse("exec", "-i", "e", "cat", stdin="hello") == "hello"
    darse.fails("exec", "e", "nosuchprogram", code=127, says="nosuchprogram")
    # It counts as the container's: on the host, its process is in the same cgroups as the first one.
    darse("exec", "-d", "e", "sleep", "601")
    shown = darse.inspect("e")

    def cgroups_of(pid):
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as lines:
            return lines.read()
    eventually(lambda: "sleep 601" in darse("top", "e"))
    pid = next(line.split()[1] for line in darse("top", "e").splitlines() if "sleep 601" in line)
    assert shown["Id"] in cgroups_of(pid) and cgroups_of(pid) == cgroups_of(shown["State"]["Pid"])


def test_exec_in_a_stopped_container_is_refused(darse):
    darse("run", "--name", "gone", "busybox:1", "true")
    darse.fails("exec", "gone", "true", code=125, says="not running")


def test_terminal_has_a_size_and_is_one(darse):
    # script(1) gives the client a terminal of its own.
    done = subprocess.run(["script", "-qec", "stty rows 33 cols 77; darse run --rm -it busybox:1 sh -c 'tty; stty size'",
                           "/dev/null"], env=darse.instance.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True, timeout=30, check=False)
    assert "/dev/pts/0" in done.stdout or "/dev/console" in done.stdout
    assert "33 77" in done.stdout


def test_volumes_outlive_containers_and_binds_reach_the_host(darse, tmp_path):
    darse("run", "--rm", "-v", "data:/data", "busybox:1", "sh", "-c", "echo kept > /data/f")
    assert darse("run", "--rm", "-v", "data:/data:ro", "busybox:1", "cat", "/data/f") == "kept"
    assert darse.run("run", "--rm", "-v", "data:/data:ro", "busybox:1", "touch", "/data/g").returncode == 1
    assert "data" in darse("volume", "ls", "-q").split()
    darse("run", "--rm", "-v", f"{tmp_path}:/host", "busybox:1", "sh", "-c", "echo hi > /host/f")
    assert (tmp_path / "f").read_text() == "hi\n"
    darse("run", "-d", "--name", "user", "-v", "data:/data", "busybox:1", "sleep", "600")
    darse.fails("volume", "rm", "data", says="use")
    darse("rm", "-f", "user")
    darse("volume", "rm", "data")
    assert "data" not in darse("volume", "ls", "-q").split()


def test_tmpfs_and_read_only_root(darse):
    out = darse("run", "--rm", "--read-only", "--tmpfs", "/scratch:size=1m", "busybox:1", "sh", "-c",
                "touch /x 2>&1; touch /scratch/y && echo ok; grep scratch /proc/mounts")
    assert "Read-only" in out and "ok" in out and "size=1024k" in out


def test_limits_are_in_the_cgroup(darse):
    darse("run", "-d", "--name", "l", "-m", "64m", "--cpus", "0.5", "--pids-limit", "20", "busybox:1", "sleep", "600")
    shown = darse.inspect("l")
    assert shown["HostConfig"]["Memory"] == 64 << 20 and shown["HostConfig"]["NanoCpus"] == 500_000_000
    parent = darse.instance.environment["DARSE_CGROUP_PARENT"]
    found = subprocess.run(["find", "/sys/fs/cgroup", "-path", f"*{parent}*{shown['Id']}*", "(", "-name",
                            "memory.limit_in_bytes", "-o", "-name", "memory.max", ")"], stdout=subprocess.PIPE, text=True,
                           check=False).stdout.split()
    assert found, "no memory cgroup of the container"
    with open(found[0], encoding="ascii") as limit:
        assert int(limit.read()) == 64 << 20
    # The 21st process is one too many.
    out = darse.run("exec", "l", "sh", "-c", "for i in $(seq 30); do sleep 5 & done; wait")
    assert "fork" in (out.stdout + out.stderr)


def test_an_oom_kill_is_recorded(darse):
    # Two thirds of the limit in dd's buffer, twice.
    darse.run("run", "--name", "big", "-m", "16m", "busybox:1", "sh", "-c",
              "dd if=/dev/zero of=/dev/null bs=64M count=1; exit $?")
    shown = darse.inspect("big")["State"]
    assert shown["OOMKilled"] is True and shown["ExitCode"] != 0


def test_published_port_answers_and_closes(darse):
    port = free_port()
    darse("run", "-d", "--name", "w", "-p", f"{port}:80", "busybox:1", "sh", "-c",
          "mkdir /www; echo hello > /www/index.html; httpd -f -p 80 -h /www")
    eventually(lambda: http(f"http://127.0.0.1:{port}/") == (200, "hello\n"))
    assert str(port) in darse("port", "w")
    darse.fails("run", "-d", "-p", f"{port}:80", "busybox:1", "sleep", "5", code=125, says=[str(port), "use"])
    darse("stop", "-t", "0", "w")
    eventually(lambda: http(f"http://127.0.0.1:{port}/")[0] == 0)


def test_a_published_udp_port_is_answered(darse):
    port = free_port(socket.SOCK_DGRAM)
    darse("run", "-d", "--name", "u", "-p", f"{port}:7/udp", "busybox:1", "sleep", "600")
    # busybox has no UDP server: one from here joins the container's network.
    server = subprocess.Popen(
        ["nsenter", f"--net=/proc/{darse.inspect('u')['State']['Pid']}/ns/net", "python3", "-c",
         "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.bind(('', 7))\n"
         "while True:\n    data, sender = s.recvfrom(100)\n    s.sendto(data, sender)\n"])

    def echoed():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.5)
            client.sendto(b"ping", ("127.0.0.1", port))
            try:
                return client.recv(100) == b"ping"
            except OSError:
                return False
    try:
        eventually(echoed)
    finally:
        server.kill()
        server.wait()


def test_containers_on_a_network_find_each_other_by_name(darse):
    darse("network", "create", "net1")
    darse("run", "-d", "--name", "server", "--network", "net1", "--network-alias", "www", "busybox:1", "sh", "-c",
          "mkdir /www; echo hello > /www/index.html; httpd -f -p 80 -h /www")
    for name in ("server", "www"):
        eventually(lambda: darse.run("run", "--rm", "--network", "net1", "busybox:1", "wget", "-qO-",
                                     f"http://{name}/").stdout == "hello\n")
    darse("network", "create", "net2")
    assert darse.run("run", "--rm", "--network", "net2", "busybox:1", "wget", "-T", "2", "-qO-",
                     "http://server/").returncode != 0
    darse("rm", "-f", "server")
    darse("network", "rm", "net1")
    darse("network", "rm", "net2")


def test_restart_policy_starts_a_failed_container_again(darse):
    darse("run", "-d", "--name", "r", "--restart", "on-failure:2", "busybox:1", "sh", "-c", "echo run; exit 1")
    eventually(lambda: darse("logs", "r").count("run") == 3)
    darse.wait_state("r", "exited")
    assert darse.inspect("r")["RestartCount"] == 2


def test_a_maximum_of_restarts_in_a_window_ends_them(darse):
    darse("run", "-d", "--name", "r", "--restart", "always", "--restart-max-attempts", "2", "--restart-window", "1h",
          "--restart-delay", "10ms", "busybox:1", "sh", "-c", "echo run; exit 0")
    eventually(lambda: darse.inspect("r")["State"]["Status"] == "exited")
    assert darse("logs", "r") == "run\nrun\nrun" and darse.inspect("r")["RestartCount"] == 2
    assert darse.inspect("r")["HostConfig"]["RestartPolicy"] == {
        "Name": "always", "MaximumRetryCount": 2, "Window": 3600 * 10**9, "Delay": 10**7}
    # A live one gets another policy.
    darse("run", "-d", "--name", "s", "--restart", "always", "--restart-delay", "10ms", "busybox:1", "sh", "-c", "sleep 0.3")
    darse("update", "--restart", "always", "--restart-max-attempts", "1", "--restart-window", "1h", "s")
    eventually(lambda: darse.inspect("s")["State"]["Status"] == "exited")


def test_a_stopped_container_is_not_restarted(darse):
    darse("run", "-d", "--name", "a", "--restart", "always", "busybox:1", "sleep", "600")
    darse("stop", "-t", "0", "a")
    time.sleep(0.5)
    assert darse.state("a") == "exited"


def test_logs_follow_ends_with_the_container(darse):
    darse("run", "-d", "--name", "f", "busybox:1", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done")
    assert darse("logs", "-f", "f", timeout=20).split() == ["1", "2", "3", "4", "5"]
    assert darse("logs", "--tail", "2", "f").split() == ["4", "5"]


def test_many_log_lines_arrive_complete_and_in_order(darse):
    darse("run", "--name", "m", "--log-opt", "max-size=100m", "busybox:1", "sh", "-c", "seq 200000 | tail -n 200000",
          timeout=120)
    assert darse("logs", "m").split() == [str(i) for i in range(1, 200001)]


def test_health_is_probed(darse):
    darse("run", "-d", "--name", "h", "--health-cmd", "test -f /tmp/ok", "--health-interval", "200ms", "--health-retries", "2",
          "busybox:1", "sleep", "600")
    eventually(lambda: darse.inspect("h")["State"]["Health"]["Status"] == "unhealthy")
    darse("exec", "h", "touch", "/tmp/ok")
    eventually(lambda: darse.inspect("h")["State"]["Health"]["Status"] == "healthy")


def test_defaults_are_safe(darse):
    out = darse("run", "--rm", "busybox:1", "sh", "-c",
                "grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; cat /proc/kcore 2>/dev/null | head -c 10 | wc -c; "
                "echo x 2>/dev/null > /proc/sys/kernel/hostname; ls -A /sys/firmware 2>/dev/null | wc -l; ls /proc/self/fd | wc -l")
    assert "00000000a80425fb" in out
    assert "Seccomp:\t2" in out
    lines = out.split("\n")
    assert lines[-2] == "0"
    # 0, 1, 2 and the directory being listed.
    assert int(lines[-1]) <= 4
    assert darse.run("run", "--rm", "busybox:1", "mount", "-t", "tmpfs", "x", "/tmp").returncode != 0


def test_the_program_that_enters_containers_cannot_be_written_through_proc(darse):
    # CVE-2019-5736: what a container could reach as /proc/<pid>/exe lies on a mount that nobody can write to.
    darse("run", "-d", "--name", "x", "busybox:1", "sleep", "600")
    with open(f"{darse.instance.run}/containers/{darse.inspect('x')['Id']}/shim.pid", encoding="ascii") as record:
        shim = record.read().split()[0]
    assert os.statvfs(f"/proc/{shim}/exe").f_flag & os.ST_RDONLY


def test_interrupting_an_attached_run_ends_the_container(darse):
    client = darse.popen("run", "--name", "i", "busybox:1", "sh", "-c", "trap 'exit 5' INT; echo up; while :; do sleep 0.05; done")
    assert client.stdout.readline() == "up\n"
    client.send_signal(signal.SIGINT)
    assert client.wait(15) == 5
    assert darse.state("i") == "exited"


def test_attach_shows_output_and_detaches_without_harm(darse):
    darse("run", "-d", "--name", "t", "busybox:1", "sh", "-c", "while :; do echo tick; sleep 0.1; done")
    client = darse.popen("attach", "t")
    assert client.stdout.readline() == "tick\n"
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    assert darse.state("t") == "running"


def test_inspect_and_stats_speak_json(darse):
    darse("run", "-d", "--name", "s", "busybox:1", "sleep", "600")
    row = json.loads(darse("stats", "--no-stream", "--format", "json").splitlines()[0])
    assert row["Name"] == "s"
    assert "sleep" in darse("top", "s")

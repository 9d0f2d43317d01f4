"""DESIGN's degradation contract: each process killed and frozen while the example stack works.

For every process: no container dies, no entry is lost or doubled, no exit code is lost, and the process catches up.
"""

import json
import os
import signal
import time

import pytest

from darse_testing import Darse, SERVICES, eventually, http
from journal import JournalStack, Writer


@pytest.fixture(scope="module")
def stack():
    journal = JournalStack()
    yield journal
    journal.close()


@pytest.fixture
def load(stack):
    """A client that writes entries; afterwards all that were accepted must be in the archive once, in order."""
    before = len(stack.archived())
    containers = stack.containers()
    assert set(containers) == {"web", "archive"}
    writer = Writer(stack)
    writer.start()
    eventually(lambda: len(writer.accepted) > 5)
    yield writer
    accepted = writer.stop()
    eventually(lambda: json.loads(http(stack.url("/api/status"))[1])["waiting"] == 0, 30, "entries still wait")
    assert stack.archived()[before:] == accepted
    assert writer.refused == 0
    assert stack.containers() == containers, "a container was replaced or restarted"


def frozen_or_killed(stack, service, how):
    if how == "kill":
        stack.darse.instance.kill(service, signal.SIGKILL, hold=True)
    else:
        stack.darse.instance.kill(service, signal.SIGSTOP)


def bring_back(stack, service, how):
    if how == "kill":
        stack.darse.instance.release(service)
    else:
        stack.darse.instance.kill(service, signal.SIGCONT)
    stack.darse.instance.wait_ready()


HOW = pytest.mark.parametrize("how", ["kill", "freeze"])


@HOW
def test_runtime(stack, load, how):
    darse = stack.darse
    darse("run", "-d", "--name", f"short-{how}", "busybox:1", "sh", "-c", "sleep 1.5; exit 42")
    darse("run", "-d", "--name", f"again-{how}", "--restart", "on-failure:2", "busybox:1", "sh", "-c",
          "echo run; sleep 0.6; exit 1")
    frozen_or_killed(stack, "runtime", how)
    wrote = len(load.accepted)
    # The stack goes on, the exit and the restarts happen while nobody watches.
    eventually(lambda: len(load.accepted) > wrote + 20)
    if how == "kill":
        message = darse.fails("run", "--rm", "busybox:1", "true", code=75, says="runtime")
        assert "since" in message or "still" in message
        # The scheduler accepts what it cannot do yet.
        darse.run("up", "--wait-timeout", "1s", cwd=stack.directory, env=stack.environment())
    time.sleep(2.5)
    bring_back(stack, "runtime", how)
    eventually(lambda: darse.state(f"short-{how}") == "exited")
    assert darse.inspect(f"short-{how}")["State"]["ExitCode"] == 42
    eventually(lambda: darse("logs", f"again-{how}").count("run") == 3)
    eventually(lambda: darse.inspect(f"again-{how}")["RestartCount"] == 2)
    # Every exit is told exactly once: three of `again`, one of `short`.
    for name, exits in ((f"short-{how}", 1), (f"again-{how}", 3)):
        events = [json.loads(line) for line in darse("events", "--since", "0", "--no-follow", "--format", "json").splitlines()]
        died = [e for e in events if e["Action"] == "die" and e["Actor"]["Attributes"].get("name") == name]
        assert len(died) == exits, f"{name}: {died}"
    darse("rm", "-f", f"short-{how}", f"again-{how}")


@HOW
def test_builder(stack, load, how, tmp_path):
    darse = stack.darse
    (tmp_path / "Dockerfile").write_text(
        f"FROM busybox:1\nRUN echo {how} {time.time()} > /stamp; sleep 2\nRUN echo done >> /stamp\n")
    build = darse.popen("build", "-t", f"slow-{how}", str(tmp_path))
    time.sleep(1)
    frozen_or_killed(stack, "builder", how)
    assert darse.run("image", "inspect", f"slow-{how}").returncode == 1, "a half-built image has a name"
    # Everything but building works.
    assert darse("run", "--rm", "busybox:1", "echo", "ok") == "ok"
    stack.up()
    if how == "kill":
        darse.fails("build", "-t", "other", str(tmp_path), code=75, says="builder")
    bring_back(stack, "builder", how)
    eventually(lambda: darse.run("image", "inspect", f"slow-{how}").returncode == 0, 30,
               "the build did not go on by itself")
    build.communicate(timeout=30)
    assert darse("run", "--rm", f"slow-{how}", "cat", "/stamp").split()[-1] == "done"
    assert "darse.build" not in darse("ps", "-a", "--format", "json")


@HOW
def test_a_stack_waits_for_the_builder_and_goes_on_by_itself(stack, load, how, tmp_path):
    darse = stack.darse
    frozen_or_killed(stack, "builder", how)
    (tmp_path / "Dockerfile").write_text(f"FROM busybox:1\nRUN echo {how} {time.time()} > /stamp\nCMD sleep 600\n")
    (tmp_path / "compose.yaml").write_text(f"name: late-{how}\nservices:\n  one:\n    build: .\n    image: late-{how}\n"
                                           "    stop_grace_period: 1s\n")
    done = darse.run("up", "--wait-timeout", "10s", cwd=tmp_path)
    assert done.returncode == 75 and "builder" in done.stdout + done.stderr
    bring_back(stack, "builder", how)
    eventually(lambda: darse.run("inspect", f"late-{how}-one-1").returncode == 0
               and darse.state(f"late-{how}-one-1") == "running", 30)
    darse("down", cwd=tmp_path)


@HOW
def test_scheduler(stack, load, how):
    darse = stack.darse
    frozen_or_killed(stack, "scheduler", how)
    # Client to runtime: all of this needs no scheduler.
    assert darse("run", "--rm", "busybox:1", "echo", "ok") == "ok"
    assert "journal-web-1" in darse("ps")
    assert "on port" in darse("logs", "journal-web-1")
    assert darse("exec", "journal-web-1", "echo", "hi") == "hi"
    if how == "kill":
        darse.fails("up", code=75, says="scheduler", cwd=stack.directory, env=stack.environment())
    bring_back(stack, "scheduler", how)
    stack.up()
    names = [json.loads(line)["Names"] for line in
             darse("ps", "-a", "--format", "json", "--filter", "label=darse.stack=journal").splitlines()]
    assert sorted(names) == ["journal-archive-1", "journal-web-1"], "two tasks for one slot"


@HOW
def test_metrics(stack, load, how):
    darse = stack.darse
    frozen_or_killed(stack, "metrics", how)
    assert darse("run", "--rm", "busybox:1", "echo", "ok") == "ok"
    if how == "kill":
        done = darse.run("top", "--once")
        assert "journal-web-1" in done.stdout and "metrics" in done.stdout + done.stderr
    bring_back(stack, "metrics", how)
    eventually(lambda: "journal-web-1" in darse("top", "--once"))


@HOW
def test_resolver(stack, load, how):
    darse = stack.darse
    out = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and _is_resolver(entry, darse.instance.run)]
    assert len(out) == 1, f"resolvers: {out}"
    os.kill(out[0], signal.SIGKILL if how == "kill" else signal.SIGSTOP)
    if how == "freeze":
        time.sleep(1)
        os.kill(out[0], signal.SIGCONT)
    eventually(lambda: darse.run("exec", "journal-web-1", "python3", "-c",
                                 "import socket; socket.gethostbyname('archive')").returncode == 0, 10)


def _is_resolver(pid, run):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
            words = cmdline.read().decode(errors="replace").split("\0")
    except OSError:
        return False
    return os.path.basename(words[0]) == "darse-dns" and any(run in word for word in words)


def test_archive_away_and_back_keeps_order(stack):
    """The example's own promise, which is the one Darse is built on."""
    before = len(stack.archived())
    writer = Writer(stack)
    writer.start()
    eventually(lambda: len(writer.accepted) > 3)
    stack.darse("stop", "journal-archive-1")
    eventually(lambda: "degraded since" in http(stack.url("/"))[1])
    eventually(lambda: len(writer.accepted) > 30)
    stack.darse("start", "journal-archive-1")
    accepted = writer.stop()
    eventually(lambda: json.loads(http(stack.url("/api/status"))[1])["waiting"] == 0, 30)
    assert stack.archived()[before:] == accepted
    assert "degraded since" not in http(stack.url("/"))[1]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_alone_works_and_says_what_is_missing(service):
    darse = Darse(image=False, services=[service])
    try:
        done = darse.run("status")
        assert done.returncode == 75
        for other in SERVICES:
            line = next(line for line in done.stdout.splitlines() if line.split()[:1] == [other])
            assert ("up" in line) == (other == service), line
        darse.instance.start([name for name in SERVICES if name != service][::-1])
        darse.instance.wait_ready()
        assert darse.run("status").returncode == 0
    finally:
        darse.close()

"""Rounds of killing a random service each second under load; then everything must be as the stacks ask for."""

import glob
import json
import os
import random
import threading
import time

from darse_testing import SERVICES, eventually, http, integrity
from journal import JournalStack, Writer

# Fifty in the release check; CI has less time.
ROUNDS = int(os.environ.get("DARSE_CHAOS_ROUNDS", "15"))


class Busy(threading.Thread):
    """Repeats one piece of work; it may fail, but it must never hang or answer nonsense."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work = work
        self.done = 0
        self.failed = 0
        self.wrong = []
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(0.05):
            problem = self.work()
            if problem is None:
                self.done += 1
            elif problem == "":
                self.failed += 1
            else:
                self.wrong.append(problem)


def test_rounds_of_killing_services():
    stack = JournalStack()
    darse = stack.darse
    try:
        containers = stack.containers()
        side = os.path.join(darse.base, "side")
        os.mkdir(side)
        with open(os.path.join(side, "compose.yaml"), "w", encoding="utf-8") as out:
            out.write("name: side\nservices:\n  a:\n    image: busybox:1\n    command: sleep 600\n    stop_grace_period: 0s\n"
                      "  b:\n    image: busybox:1\n    command: sleep 600\n    stop_grace_period: 0s\n    depends_on: [a]\n")

        def run_once():
            done = darse.run("run", "--rm", "busybox:1", "sh", "-c", "echo yes; exit 3")
            if done.returncode == 3:
                return None if done.stdout == "yes\n" else f"run printed {done.stdout!r}"
            return "" if done.returncode in (75, 125, 1) else f"run ended with {done.returncode}: {done.stderr}"

        def exec_once():
            done = darse.run("exec", "journal-web-1", "sh", "-c", "exit 4")
            if done.returncode == 4:
                return None
            return "" if done.returncode in (75, 125, 1) else f"exec ended with {done.returncode}: {done.stderr}"

        def up_and_down():
            codes = [darse.run(verb, cwd=side, timeout=120).returncode for verb in ("up", "down")]
            return None if codes == [0, 0] else ""

        writer = Writer(stack)
        busy = [Busy(run_once), Busy(exec_once), Busy(up_and_down)]
        for thread in [writer, *busy]:
            thread.start()
        generator = random.Random(7)
        for _ in range(ROUNDS):
            time.sleep(1)
            darse.instance.kill(generator.choice(SERVICES))
        for thread in busy:
            thread.ended.set()
        for thread in busy:
            thread.join(150)
            assert not thread.is_alive(), "a client hangs"
            assert thread.wrong == []
        assert busy[0].done and busy[1].done, "nothing worked in between"
        darse.instance.wait_ready()
        accepted = writer.stop()
        eventually(lambda: json.loads(http(stack.url("/api/status"))[1])["waiting"] == 0, 30)
        assert stack.archived() == accepted
        darse("down", cwd=side, timeout=120)
        assert stack.containers() == containers

        def names():
            return sorted(json.loads(line)["Names"] for line in darse("ps", "-a", "--format", "json").splitlines())
        eventually(lambda: names() == ["journal-archive-1", "journal-web-1"], 30, lambda: f"left: {names()}")
        darse.instance.stop_services()
        databases = glob.glob(os.path.join(darse.instance.root, "*", "*.db"))
        assert len(databases) == 4
        assert {path: integrity(path) for path in databases} == {path: "ok" for path in databases}
        assert not glob.glob(os.path.join(darse.instance.root, "*", "*.damaged*"))
    finally:
        stack.close()

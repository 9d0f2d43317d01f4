#!/usr/bin/python3
"""Darse beside Docker, in one run on one machine: start, burst, memory, cached build. Prints a table with ratios.

usage: tests/bench/first.py [--without-docker]

Asserts no time: it reports. Needs root, and installs Debian's docker.io where it is missing.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from darse_testing import BIN, Darse, build, busybox_rootfs  # noqa: E402
from docker_peer import Docker  # noqa: E402

RUNS = 20
STARTS = 30
IDLE = 18


def timed(command, env=None, cwd=None):
    begin = time.perf_counter()
    done = subprocess.run(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    taken = time.perf_counter() - begin
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")
    return taken * 1000


def pss(pids):
    """Sum of the proportional set sizes, in MB."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        except (OSError, StopIteration):
            pass
    return total / 1024


class DarseSide:
    name = "darse"

    def __init__(self):
        build()
        self.darse = Darse(volatile=True)
        self.env = self.darse.instance.env()

    def command(self, *args):
        return [os.path.join(BIN, "darse"), *args]

    def pids(self):
        """The services, the resolver and the shims."""
        run = self.darse.instance.run.encode()
        base = self.darse.base.encode()
        found = [self.darse.instance.pid(name) for name in ("runtime", "builder", "scheduler", "metrics")]
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/cmdline", "rb") as cmdline:
                        words = cmdline.read().split(b"\0")
                except OSError:
                    continue
                if os.path.basename(words[0]) in (b"darse-shim", b"darse-dns") and any(
                        run in word or base in word for word in words[1:]):
                    found.append(int(entry))
        return found

    def close(self):
        self.darse.close()


class DockerSide:
    name = "docker"

    def __init__(self):
        self.docker = Docker(volatile=True)
        self.env = None
        with tempfile.NamedTemporaryFile(suffix=".tar") as tar:
            busybox_rootfs(tar.name)
            self.docker.run("import", tar.name, "busybox:1")

    def command(self, *args):
        return self.docker.command(*args)

    def pids(self):
        return self.docker.pids()

    def close(self):
        self.docker.close()


def spread(values):
    values = sorted(values)
    return (f"{values[0]:.1f} / {statistics.median(values):.1f} / {values[int(len(values) * 0.95)]:.1f}",
            statistics.median(values))


def measure(side):
    def run(*args, cwd=None):
        return timed(side.command(*args), side.env, cwd)
    rows = {}
    for _ in range(3):
        run("run", "--rm", "busybox:1", "true")
    values = []
    for _ in range(RUNS):
        time.sleep(0.5)
        values.append(run("run", "--rm", "busybox:1", "true"))
    rows["run --rm true, after 0.5 s of idleness (ms: min/median/p95)"] = spread(values)
    values = [run("run", "--rm", "busybox:1", "true") for _ in range(RUNS)]
    rows["run --rm true, one after another (ms: min/median/p95)"] = spread(values)
    begin = time.perf_counter()
    for number in range(STARTS):
        run("run", "-d", "--name", f"s{number}", "busybox:1", "sleep", "600")
    taken = time.perf_counter() - begin
    rows[f"{STARTS} detached starts one after another (s)"] = (f"{taken:.2f}", taken)
    run("rm", "-f", *[f"s{number}" for number in range(IDLE, STARTS)])
    time.sleep(3)
    memory = pss(side.pids())
    rows[f"PSS with {IDLE} idle containers (MB)"] = (f"{memory:.1f} in {len(side.pids())} processes", memory)
    run("rm", "-f", *[f"s{number}" for number in range(IDLE)])
    with tempfile.TemporaryDirectory() as context:
        with open(os.path.join(context, "Dockerfile"), "w", encoding="utf-8") as out:
            out.write("FROM busybox:1\nCOPY file /file\nRUN echo one > /one\nRUN echo two > /two\n"
                      "FROM busybox:1\nCOPY --from=0 /one /two /\nRUN cat /one /two > /both\nCMD cat /both\n")
        with open(os.path.join(context, "file"), "w", encoding="utf-8") as out:
            out.write("content\n")
        rows["first build of 2 stages, 6 steps (ms)"] = (lambda t: (f"{t:.0f}", t))(run("build", "-t", "b:1", context))
        values = [run("build", "-t", "b:1", context) for _ in range(RUNS)]
    rows["the same build, all cached (ms: min/median/p95)"] = spread(values)
    return rows


def main():
    results = {}
    for side_class in [DarseSide] + ([] if "--without-docker" in sys.argv else [DockerSide]):
        side = side_class()
        try:
            results[side.name] = measure(side)
        finally:
            side.close()
    print(f"| what | {' | '.join(results)} | ratio |\n|---|{'---|' * len(results)}---|")
    for row in results["darse"]:
        cells = [results[name][row] for name in results]
        ratio = f"1/{cells[1][1] / cells[0][1]:.1f}" if len(cells) == 2 and cells[0][1] else "–"
        print(f"| {row} | {' | '.join(cell[0] for cell in cells)} | {ratio} |")


if __name__ == "__main__":
    main()

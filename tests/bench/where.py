#!/usr/bin/python3
"""Where the time of `darse run --rm IMAGE true` goes, from the kernel's own trace of who ran when.

usage: tests/bench/where.py [RUNS]

Each of RUNS (30) starts comes after half a second of idleness. Prints the median of each step. Tracing itself takes some
of the time: compare the steps with one another, and the sum with `tests/bench/starts.py run`. Needs root and tracefs.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from first import DarseSide, timed  # noqa: E402

CONNECT, FSOPEN = 42, 430  # x86-64
LINE = re.compile(r"^\s*(.+)-(\d+)\s+\[\d+\]\s+\S+\s+([\d.]+): (\w+): (.*)$")
# Each ends where the named mark is; they come in this order.
STEPS = [
    ("connected", "the client: execve, libc's start, arguments, until it connects"),
    ("rooted", "the runtime: connection, request, the container's rows, until it opens the root"),
    ("leased", "the runtime: user, record, addresses, files of the start, until its shim wakes"),
    ("cloned", "the shim's helper: config, overlay, cgroup limits, until it clones the process"),
    ("executed", "the process: mounts, devices, pivot, filter, capabilities, until its execve"),
    ("ended", "`true` itself"),
    ("left", "exit: shim, runtime, the container's removal from the database, the client's end"),
]


class Trace:
    """An instance of the kernel's trace buffer of our own."""

    def __init__(self):
        self.mount = None
        where = "/sys/kernel/tracing"
        if not os.path.isdir(os.path.join(where, "instances")):
            self.mount = tempfile.mkdtemp(prefix="darse-trace-")
            subprocess.run(["mount", "-t", "tracefs", "none", self.mount], check=True)
            where = self.mount
        self.directory = os.path.join(where, "instances", f"darse-{os.getpid()}")
        os.mkdir(self.directory)
        self.write("buffer_size_kb", "8192")
        self.write("trace_clock", "mono")
        self.write("events/raw_syscalls/sys_enter/filter", f"id == {CONNECT} || id == {FSOPEN}")
        for event in ("sched/sched_process_exec", "sched/sched_process_fork", "sched/sched_process_exit", "sched/sched_switch",
                      "raw_syscalls/sys_enter"):
            self.write(f"events/{event}/enable", "1")

    def write(self, name, value):
        with open(os.path.join(self.directory, name), "w", encoding="ascii") as file:
            file.write(value)

    def of(self, work):
        """The lines of what happens while `work` runs."""
        self.write("trace", "")
        self.write("tracing_on", "1")
        work()
        self.write("tracing_on", "0")
        with open(os.path.join(self.directory, "trace"), encoding="utf-8", errors="replace") as trace:
            return trace.read().splitlines()

    def close(self):
        os.rmdir(self.directory)
        if self.mount is not None:
            subprocess.run(["umount", self.mount], check=True)
            os.rmdir(self.mount)


def marks(lines, program):
    """Times in ms by mark, beginning with `began`; None if one is missing."""
    seen, client = {}, None
    for line in lines:
        found = LINE.match(line)
        if not found:
            continue
        comm, pid, when, event, rest = found.groups()
        when = float(when) * 1000
        if event == "sched_process_exec":
            if rest.startswith(f"filename={program} "):
                client = pid
                seen["began"] = when
            elif "filename=/bin/true " in rest:
                seen["executed"] = when
        elif event == "sys_enter" and rest.startswith(f"NR {CONNECT} ") and pid == client:
            seen.setdefault("connected", when)
        elif event == "sys_enter" and rest.startswith(f"NR {FSOPEN} ") and "connected" in seen and not comm.startswith("darse-shim"):
            seen.setdefault("rooted", when)
        elif event == "sched_switch" and "next_comm=darse-shim" in rest and "rooted" in seen:
            seen.setdefault("leased", when)
        elif event == "sched_process_fork" and comm.startswith("darse-shim") and "executed" not in seen:
            seen["cloned"] = when
        elif event == "sched_process_exit" and comm == "true":
            seen.setdefault("ended", when)
        elif event == "sched_process_exit" and pid == client:
            seen["left"] = when
    return seen if all(mark in seen for mark in ["began", *(step[0] for step in STEPS)]) else None


def main():
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and not sys.argv[1].isdigit()):
        sys.exit(__doc__)
    runs = int(sys.argv[1]) if len(sys.argv) == 2 else 30
    side = DarseSide()
    trace = None
    try:
        command = side.command("run", "--rm", "busybox:1", "true")
        for _ in range(3):
            timed(command, side.env)
        trace = Trace()
        taken = {mark: [] for mark, _ in STEPS}
        totals = []
        for _ in range(runs):
            time.sleep(0.5)
            seen = marks(trace.of(lambda: timed(command, side.env)), command[0])
            if seen is None:
                continue
            before = seen["began"]
            for mark, _ in STEPS:
                taken[mark].append(seen[mark] - before)
                before = seen[mark]
            totals.append(seen["left"] - seen["began"])
        print("| ms | of it |\n|---|---|")
        for mark, what in STEPS:
            print(f"| {statistics.median(taken[mark]):.2f} | {what} |")
        print(f"| {statistics.median(totals):.2f} | all, from execve to exit: median of {len(totals)} |")
    finally:
        if trace is not None:
            trace.close()
        side.close()


if __name__ == "__main__":
    main()

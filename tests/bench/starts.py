#!/usr/bin/python3
"""Starts, measured beside their peers: darse-oci beside runc, a burst beside Docker, a thousand containers at once.

usage: tests/bench/starts.py [oci] [run] [burst] [thousand]      (all four without an argument)

Asserts no time: it reports. Needs root, and installs Debian's docker.io and runc where they are missing.
"""

import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from darse_testing import BIN  # noqa: E402
from first import DarseSide, DockerSide, pss, spread, timed  # noqa: E402
from docker_peer import install  # noqa: E402

RUNS = 100
BURST = 100
THOUSAND = 1000
# Clients at a time.
CLIENTS = 8


def minimal_bundle(directory):
    """runc's own default config over a root of busybox, with `true` instead of a shell."""
    root = os.path.join(directory, "rootfs")
    for name in ("bin", "proc", "sys", "dev", "etc"):
        os.makedirs(os.path.join(root, name))
    shutil.copy(shutil.which("busybox"), os.path.join(root, "bin", "true"))
    subprocess.run(["runc", "spec", "-b", directory], check=True)
    path = os.path.join(directory, "config.json")
    with open(path, encoding="utf-8") as config:
        spec = json.load(config)
    spec["process"]["args"] = ["/bin/true"]
    spec["process"]["terminal"] = False
    # This machine may not raise it.
    spec["process"]["rlimits"] = []
    with open(path, "w", encoding="utf-8") as config:
        json.dump(spec, config)


def oci():
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        minimal_bundle(directory)
        programs = {"darse-oci": os.path.join(BIN, "darse-oci"), "runc": shutil.which("runc")}
        times = {name: [] for name in programs}
        # In turns, so that both see the same machine.
        for number in range(RUNS):
            for name, program in programs.items():
                command = [program, "--root", os.path.join(directory, "state-" + name), "run", "-b", directory, f"b{number}"]
                times[name].append(timed(command))
        report("run of a minimal bundle (ms: min/median/p95)", times["darse-oci"], times["runc"], "runc")


def report(what, ours, theirs, peer):
    mine, middle = spread(ours)
    if not theirs:
        print(f"| {what} | {mine} | – | – |", flush=True)
        return
    other, other_middle = spread(theirs)
    print(f"| {what} | {mine} | {other} ({peer}) | 1/{other_middle / middle:.1f} |", flush=True)


def run(sides):
    """run --rm true, after half a second of idleness; the two in turns."""
    times = {side.name: [] for side in sides}
    for side in sides:
        for _ in range(3):
            timed(side.command("run", "--rm", "busybox:1", "true"), side.env)
    for _ in range(RUNS):
        for side in sides:
            time.sleep(0.5)
            times[side.name].append(timed(side.command("run", "--rm", "busybox:1", "true"), side.env))
    report("run --rm true after 0.5 s (ms: min/median/p95)", times["darse"], times.get("docker"), "docker")


def start_many(side, count, prefix, network=()):
    def one(number):
        timed(side.command("run", "-d", "--name", f"{prefix}{number}", *network, "busybox:1", "sleep", "100000"), side.env)
    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(count)))
    return time.perf_counter() - begin


def remove_many(side, count, prefix):
    begin = time.perf_counter()
    names = [f"{prefix}{number}" for number in range(count)]
    for first in range(0, count, 100):
        timed(side.command("rm", "-f", *names[first:first + 100]), side.env)
    return time.perf_counter() - begin


def burst(sides):
    rates = {}
    for side in sides:
        time.sleep(2)
        rates[side.name] = BURST / start_many(side, BURST, "burst")
        remove_many(side, BURST, "burst")
    theirs = rates.get("docker")
    print(f"| {BURST} detached starts by {CLIENTS} clients (a second) | {rates['darse']:.1f} | "
          + (f"{theirs:.1f} (docker) | {rates['darse'] / theirs:.1f} times |" if theirs else "– | – |"), flush=True)


def memory_available():
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        return next(int(line.split()[1]) for line in meminfo if line.startswith("MemAvailable:")) / 1024


def thousand(side):
    before = memory_available()
    taken = start_many(side, THOUSAND, "many")
    time.sleep(5)
    running = subprocess.run(side.command("ps", "-q"), env=side.env, stdout=subprocess.PIPE, check=True).stdout.split()
    used = before - memory_available()
    pids = side.pids()
    ours = pss(pids)
    begin = time.perf_counter()
    names = [f"many{number}" for number in range(THOUSAND)]
    for first in range(0, THOUSAND, 100):
        timed(side.command("stop", "-t", "0", *names[first:first + 100]), side.env)
    stopped = time.perf_counter() - begin
    removed = remove_many(side, THOUSAND, "many")
    print(f"| {THOUSAND} containers at once | {len(running)} running, {THOUSAND / taken:.1f} starts a second, "
          f"{used / THOUSAND:.2f} MB of the machine's memory each ({ours / THOUSAND:.2f} MB PSS of Darse's processes), "
          f"all stopped in {stopped:.1f} s, removed in {removed:.1f} s | – | – |", flush=True)


def main():
    wanted = sys.argv[1:] or ["oci", "run", "burst", "thousand"]
    install()
    print("| what | darse | peer | ratio |\n|---|---|---|---|", flush=True)
    if set(wanted) - {"oci", "run", "burst", "thousand"}:
        sys.exit(__doc__)
    sides = []
    try:
        if "oci" in wanted:
            oci()
        if {"run", "burst"} & set(wanted):
            sides.append(DarseSide())
            sides.append(DockerSide())
        elif "thousand" in wanted:
            sides.append(DarseSide())
        if "run" in wanted:
            run(sides)
        if "burst" in wanted:
            burst(sides)
        if "thousand" in wanted:
            thousand(sides[0])
    finally:
        for side in sides:
            side.close()


if __name__ == "__main__":
    main()

"""Builds Darse's programs and puts them side by side in one directory.

The services find darse-shim and darse-dns beside themselves, and a build must not write into a program that
runs: so programs are copied out of Bazel's tree, each by rename.
"""

import filecmp
import os
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(TOP, "out", "bin")

# Bazel target of each program that is deployed.
PROGRAMS = [
    "//services/runtime:darse-runtime",
    "//services/runtime/init:darse-init",
    "//services/runtime/unpack:darse-unpack",
    "//services/builder:darse-builder",
    "//services/scheduler:darse-scheduler",
    "//services/metrics:darse-metrics",
    "//services/shim:darse-shim",
    "//services/resolver:darse-dns",
    "//tools/oci:darse-oci",
    "//tools/darse:darse",
]


def bazel(*args, **kwargs):
    """Runs Bazel; DARSE_BAZEL_FLAGS holds start-up options such as --output_base."""
    startup = os.environ.get("DARSE_BAZEL_FLAGS", "").split()
    return subprocess.run(["bazel", *startup, *args], cwd=TOP, check=True, **kwargs)


def _directory(bazel_bin, target):
    package, name = target[2:].split(":")
    return os.path.join(bazel_bin, package, name)


def build(quiet=True):
    """Builds all programs and returns the directory they are in. Ends the process if they do not build."""
    flags = ["--noshow_progress", "--ui_event_filters=-info"] if quiet else []
    try:
        bazel("build", *flags, *PROGRAMS)
        info = bazel("info", "bazel-bin", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except FileNotFoundError:
        sys.exit("bazel is not installed: run tools/setup first")
    bazel_bin = info.stdout.strip()
    os.makedirs(BIN, exist_ok=True)
    for target in PROGRAMS:
        source = _directory(bazel_bin, target)
        copy = os.path.join(BIN, os.path.basename(source))
        if os.path.exists(copy) and filecmp.cmp(source, copy, shallow=True):
            continue
        # Bazel's outputs are read-only; copy2 keeps the time, which the comparison above goes by.
        shutil.copy2(source, copy + ".new")
        os.chmod(copy + ".new", 0o755)
        os.rename(copy + ".new", copy)
    return BIN

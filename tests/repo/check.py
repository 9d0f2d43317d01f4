#!/usr/bin/python3
"""Checks what the compiler cannot: layers, names, and what may be included or called where.

Prints each violation as file:line: message, then one line "N passed, N failed" that counts rules. Looks
at tracked files only. Everything under a testdata/ directory is input for tests and exempt.
"""

import collections
import pathlib
import re
import subprocess
import sys

# Levels inside libs, lowest first. A library includes its own level (without a circle) and lower ones.
# A new library gets a place here.
LEVELS = [
    ["base"],
    ["os", "linux", "json", "yaml", "settings"],
    ["sqlite", "oci", "content", "archive", "container", "dockerfile", "compose", "series", "eventlog"],
    ["registry", "rpc"],
]
SERVICES = ["runtime", "builder", "scheduler", "metrics"]

# Names that say nothing (a file or class that needs one has two jobs). libs/base is the one exception.
EMPTY_NAMES = ["util", "utils", "helper", "helpers", "common", "misc", "manager", "impl", "base", "data", "info"]
NAME_EXCEPTIONS = ["libs/base"]

# Where grpc and grpcpp may be included; everything else compiles without them.
GRPC_PLACES = re.compile(
    r"libs/rpc/|services/[^/]+/rpc/|tools/darse/|tests/|third_party/"
    r"|(.*/)?main\.cc$|.*_(client|server)(_test)?\.(h|cc)$")

# Written so that this file does not match itself.
MACHINE_PATHS = re.compile(r"(?<![\w.*)}>\]$-])/(" + "|".join(["work", "root"]) + r")/")
TO_DO = re.compile(r"\b(TO" + r"DO(?!\(#\d+\))|FIX" + r"ME)\b")

# What the runtime and a shim say to each other: the shim speaks no gRPC, so these stand for its protos.
SHIM_CONTRACT = [f"services/shim/{name}.h" for name in
                 ("exit_record", "lease", "packet", "protocol", "restart_policy", "shim_config")]
SHIM_CONTRACT_LABEL = "services/shim:protocol"

CODE = (".cc", ".h")
SOURCE = CODE + (".py", ".proto", ".bzl", ".bazel", ".sh", "")
INCLUDE = re.compile(r'\s*#\s*include\s+(["<])([^">]+)[">]')
CLASS = re.compile(r"\s*(?:class|struct)\s+(?:[A-Z_]+(?:\([^)]*\))?\s+)?(\w+)\s*(?:final\s*)?[:{]")
# tools/build is what BUILD files load.
LABEL = re.compile(r'"//((?!tools/build:)(?:services|tools|tests)/[^"]*)"')

Violation = collections.namedtuple("Violation", "file line message")


class Tree:
    """The tracked text files under `root`: path -> lines."""

    def __init__(self, root, paths):
        self.files = {}
        for path in sorted(paths):
            full = pathlib.Path(root, path)
            if "testdata" in full.parts or full.is_symlink() or not full.is_file():
                continue
            content = full.read_bytes()
            if b"\0" not in content:
                self.files[path] = content.decode("utf-8", "replace").splitlines()

    def lines(self, prefix="", suffixes=None):
        for path, lines in self.files.items():
            if path.startswith(prefix) and (suffixes is None or pathlib.PurePath(path).suffix in suffixes):
                for number, line in enumerate(lines, 1):
                    yield path, number, line

    def includes(self, prefix=""):
        for path, number, line in self.lines(prefix, CODE):
            found = INCLUDE.match(line)
            if found:
                yield path, number, found.group(1), found.group(2)


def library(path):
    """libs/<name>/... -> <name>"""
    parts = path.split("/")
    return parts[1] if parts[0] == "libs" and len(parts) > 2 else None


def level_of(name):
    for level, names in enumerate(LEVELS):
        if name in names:
            return level
    return None


def libraries_know_no_service(tree):
    for path, number, _, target in tree.includes("libs/"):
        if target.startswith(("services/", "tools/", "tests/")):
            yield Violation(path, number, f"a library includes {target}")
        elif library(path) == "compose" and target.startswith("darse/scheduler/"):
            continue  # A compose file is a notation for the scheduler's StackSpec; messages only, no stubs.
        elif library(path) != "rpc" and re.match(rf"(protos/)?darse/({'|'.join(SERVICES)})/", target):
            yield Violation(path, number, f"only libs/rpc may include the protos of a service ({target})")
    for path, number, line in tree.lines("libs/", (".bazel",)):
        for label in LABEL.findall(line):
            if not label.endswith((":__subpackages__", ":__pkg__")):
                yield Violation(path, number, f"a library depends on //{label}")


def services_know_only_protos_of_others(tree):
    for path, number, _, target in tree.includes("services/"):
        mine = path.split("/")[1]
        if mine == "runtime" and target in SHIM_CONTRACT:
            continue
        if target.startswith("services/") and target.split("/")[1] != mine:
            yield Violation(path, number, f"service {mine} includes another service's code: {target}")
    for path, number, line in tree.lines("services/", (".bazel",)):
        mine = path.split("/")[1]
        for label in LABEL.findall(line):
            if label.endswith((":__subpackages__", ":__pkg__")) or not label.startswith("services/"):
                continue
            if mine == "runtime" and label == SHIM_CONTRACT_LABEL:
                continue
            if label.rpartition(":")[2].startswith("darse-"):
                continue  # a program, run by a test: another process, not code
            if re.split("[/:]", label)[1] != mine:
                yield Violation(path, number, f"service {mine} depends on another service: //{label}")


def libraries_keep_their_levels(tree):
    reported = set()
    for path in tree.files:
        name = library(path)
        if name and level_of(name) is None and name not in reported:
            reported.add(name)
            yield Violation(path, 1, f"libs/{name} has no level: add it to LEVELS in tests/repo/check.py")
    for path, number, _, target in tree.includes("libs/"):
        mine, theirs = level_of(library(path)), level_of(library(target))
        if mine is not None and theirs is not None and theirs > mine:
            yield Violation(path, number, f"libs/{library(path)} lies below libs/{library(target)}")


def libraries_have_no_circle(tree):
    edges = collections.defaultdict(dict)
    for path, number, _, target in tree.includes("libs/"):
        source, to = str(pathlib.PurePath(path).parent), str(pathlib.PurePath(target).parent)
        is_test = pathlib.PurePath(path).stem.endswith("_test")
        if library(target) and source != to and not is_test:
            edges[source].setdefault(to, (path, number))
    done = set()

    def walk(node, trail):
        if node in trail:
            circle = trail[trail.index(node):] + [node]
            path, number = edges[circle[-2]][node]
            yield Violation(path, number, "circle: " + " -> ".join(circle))
        elif node not in done:
            for to in sorted(edges.get(node, {})):
                yield from walk(to, trail + [node])
            done.add(node)

    for node in sorted(edges):
        yield from walk(node, [])


def names_say_something(tree):
    for path in tree.files:
        pure = pathlib.PurePath(path)
        if not path.startswith(("libs/", "services/", "tools/", "protos/")):
            continue
        words = [part.split("_")[-1] for part in pure.parent.parts]
        for depth, word in enumerate(words, 1):
            if word in EMPTY_NAMES and "/".join(pure.parts[:depth]) not in NAME_EXCEPTIONS:
                yield Violation(path, 1, f"directory name ends in '{word}'")
        if pure.suffix in CODE + (".proto", ".py", ".bzl"):
            word = re.sub(r"_test$", "", pure.stem).split("_")[-1]
            if word in EMPTY_NAMES:
                yield Violation(path, 1, f"file name ends in '{word}'")
    endings = tuple(word.capitalize() for word in EMPTY_NAMES)
    for path, number, line in tree.lines("", CODE):
        found = CLASS.match(line)
        if found and found.group(1).endswith(endings):
            yield Violation(path, number, f"class name {found.group(1)} says nothing at its end")


def services_get_time_and_environment_from_main(tree):
    for path, number, line in tree.lines("services/", CODE):
        found = re.search(r"\bgetenv\b|\babsl::Now\b", line.split("//")[0])
        if found and pathlib.PurePath(path).name != "main.cc":
            yield Violation(path, number, f"{found.group(0)} only in main.cc; take it through the constructor")


def grpc_stays_in_adaptors(tree):
    for path, number, _, target in tree.includes():
        if target.startswith(("grpc/", "grpcpp/")) or target.endswith(".grpc.pb.h"):
            if not GRPC_PLACES.match(path):
                yield Violation(path, number, f"{target} belongs in libs/rpc, rpc/, *_client, *_server or main.cc")


def no_tabs(tree):
    for path, number, line in tree.lines():
        if "\t" in line:
            yield Violation(path, number, "tab")


def no_machine_paths(tree):
    for path, number, line in tree.lines():
        found = MACHINE_PATHS.search(line)
        if found:
            yield Violation(path, number, f"path of one machine: {found.group(0)}")


def open_ends_have_an_issue(tree):
    for path, number, line in tree.lines("", SOURCE):
        found = TO_DO.search(line)
        if found and not path.startswith("tests/repo/"):
            yield Violation(path, number, f"{found.group(1)} without an issue number, as in (#12)")


RULES = [
    libraries_know_no_service,
    services_know_only_protos_of_others,
    libraries_keep_their_levels,
    libraries_have_no_circle,
    names_say_something,
    services_get_time_and_environment_from_main,
    grpc_stays_in_adaptors,
    no_tabs,
    no_machine_paths,
    open_ends_have_an_issue,
]


def main():
    root = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=pathlib.Path(__file__).parent,
                          check=True, capture_output=True, text=True).stdout.strip()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True)
    tree = Tree(root, filter(None, listed.stdout.split("\0")))
    failed = 0
    for rule in RULES:
        violations = list(rule(tree))
        failed += bool(violations)
        for violation in violations:
            print(f"{violation.file}:{violation.line}: {violation.message}")
    print(f"{len(RULES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""Writes what `darse help` says about every verb into docs/guide/cli.md, below "## Verbs".

usage: write_guide.py DARSE GUIDE [--check]

With --check nothing is written; exit code 1 if the guide says something else than the program.
"""

import re
import subprocess
import sys

HEADING = "## Verbs\n"


def told(darse, *words):
    return subprocess.run([darse, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def section(darse, verb):
    first, rest = told(darse, "help", *verb.split()).split("\n", 1)
    summary = first.split(": ", 1)[1]
    return f"### darse {verb}\n\n{summary[0].upper()}{summary[1:]}.\n\n```\n{rest.strip()}\n```\n"


def main():
    darse, guide = sys.argv[1:3]
    verbs = re.findall(r"^  ([a-z]+(?: [a-z]+)?)  +\S", told(darse, "help"), re.MULTILINE)
    with open(guide, encoding="utf-8") as file:
        before = file.read()
    intro = before.split(HEADING)[0]
    after = intro + HEADING + "\n" + "\n".join(section(darse, verb) for verb in verbs)
    if "--check" in sys.argv:
        if before == after:
            return 0
        print(f"{guide} differs from what darse says: run tools/darse/write_guide.py")
        return 1
    with open(guide, "w", encoding="utf-8") as file:
        file.write(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())

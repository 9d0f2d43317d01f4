"""The part of tools/quickstart that starts and ends the machine's one instance: `quickstart.py up|down`."""

import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from instance.build import build  # noqa: E402
from instance.instance import process_start_time, read_pid_file, tear_down  # noqa: E402
from instance.supervise import default_instance  # noqa: E402

ROOT = os.environ["DARSE_ROOT"]
RUN = os.environ["DARSE_RUN"]
# Not below RUN, which ends with the instance.
PID_FILE = RUN.rstrip("/") + "-supervisor.pid"


def up():
    bin_dir = build(quiet=False)
    base = ROOT
    instance = default_instance(bin_dir, base, ROOT, RUN)
    if read_pid_file(PID_FILE) is None:
        if any(read_pid_file(os.path.join(RUN, name + ".pid")) for name in ("runtime", "scheduler")):
            sys.exit(f"Darse runs in {RUN} already, not started by quickstart: stop it first, or set DARSE_RUN and DARSE_ROOT")
        os.makedirs(os.path.join(base, "log"), exist_ok=True)
        subprocess.Popen(
            [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "supervise.py"),
             bin_dir, base, ROOT, RUN, PID_FILE],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        instance.wait_ready(timeout=30)
    except TimeoutError as error:
        sys.exit(f"tools/quickstart: {error}")


def down():
    pid = read_pid_file(PID_FILE)
    if pid is not None:
        start = process_start_time(pid)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while process_start_time(pid) == start and time.monotonic() < deadline:
            time.sleep(0.05)
    tear_down(default_instance("", ROOT, ROOT, RUN).environment)


if __name__ == "__main__":
    {"up": up, "down": down}[sys.argv[1]]()

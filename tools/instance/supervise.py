"""Keeps the services of one instance running in the background, where no systemd does.

  python3 supervise.py BIN_DIR BASE ROOT RUN PID_FILE

Ends them and itself on SIGTERM.
"""

import os
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from instance.instance import Instance, process_start_time  # noqa: E402


def default_instance(bin_dir, base, root, run):
    """The one instance of a machine: the names that Darse has by default."""
    return Instance(bin_dir, base, "drs", "10.89.0.0/16", metrics_http="127.0.0.1:9323", root=root, run=run,
                    nft_table="darse", cgroup_parent="darse")


def main():
    bin_dir, base, root, run, pid_file = sys.argv[1:]
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    instance = default_instance(bin_dir, base, root, run)
    instance.start()
    with open(pid_file, "w", encoding="utf-8") as out:
        out.write(f"{os.getpid()} {process_start_time(os.getpid())}\n")
    while not ended.wait(3600):
        pass
    instance.stop_services()
    os.unlink(pid_file)


if __name__ == "__main__":
    main()

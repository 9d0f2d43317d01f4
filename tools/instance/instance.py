"""A private Darse: own root and run directory, bridges, subnets, nft table and cgroups.

tools/dev, tools/quickstart and the integration tests start and end Darse with it. It does what systemd does on a
real host: it starts the services, starts one again that died, and ends them.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

SERVICES = ["runtime", "builder", "scheduler", "metrics"]
CGROUP_MOUNT = "/sys/fs/cgroup"
# Where an instance notes which /16 it has, so that two never take the same.
POOLS = "/run/darse-pools"


def process_start_time(pid):
    """Clock ticks since boot at which `pid` began, or None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return int(stat.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def _used_subnets():
    routes = subprocess.run(["ip", "-4", "route"], stdout=subprocess.PIPE, text=True, check=False).stdout
    return {line.split()[0] for line in routes.splitlines() if line}


def claim_pool():
    """Takes a free 10.x.0.0/16 and returns (x, file that holds the claim)."""
    os.makedirs(POOLS, exist_ok=True)
    routed = _used_subnets()
    candidates = list(range(100, 240))
    random.shuffle(candidates)
    for x in candidates:
        if any(subnet.startswith(f"10.{x}.") for subnet in routed):
            continue
        claim = os.path.join(POOLS, str(x))
        try:
            with open(claim, "x", encoding="utf-8") as out:
                out.write(f"{os.getpid()} {process_start_time(os.getpid())}\n")
            return x, claim
        except FileExistsError:
            try:
                with open(claim, encoding="utf-8") as held:
                    pid, start = held.read().split()
                if str(process_start_time(int(pid))) != start:
                    os.unlink(claim)
            except (OSError, ValueError):
                pass
    raise RuntimeError("no free 10.x.0.0/16 for a private instance; see " + POOLS)


class Instance:
    """One Darse. `base` holds its root and run directories; everything else is named after `tag`."""

    def __init__(self, bin_dir, base, tag, pool, metrics_http="127.0.0.1:0", root=None, run=None, nft_table=None,
                 cgroup_parent=None):
        self.bin_dir = bin_dir
        self.base = base
        self.tag = tag
        self.root = root or os.path.join(base, "root")
        self.run = run or os.path.join(base, "run")
        self.environment = {
            "DARSE_ROOT": self.root,
            "DARSE_RUN": self.run,
            "DARSE_CONFIG": "/dev/null",
            "DARSE_NETWORK_BRIDGE_PREFIX": tag,
            "DARSE_NETWORK_POOL": pool,
            "DARSE_NETWORK_NFT_TABLE": nft_table or "darse_" + tag,
            "DARSE_CGROUP_PARENT": cgroup_parent or "darse-" + tag,
            "DARSE_METRICS_HTTP": metrics_http,
        }
        self._claim = None
        self._processes = {}
        self._stopping = threading.Event()
        self._held_down = set()
        self._lock = threading.Lock()
        self._supervisor = None

    @classmethod
    def private(cls, bin_dir, base):
        """An instance that meets no other on this machine."""
        x, claim = claim_pool()
        tag = "d%03d" % x
        made = cls(bin_dir, base, tag, f"10.{x}.0.0/16")
        made._claim = claim
        return made

    def env(self):
        merged = dict(os.environ)
        merged.update(self.environment)
        merged["PATH"] = self.bin_dir + ":" + merged.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        return merged

    def log_path(self, service):
        return os.path.join(self.base, "log", service + ".log")

    def socket_path(self, service):
        return os.path.join(self.run, service + ".sock")

    def pid(self, service):
        with self._lock:
            process = self._processes.get(service)
        return process.pid if process and process.poll() is None else None

    def start(self, services=SERVICES):
        for path in (self.root, self.run, os.path.join(self.base, "log")):
            os.makedirs(path, exist_ok=True)
        for service in services:
            self._spawn(service)
        if self._supervisor is None:
            self._supervisor = threading.Thread(target=self._supervise, daemon=True)
            self._supervisor.start()

    def _spawn(self, service):
        with open(self.log_path(service), "ab") as log:
            process = subprocess.Popen(
                [os.path.join(self.bin_dir, "darse-" + service)],
                env=self.env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        with self._lock:
            self._processes[service] = process

    def _supervise(self):
        while not self._stopping.wait(0.2):
            with self._lock:
                dead = [name for name, process in self._processes.items()
                        if process.poll() is not None and name not in self._held_down]
            for service in dead:
                if not self._stopping.is_set():
                    self._spawn(service)

    def kill(self, service, sig=signal.SIGKILL, hold=False):
        """Sends a signal; with `hold`, the supervisor leaves the service down until release()."""
        with self._lock:
            if hold:
                self._held_down.add(service)
            process = self._processes[service]
        process.send_signal(sig)
        if sig == signal.SIGKILL:
            process.wait()

    def release(self, service):
        with self._lock:
            self._held_down.discard(service)

    def wait_ready(self, services=SERVICES, timeout=20):
        """Waits until every named service answers its health check; says which did not."""
        deadline = time.monotonic() + timeout
        missing = list(services)
        while time.monotonic() < deadline:
            answer = subprocess.run([os.path.join(self.bin_dir, "darse"), "status", "--format", "json"],
                                    env=self.env(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
            try:
                up = {row["name"] for row in json.loads(answer.stdout)["services"] if row["up"]}
                missing = [name for name in services if name not in up]
            except (ValueError, KeyError, TypeError):
                pass
            if not missing:
                return
            time.sleep(0.05)
        raise TimeoutError("not ready after %d s: %s; see %s" % (timeout, ", ".join(missing), self.log_path(missing[0])))

    def stop_services(self):
        self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.join()
            self._supervisor = None
        with self._lock:
            processes = list(self._processes.values())
            self._processes = {}
        for process in reversed(processes):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        deadline = time.monotonic() + 5
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._stopping.clear()

    def down(self):
        """Ends the services and everything they started. Data stays; see remove()."""
        self.stop_services()
        tear_down(self.environment)
        if self._claim:
            try:
                os.unlink(self._claim)
            except FileNotFoundError:
                pass
            self._claim = None

    def remove(self):
        self.down()
        shutil.rmtree(self.base, ignore_errors=True)


def tear_down(environment):
    """Ends every process, mount, link, nft table and cgroup of an instance, whether its services live or not."""
    run = environment["DARSE_RUN"]
    parent = environment["DARSE_CGROUP_PARENT"]
    prefix = environment["DARSE_NETWORK_BRIDGE_PREFIX"]
    for service in SERVICES:
        _end_recorded(os.path.join(run, service + ".pid"))
    _end_recorded(os.path.join(run, "dns.pid"))
    _end_recorded(os.path.join(run, "dns", "dns.pid"))
    containers = os.path.join(run, "containers")
    if os.path.isdir(containers):
        for container in os.listdir(containers):
            # A shim would start a container with a restart policy again: it goes first.
            _end_recorded(os.path.join(containers, container, "shim.pid"))
    _end_by_environment(run)
    _remove_cgroups(parent)
    _unmount_below(run)
    _unmount_below(environment["DARSE_ROOT"])
    _delete_links(prefix)
    subprocess.run(["nft", "delete", "table", "inet", environment["DARSE_NETWORK_NFT_TABLE"]],
                   stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["nft", "delete", "table", "ip", environment["DARSE_NETWORK_NFT_TABLE"]],
                   stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(run, ignore_errors=True)


def _end(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + 5
    while process_start_time(pid) is not None and time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.01)


def read_pid_file(path):
    """The pid in a file of "pid start-time", or None if that process is gone."""
    try:
        with open(path, encoding="utf-8") as record:
            words = record.read().split()
        pid = int(words[0])
    except (OSError, ValueError, IndexError):
        return None
    start = process_start_time(pid)
    if start is None or (len(words) > 1 and str(start) != words[1]):
        return None
    return pid


def _end_recorded(path):
    """Ends the process a pid file names ("pid start-time"), unless that pid is another process's by now."""
    pid = read_pid_file(path)
    if pid is not None:
        _end(pid)


def _end_by_environment(run):
    """Ends Darse's own helpers (shims, resolver, unpackers) that work for this run directory."""
    wanted = run.encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as cmdline:
                words = cmdline.read().split(b"\0")
        except OSError:
            continue
        if os.path.basename(words[0]) in (b"darse-shim", b"darse-dns") and any(
                word == wanted or wanted + b"/" in word for word in words[1:]):
            _end(int(entry))


def _cgroup_roots(parent):
    roots = [os.path.join(CGROUP_MOUNT, parent)]
    for controller in os.listdir(CGROUP_MOUNT) if os.path.isdir(CGROUP_MOUNT) else []:
        roots.append(os.path.join(CGROUP_MOUNT, controller, parent))
    return [root for root in roots if os.path.isdir(root)]


def _remove_cgroups(parent):
    deadline = time.monotonic() + 10
    while True:
        roots = _cgroup_roots(parent)
        if not roots or time.monotonic() > deadline:
            return
        for root in roots:
            for path, _, files in os.walk(root, topdown=False):
                if "freezer.state" in files:
                    _write(os.path.join(path, "freezer.state"), "THAWED")
                if "cgroup.freeze" in files:
                    _write(os.path.join(path, "cgroup.freeze"), "0")
                try:
                    with open(os.path.join(path, "cgroup.procs"), encoding="utf-8") as procs:
                        pids = [int(line) for line in procs if line.strip() and line.strip() != "0"]
                except OSError:
                    pids = []
                for pid in pids:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                try:
                    os.rmdir(path)
                except OSError:
                    pass
        time.sleep(0.02)


def _write(path, text):
    try:
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
    except OSError:
        pass


def _unmount_below(directory):
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        below = [line.split()[1] for line in mounts if line.split()[1].startswith(directory + "/")]
    for path in sorted(below, key=len, reverse=True):
        subprocess.run(["umount", "-l", path], stderr=subprocess.DEVNULL, check=False)


def _delete_links(prefix):
    links = subprocess.run(["ip", "-o", "link"], stdout=subprocess.PIPE, text=True, check=False).stdout
    for line in links.splitlines():
        name = line.split(": ")[1].split("@")[0]
        if name.startswith(prefix):
            subprocess.run(["ip", "link", "delete", name], stderr=subprocess.DEVNULL, check=False)

"""Every field of linux.resources, what it becomes in each mode, and the bundles that ask for it.

A case is (name, linux.resources, where, content): `content` is a line of the file `where` of the container's cgroup, or,
without a file, a part of the refusal.
"""

import json
import os
import subprocess

MB = 1 << 20
LOOP = {"major": 7, "minor": 0}


THROTTLES = {name: {"blockIO": {f"throttle{name}Device": [LOOP | {"rate": MB}]}}
             for name in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")}

V2 = [
    ("memory.limit", {"memory": {"limit": 64 * MB}}, "memory.max", "67108864"),
    ("memory.reservation", {"memory": {"reservation": 32 * MB}}, "memory.low", "33554432"),
    ("memory.swap", {"memory": {"limit": 64 * MB, "swap": 80 * MB}}, "memory.swap.max", "16777216"),
    ("memory.swappiness", {"memory": {"swappiness": 10}}, None, "swappiness"),
    ("memory.disableOOMKiller", {"memory": {"disableOOMKiller": True}}, None, "disableOOMKiller"),
    ("cpu.shares", {"cpu": {"shares": 2}}, "cpu.weight", "1"),
    ("cpu.quota", {"cpu": {"quota": 50000, "period": 200000}}, "cpu.max", "50000 200000"),
    ("cpu.burst", {"cpu": {"quota": 50000, "burst": 10000}}, "cpu.max.burst", "10000"),
    ("cpu.idle", {"cpu": {"idle": 1}}, "cpu.idle", "1"),
    ("cpu.realtimeRuntime", {"cpu": {"realtimeRuntime": 1000}}, None, "realtime"),
    ("cpu.cpus", {"cpu": {"cpus": "1"}}, "cpuset.cpus", "1"),
    ("cpu.mems", {"cpu": {"mems": "0"}}, "cpuset.mems", "0"),
    ("pids.limit", {"pids": {"limit": 17}}, "pids.max", "17"),
    ("blockIO.weight", {"blockIO": {"weight": 500}}, "io.bfq.weight", "default 500"),
    ("blockIO.leafWeight", {"blockIO": {"leafWeight": 500}}, None, "leaf"),
    ("blockIO.weightDevice", {"blockIO": {"weightDevice": [LOOP | {"weight": 500}]}}, "io.bfq.weight", "7:0 500"),
    ("blockIO.throttleReadBpsDevice", THROTTLES["ReadBps"], "io.max", "7:0 rbps=1048576 wbps=max riops=max wiops=max"),
    ("blockIO.throttleWriteBpsDevice", THROTTLES["WriteBps"], "io.max", "7:0 rbps=max wbps=1048576 riops=max wiops=max"),
    ("blockIO.throttleReadIOPSDevice", THROTTLES["ReadIOPS"], "io.max", "7:0 rbps=max wbps=max riops=1048576 wiops=max"),
    ("blockIO.throttleWriteIOPSDevice", THROTTLES["WriteIOPS"], "io.max", "7:0 rbps=max wbps=max riops=max wiops=1048576"),
    ("hugepageLimits", {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MB}]}, "hugetlb.2MB.max", "4194304"),
    ("network.classID", {"network": {"classID": 0x100001}}, None, "classID"),
    ("network.priorities", {"network": {"priorities": [{"name": "lo", "priority": 5}]}}, None, "priorities"),
    ("rdma", {"rdma": {"none0": {"hcaHandles": 3}}}, None, "rdma"),
    ("unified", {"unified": {"memory.high": "50331648"}}, "memory.high", "50331648"),
]

HYBRID = [
    ("memory.limit", {"memory": {"limit": 64 * MB}}, "memory/memory.limit_in_bytes", "67108864"),
    ("memory.reservation", {"memory": {"reservation": 32 * MB}}, "memory/memory.soft_limit_in_bytes", "33554432"),
    ("memory.swap", {"memory": {"limit": 64 * MB, "swap": 80 * MB}}, "memory/memory.memsw.limit_in_bytes", "83886080"),
    ("memory.swappiness", {"memory": {"swappiness": 10}}, "memory/memory.swappiness", "10"),
    ("memory.disableOOMKiller", {"memory": {"disableOOMKiller": True}}, "memory/memory.oom_control", "oom_kill_disable 1"),
    ("cpu.shares", {"cpu": {"shares": 2}}, "cpu/cpu.shares", "2"),
    ("cpu.quota", {"cpu": {"quota": 50000, "period": 200000}}, "cpu/cpu.cfs_quota_us", "50000"),
    ("cpu.period", {"cpu": {"quota": 50000, "period": 200000}}, "cpu/cpu.cfs_period_us", "200000"),
    ("cpu.burst", {"cpu": {"quota": 50000, "burst": 10000}}, "cpu/cpu.cfs_burst_us", "10000"),
    ("cpu.idle", {"cpu": {"idle": 1}}, "cpu/cpu.idle", "1"),
    ("cpu.realtimeRuntime", {"cpu": {"realtimeRuntime": 1000}}, None, "rt_runtime"),
    ("cpu.cpus", {"cpu": {"cpus": "1"}}, "cpuset/cpuset.cpus", "1"),
    ("cpu.mems", {"cpu": {"mems": "0"}}, "cpuset/cpuset.mems", "0"),
    ("pids.limit", {"pids": {"limit": 17}}, "pids/pids.max", "17"),
    ("blockIO.weight", {"blockIO": {"weight": 500}}, "blkio/blkio.bfq.weight", "500"),
    ("blockIO.leafWeight", {"blockIO": {"leafWeight": 500}}, None, "leaf"),
    ("blockIO.weightDevice", {"blockIO": {"weightDevice": [LOOP | {"weight": 500}]}}, "blkio/blkio.bfq.weight_device", "7:0 500"),
    ("blockIO.throttleReadBpsDevice", THROTTLES["ReadBps"], "blkio/blkio.throttle.read_bps_device", "7:0 1048576"),
    ("blockIO.throttleWriteBpsDevice", THROTTLES["WriteBps"], "blkio/blkio.throttle.write_bps_device", "7:0 1048576"),
    ("blockIO.throttleReadIOPSDevice", THROTTLES["ReadIOPS"], "blkio/blkio.throttle.read_iops_device", "7:0 1048576"),
    ("blockIO.throttleWriteIOPSDevice", THROTTLES["WriteIOPS"], "blkio/blkio.throttle.write_iops_device", "7:0 1048576"),
    ("hugepageLimits", {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MB}]}, "hugetlb/hugetlb.2MB.limit_in_bytes", "4194304"),
    ("network.classID", {"network": {"classID": 0x100001}}, "net_cls/net_cls.classid", "1048577"),
    ("network.priorities", {"network": {"priorities": [{"name": "lo", "priority": 5}]}}, "net_prio/net_prio.ifpriomap", "lo 5"),
    ("rdma", {"rdma": {"none0": {"hcaHandles": 3}}}, None, "rdma"),
    ("unified", {"unified": {"memory.high": "50331648"}}, None, "unified"),
]

CASES = {"v2": V2, "hybrid": HYBRID}


def bundles(directory, oci, mode):
    """{path in the machine: path here} of a config.json for each case."""
    subprocess.run([oci, "spec"], cwd=directory, check=True)
    path = os.path.join(directory, "config.json")
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    spec["process"] |= {"terminal": False, "args": ["sleep", "1000"]}
    spec["root"] = {"path": "/bundle/rootfs"}
    files = {}
    for name, resources, _, _ in CASES[mode]:
        files[f"/resources/{name}/config.json"] = os.path.join(directory, name)
        spec["linux"]["resources"] = resources
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            json.dump(spec, file)
    return files


def script(mode):
    """Sections resource_<name>, after /bundle/rootfs is there."""
    lines = []
    for name, _, where, _ in CASES[mode]:
        controller, slash, file = (where or "").rpartition("/")
        path = f"/sys/fs/cgroup/{controller}{slash}darse/one/{file}"
        lines.append(f"""echo "=== resource_{name}"
darse-oci run -d -b /resources/{name} one < /dev/null > /tmp/out 2>&1; code=$?; cat /tmp/out
[ $code = 0 ] && {{ {f"cat {path}" if where else "true"}; darse-oci delete -f one; }}
echo "=== exit $code" """)
    return "\n".join(lines) + "\n"

"""What the metrics service sees, and how it is shown."""

import json
import urllib.request

from darse_testing import eventually


def status(darse):
    return json.loads(darse("status", "--format", "json"))


def test_a_busy_container_shows_in_top_and_stats(darse):
    darse("run", "-d", "--name", "busy", "-m", "64m", "busybox:1", "sh", "-c", "while :; do :; done")
    eventually(lambda: "busy" in darse("top", "--once"))

    def cpu():
        rows = [json.loads(line) for line in darse("stats", "--no-stream", "--format", "json").splitlines()]
        return next(float(row["CPUPerc"].rstrip("%")) for row in rows if row["Name"] == "busy")
    eventually(lambda: cpu() > 20)
    top = darse("top", "--once")
    assert "cpu" in top.lower() and "load" in top.lower()


def test_history_is_kept_and_survives_a_restart(darse):
    darse("run", "-d", "--name", "old", "busybox:1", "sleep", "600")
    eventually(lambda: darse.run("metrics", "old:memory_working_set_bytes", "--since", "1m").returncode == 0)
    darse.instance.kill("metrics")
    darse.instance.wait_ready()
    eventually(lambda: darse.run("metrics", "host:cpu_percent", "--since", "5m").stdout.strip() != "")


def test_prometheus_text_is_served(darse):
    darse("run", "-d", "--name", "prom", "busybox:1", "sleep", "600")
    row = next(row for row in status(darse)["services"] if row["name"] == "metrics")
    address = row["http_address"]

    def text():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            return answer.read().decode()
    eventually(lambda: 'name="prom"' in text())
    for line in text().splitlines():
        assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2

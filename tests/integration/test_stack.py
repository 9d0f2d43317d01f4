"""`darse up` and what follows, with small compose files."""


import pytest

from darse_testing import eventually, free_port, http

COMPOSE = """
name: shop
services:
  db:
    image: busybox:1
    command: ["sh", "-c", "sleep 0.3; touch /tmp/ready; exec sleep 600"]
    healthcheck:
      test: ["CMD", "test", "-f", "/tmp/ready"]
      interval: 200ms
    volumes: ["data:/data"]
    stop_grace_period: 0s
  seed:
    image: busybox:1
    command: sh -c 'echo seeded > /data/seed'
    volumes: ["data:/data"]
    depends_on:
      db: {condition: service_healthy}
  web:
    image: busybox:1
    command: ["sh", "-c", "mkdir /www; echo $$GREETING > /www/index.html; exec httpd -f -p 80 -h /www"]
    environment:
      GREETING: ${GREETING:-hello}
    ports: ["${PORT:?set PORT}:80"]
    depends_on:
      seed: {condition: service_completed_successfully}
    stop_grace_period: 0s
volumes:
  data:
"""


@pytest.fixture
def shop(darse, tmp_path):
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / ".env").write_text(f"PORT={free_port()}\n")
    yield tmp_path
    darse.run("down", "-v", cwd=tmp_path)


def port(shop):
    return int((shop / ".env").read_text().split("=")[1])


def test_up_follows_dependencies_and_answers(darse, shop):
    darse("up", cwd=shop)
    eventually(lambda: http(f"http://127.0.0.1:{port(shop)}/") == (200, "hello\n"))
    started = {name: darse.inspect(f"shop-{name}-1")["State"]["StartedAt"] for name in ("db", "seed", "web")}
    assert started["db"] < started["seed"] < started["web"]
    assert darse.inspect("shop-seed-1")["State"]["ExitCode"] == 0
    assert darse("exec", "shop-web-1", "wget", "-qO-", "http://web/") == "hello"


def test_second_up_does_nothing_and_says_so(darse, shop):
    darse("up", cwd=shop)
    before = [darse.inspect(f"shop-{name}-1")["Id"] for name in ("db", "web")]
    out = darse.run("up", cwd=shop)
    assert out.returncode == 0 and "nothing to do" in (out.stdout + out.stderr).lower()
    assert [darse.inspect(f"shop-{name}-1")["Id"] for name in ("db", "web")] == before


def test_a_change_recreates_only_what_it_touches_and_says_why(darse, shop):
    darse("up", cwd=shop)
    db, web = (darse.inspect(f"shop-{name}-1")["Id"] for name in ("db", "web"))
    plan = darse.run("plan", cwd=shop, env={"GREETING": "bonjour"})
    assert "GREETING" in plan.stdout and "web" in plan.stdout
    done = darse.run("up", cwd=shop, env={"GREETING": "bonjour"})
    assert "GREETING" in done.stdout + done.stderr
    assert darse.inspect("shop-db-1")["Id"] == db
    assert darse.inspect("shop-web-1")["Id"] != web
    eventually(lambda: http(f"http://127.0.0.1:{port(shop)}/") == (200, "bonjour\n"))


def test_down_removes_everything_but_volumes(darse, shop):
    darse("up", cwd=shop)
    darse("down", cwd=shop)
    assert darse("ps", "-aq") == ""
    assert "shop_default" not in darse("network", "ls", "--format", "{{.Name}}").split()
    assert "shop_data" in darse("volume", "ls", "-q").split()
    darse("up", cwd=shop)
    darse("down", "-v", cwd=shop)
    assert "shop_data" not in darse("volume", "ls", "-q").split()


def test_two_environments_run_side_by_side(darse, shop, tmp_path):
    darse("up", cwd=shop)
    other = tmp_path / "other.env"
    other.write_text(f"PORT={free_port()}\nGREETING=other\n")
    darse("up", "-p", "shop-test", "--env-file", str(other), cwd=shop)
    second = int(other.read_text().split()[0].split("=")[1])
    eventually(lambda: http(f"http://127.0.0.1:{second}/") == (200, "other\n"))
    assert http(f"http://127.0.0.1:{port(shop)}/") == (200, "hello\n")
    darse("down", "-v", "-p", "shop-test", "--env-file", str(other), cwd=shop)
    assert http(f"http://127.0.0.1:{port(shop)}/") == (200, "hello\n")


def test_logs_of_a_stack_name_the_service(darse, shop):
    (shop / "compose.yaml").write_text("name: shop\nservices:\n  one:\n    image: busybox:1\n"
                                       "    command: sh -c 'echo from-one; sleep 600'\n    stop_grace_period: 0s\n")
    darse("up", cwd=shop)
    eventually(lambda: "from-one" in darse("logs", cwd=shop))
    assert "one" in darse("logs", cwd=shop).split("from-one")[0]
    assert darse("logs", "one", cwd=shop).endswith("from-one")


def test_restart_keeps_containers(darse, shop):
    darse("up", cwd=shop)
    web = darse.inspect("shop-web-1")
    darse("restart", "-t", "0", "shop-web-1")
    again = darse.inspect("shop-web-1")
    assert again["Id"] == web["Id"] and again["State"]["StartedAt"] > web["State"]["StartedAt"]


def test_an_exited_container_comes_back_with_up(darse, shop):
    darse("up", cwd=shop)
    darse("kill", "shop-web-1")
    darse.wait_state("shop-web-1", "exited")
    darse("up", cwd=shop)
    assert darse.state("shop-web-1") == "running"


def test_stack_with_a_build(darse, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nCOPY page /page\nCMD cat /page; sleep 600\n")
    (tmp_path / "page").write_text("one\n")
    (tmp_path / "compose.yaml").write_text("name: built\nservices:\n  app:\n    build: .\n    stop_grace_period: 0s\n")
    darse("up", cwd=tmp_path)
    eventually(lambda: darse("logs", "built-app-1") == "one")
    first = darse.inspect("built-app-1")["Id"]
    darse("up", cwd=tmp_path)
    assert darse.inspect("built-app-1")["Id"] == first
    (tmp_path / "page").write_text("two\n")
    darse("up", "--build", cwd=tmp_path)
    eventually(lambda: darse("logs", "built-app-1") == "two")
    darse("down", cwd=tmp_path)


@pytest.mark.parametrize("text,says", [
    ("services:\n  web:\n    image: busybox:1\n    imagee: x\n", ["compose.yaml:4", "imagee"]),
    ("services:\n  web:\n    image: [\n", ["compose.yaml:"]),
    ("services:\n  web:\n    image: busybox:1\n    depends_on: [nobody]\n", ["nobody"]),
    ("services:\n  a:\n    image: busybox:1\n    depends_on: [b]\n  b:\n    image: busybox:1\n    depends_on: [a]\n", ["a", "b"]),
    ("services:\n  web:\n    image: ${NOPE:?set NOPE first}\n", ["compose.yaml:3", "set NOPE first"]),
    ("services:\n  web:\n    image: busybox:1\n    ports: ['99999:80']\n", ["compose.yaml:4", "99999"]),
])
def test_a_broken_compose_file_is_named_with_its_line(darse, tmp_path, text, says):
    (tmp_path / "compose.yaml").write_text(text)
    darse.fails("up", "-p", "broken", code=1, says=says, cwd=tmp_path)
    assert darse("ps", "-aq") == ""


def test_an_unknown_image_in_a_stack_is_said(darse, tmp_path):
    (tmp_path / "compose.yaml").write_text("name: bad\nservices:\n  web:\n    image: nosuch:1\n")
    done = darse.run("up", "--wait-timeout", "20s", cwd=tmp_path)
    assert done.returncode == 1 and "nosuch:1" in done.stdout + done.stderr
    darse("down", cwd=tmp_path)

"""`darse build` on small Dockerfiles."""

import json
import signal

import pytest

from darse_testing import eventually


def build(darse, directory, *args, **kwargs):
    return darse("build", "-t", "built:1", *args, str(directory), **kwargs)


def test_instructions_end_up_in_the_image(darse, tmp_path):
    (tmp_path / "file").write_text("content\n")
    (tmp_path / "Dockerfile").write_text("""\
ARG BASE=busybox:1
FROM ${BASE} AS first
ARG WHO=world
ENV GREETING="hello $WHO"
WORKDIR /app
COPY file .
RUN echo "$GREETING" > greeting && id -u > uid
RUN ["sh", "-c", "echo exec-form > form"]

FROM busybox:1
LABEL org.example.a=1 org.example.b="two words"
COPY --from=first --chown=guest:guest /app /srv
USER guest
EXPOSE 8080/tcp
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --retries=2 CMD test -f /srv/file
ENTRYPOINT ["cat"]
CMD ["/srv/greeting", "/srv/file", "/srv/form"]
""")
    build(darse, tmp_path, "--build-arg", "WHO=you")
    assert darse("run", "--rm", "built:1").split("\n") == ["hello you", "content", "exec-form"]
    config = json.loads(darse("image", "inspect", "built:1"))[0]["Config"]
    assert config["User"] == "guest" and config["StopSignal"] == "SIGINT"
    assert config["Labels"]["org.example.b"] == "two words"
    assert "8080/tcp" in config["ExposedPorts"] and "/data" in config["Volumes"]
    assert config["Healthcheck"]["Retries"] == 2
    assert darse("run", "--rm", "--entrypoint", "stat", "built:1", "-c", "%U", "/srv/file") == "guest"


def test_the_second_build_is_cached_and_gives_the_same_image(darse, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nCOPY a /a\nRUN date > /when\n")
    (tmp_path / "a").write_text("a")
    build(darse, tmp_path)
    first = darse("run", "--rm", "built:1", "cat", "/when")
    image = json.loads(darse("image", "inspect", "built:1"))[0]["Id"]
    (tmp_path / "a").touch()
    build(darse, tmp_path)
    assert json.loads(darse("image", "inspect", "built:1"))[0]["Id"] == image
    (tmp_path / "a").write_text("b")
    build(darse, tmp_path)
    eventually(lambda: json.loads(darse("image", "inspect", "built:1"))[0]["Id"] != image)
    build(darse, tmp_path, "--no-cache")
    assert darse("run", "--rm", "built:1", "cat", "/when") >= first


def test_the_cache_survives_a_restart_of_the_builder(darse, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nRUN cat /proc/sys/kernel/random/uuid > /id\n")
    build(darse, tmp_path)
    first = darse("run", "--rm", "built:1", "cat", "/id")
    darse.instance.kill("builder")
    darse.instance.wait_ready()
    build(darse, tmp_path)
    assert darse("run", "--rm", "built:1", "cat", "/id") == first


def test_dockerignore_keeps_files_out(darse, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nCOPY . /src\n")
    (tmp_path / ".dockerignore").write_text("# secrets\n*.key\n!public.key\nsub/**/deep\n")
    for name in ("a.key", "public.key", "kept"):
        (tmp_path / name).write_text(name)
    (tmp_path / "sub" / "x").mkdir(parents=True)
    (tmp_path / "sub" / "x" / "deep").write_text("deep")
    build(darse, tmp_path)
    found = darse("run", "--rm", "built:1", "find", "/src", "-type", "f").split()
    assert sorted(found) == ["/src/.dockerignore", "/src/Dockerfile", "/src/kept", "/src/public.key"]


def test_deleting_a_file_of_a_lower_layer_hides_it(darse, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nRUN mkdir /d && touch /d/a /d/b\nRUN rm /d/a\n"
                                         "RUN rm -r /home && mkdir /home && touch /home/new\n")
    build(darse, tmp_path)
    assert darse("run", "--rm", "built:1", "ls", "/d", "/home").split() == ["/d:", "b", "/home:", "new"]


def test_a_failing_run_is_named_and_leaves_nothing(darse, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\n\nRUN echo before; exit 9\n")
    done = darse.run("build", "-t", "failed:1", str(tmp_path))
    assert done.returncode == 1 and "before" in done.stdout + done.stderr
    assert "Dockerfile:3" in done.stderr and "9" in done.stderr
    darse.fails("image", "inspect", "failed:1")
    assert darse("ps", "-aq") == ""


@pytest.mark.parametrize("text,says", [
    ("FROM busybox:1\nRUUN true\n", ["Dockerfile:2", "RUUN"]),
    ("RUN true\n", ["Dockerfile:1", "FROM"]),
    ("", ["Dockerfile"]),
    ("FROM nosuch:1\n", ["nosuch:1"]),
    ("FROM busybox:1\nCOPY nothere /x\n", ["Dockerfile:2", "nothere"]),
    ("FROM busybox:1\nCOPY ../../etc/passwd /x\n", ["Dockerfile:2"]),
    ("FROM busybox:1\nCOPY --from=nostage /a /b\n", ["Dockerfile:2", "nostage"]),
    ("FROM busybox:1\nADD https://example.org/x /x\n", ["Dockerfile:2", "ADD"]),
    ("FROM busybox:1\nRUN --mount=type=ssh true\n", ["Dockerfile:2", "ssh"]),
    ("FROM busybox:1\nENV\n", ["Dockerfile:2", "ENV"]),
])
def test_a_broken_dockerfile_is_named_with_its_line(darse, tmp_path, text, says):
    (tmp_path / "Dockerfile").write_text(text)
    darse.fails("build", "-t", "broken:1", str(tmp_path), code=1, says=says)
    darse.fails("image", "inspect", "broken:1")


def test_interrupting_a_build_leaves_nothing(darse, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nRUN echo up; sleep 60\n")
    client = darse.popen("build", "-t", "never:1", str(tmp_path))
    eventually(lambda: darse("ps", "-aq") != "")
    client.send_signal(signal.SIGINT)
    assert client.wait(15) == 130
    eventually(lambda: darse("ps", "-aq") == "")
    darse.fails("image", "inspect", "never:1")

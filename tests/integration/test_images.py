"""Archives good and bad, and what stays of them."""

import io
import json
import os
import tarfile

import pytest

from darse_testing import busybox_rootfs


def test_save_and_load_give_the_same_image(darse, tmp_path):
    archive = str(tmp_path / "saved.tar")
    before = json.loads(darse("image", "inspect", "busybox:1"))[0]["Id"]
    darse("tag", "busybox:1", "copy:2")
    darse("save", "-o", archive, "copy:2")
    darse("rmi", "copy:2")
    darse.fails("image", "inspect", "copy:2")
    darse("load", "-i", archive)
    assert json.loads(darse("image", "inspect", "copy:2"))[0]["Id"] == before
    assert darse("run", "--rm", "copy:2", "echo", "ok") == "ok"
    darse("rmi", "copy:2")


def test_an_image_in_use_is_not_deleted(darse):
    darse("tag", "busybox:1", "used:1")
    darse("run", "-d", "--name", "u", "used:1", "sleep", "600")
    darse("rmi", "used:1")
    darse("rm", "-f", "u")
    assert "busybox" in darse("images")


def disk(darse):
    """Every path below the runtime's data, but for its database and the containers' own."""
    found = set()
    top = os.path.join(darse.instance.root, "runtime")
    for directory in ("blobs", "layers", "staging", "ingest", "tmp"):
        for path, directories, files in os.walk(os.path.join(top, directory)):
            if path.count("/") < top.count("/") + 4:
                found.update(os.path.join(path, name) for name in directories + files)
    return found


def hostile(path, members):
    with tarfile.open(path, "w") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def entry(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o644
    return info


@pytest.mark.parametrize("members", [
    [(entry("../../../../../../../../var/tmp/darse-escaped"), b"x")],
    [(entry("d", tarfile.SYMTYPE, "/var/tmp"), b""), (entry("d/darse-escaped"), b"x")],
    [(entry("d", tarfile.SYMTYPE, "../../../../../../../../../var/tmp"), b""), (entry("d/darse-escaped"), b"x")],
    [(entry("a", tarfile.SYMTYPE, "/var"), b""), (entry("a/tmp/darse-escaped"), b"x")],
    [(entry("h", tarfile.LNKTYPE, "../../../../../../../../etc/hostname"), b"")],
    [(entry("h", tarfile.LNKTYPE, "/etc/hostname"), b"")],
], ids=["dotdot", "symlink", "relative-symlink", "symlink-parent", "hardlink-dotdot", "hardlink-absolute"])
def test_an_archive_does_not_reach_outside_its_root(darse, tmp_path, members):
    bad = str(tmp_path / "bad.tar")
    hostile(bad, members)
    before = disk(darse)
    done = darse.run("image", "import", bad, "hostile:1")
    assert not os.path.exists("/var/tmp/darse-escaped")
    if done.returncode == 0:
        # Harmless inside: what was written stands below the image's own root.
        darse("rmi", "hostile:1")
    else:
        assert done.returncode == 1 and "darse:" in done.stderr
        darse.fails("image", "inspect", "hostile:1")
        assert disk(darse) == before


def test_a_truncated_archive_is_refused_and_leaves_nothing(darse, tmp_path):
    whole = str(tmp_path / "whole.tar")
    darse("save", "-o", whole, "busybox:1")
    size = os.path.getsize(whole)
    before = disk(darse)
    for cut in (size // 2, size // 5, 700, 0):
        part = str(tmp_path / f"cut{cut}.tar")
        with open(whole, "rb") as source, open(part, "wb") as out:
            out.write(source.read(cut))
        darse.fails("load", "-i", part, code=1)
    rootfs = str(tmp_path / "rootfs.tar")
    busybox_rootfs(rootfs)
    with open(rootfs, "rb+") as out:
        out.truncate(os.path.getsize(rootfs) // 2)
    darse.fails("image", "import", rootfs, "cut:1", code=1)
    darse.fails("image", "inspect", "cut:1")
    assert disk(darse) == before


def test_garbage_is_refused(darse, tmp_path):
    garbage = tmp_path / "garbage"
    garbage.write_bytes(os.urandom(100_000))
    darse.fails("load", "-i", str(garbage), code=1)
    darse.fails("load", "-i", str(tmp_path / "nothere"), code=1, says="nothere")

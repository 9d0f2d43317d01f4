"""A full disk: a clear message, nothing half visible, and work goes on when there is room again."""

import os
import subprocess

import pytest

from darse_testing import Darse, busybox_rootfs, eventually


@pytest.fixture
def small():
    """An instance whose data lies on a file system of 64 MiB."""
    darse = Darse(image=False)
    darse.instance.stop_services()
    disk = os.path.join(darse.base, "disk")
    subprocess.run(["truncate", "-s", "64M", disk], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, darse.instance.root], check=True)
    darse.instance.start()
    darse.instance.wait_ready()
    yield darse
    darse.instance.down()
    subprocess.run(["umount", "-l", darse.instance.root], check=False)
    darse.close()


def test_a_full_disk_is_said_and_left_whole(small, tmp_path):
    rootfs = str(tmp_path / "rootfs.tar")
    busybox_rootfs(rootfs)
    small("image", "import", rootfs, "busybox:1")
    small("run", "-d", "--name", "lives", "busybox:1", "sleep", "600")
    fill = os.path.join(small.instance.root, "fill")
    with open(fill, "wb") as out:
        try:
            while True:
                out.write(b"\0" * 65536)
                out.flush()
        except OSError:
            pass
    done = small.run("image", "import", rootfs, "second:1")
    assert done.returncode == 1 and "space" in done.stderr, done.stderr
    assert small.state("lives") == "running"
    small.fails("image", "inspect", "second:1")
    os.unlink(fill)
    eventually(lambda: small.run("run", "--rm", "busybox:1", "echo", "ok").stdout == "ok\n")
    small("image", "import", rootfs, "second:1")

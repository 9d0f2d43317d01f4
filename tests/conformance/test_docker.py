"""Docker over darse-oci behaves as Docker over runc."""

import os
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from darse_testing import BIN, busybox_rootfs  # noqa: E402
from docker_peer import Docker  # noqa: E402
from instance.build import build  # noqa: E402
from scenarios import SCENARIOS, assert_same  # noqa: E402


@pytest.fixture(scope="module")
def docker():
    build()
    program = os.path.join(BIN, "darse-oci")
    docker = Docker(["--add-runtime", f"darse={program}"], bridge="dconf0", octet=253)
    try:
        with tempfile.NamedTemporaryFile(suffix=".tar") as tar:
            busybox_rootfs(tar.name)
            docker.run("import", tar.name, "busybox:1")
        yield docker
    finally:
        docker.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_darse_is_as_runc(docker, scenario):
    assert_same(docker, scenario)

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from darse_testing import BIN, Darse  # noqa: E402


@pytest.fixture(scope="module")
def darse():
    """An instance for all tests of one file, with the image busybox:1."""
    instance = Darse()
    yield instance
    instance.close()


@pytest.fixture(autouse=True)
def leaves_no_containers(request):
    yield
    if "darse" in request.fixturenames:
        request.getfixturevalue("darse").remove_all()


def pytest_configure():
    if not os.path.exists(os.path.join(BIN, "darse-runtime")):
        pytest.exit("the programs are not built: run tools/test, or tools/dev -- true", returncode=2)

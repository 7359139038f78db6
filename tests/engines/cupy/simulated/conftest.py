"""Tests that need the simulated GPU in their own process; see tests/gpu_simulator/README.md."""

import pytest

from kbackend import set_backend
from tests.gpu_simulator import process
from tests.gpu_simulator.activate import activate

collect_ignore_glob = [] if process.wanted() else ["test_*.py"]


@pytest.fixture(scope="session")
def simulator():
    """The simulated GPU, put under CuPy."""
    return activate()


@pytest.fixture
def gpu(simulator):
    """The CuPy engine, chosen for the test."""
    set_backend("cupy")
    return simulator


@pytest.fixture
def cp(simulator):
    """The module `cupy`."""
    import cupy

    return cupy

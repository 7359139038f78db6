"""Tests that need the simulated GPU in their own process; see tests/gpu_simulator/README.md."""

import pytest

from tests.gpu_simulator import process
from tests.gpu_simulator.activate import activate

collect_ignore_glob = [] if process.wanted() else ["test_*.py"]


@pytest.fixture(scope="session")
def simulator():
    """The simulated GPU, put under CuPy."""
    return activate()


@pytest.fixture
def cp(simulator):
    """The module `cupy`."""
    import cupy

    return cupy

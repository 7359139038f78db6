"""The tests that need the simulated GPU, a process for each file of them."""

from pathlib import Path

import pytest

from tests.gpu_simulator import ingredients, process
from tests.gpu_simulator.build import Unavailable, build

HERE = Path(__file__).parent
FILES = sorted(
    [
        *(HERE / "simulated").glob("test_*.py"),
        *(process.ROOT / "tests/engines/cupy/simulated").glob("test_*.py"),
    ]
)

SLOW = [
    path
    for path in FILES
    # What is left of it takes too long for every run.
    if "mark.slow" in path.read_text(encoding="utf-8") and path.stem != "test_conformance"
]


@pytest.fixture(scope="module")
def built():
    if process.wanted():
        pytest.skip("this process has the simulated GPU itself")
    fault = ingredients.missing()
    if fault is not None:
        pytest.skip(fault)
    try:
        build()
    except Unavailable as error:
        pytest.skip(str(error))


def run(path, marks):
    done = process.pytest_with_gpu(path, marks, seconds=1200)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem.removeprefix("test_"))
def test_on_the_simulated_gpu(path, built):
    run(path, "not slow")


@pytest.mark.slow
@pytest.mark.parametrize("path", SLOW, ids=lambda path: path.stem.removeprefix("test_"))
def test_slow_ones(path, built):
    run(path, "slow")

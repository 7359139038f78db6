"""The tests that need the simulated GPU, a process for each file of them, side by side."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.gpu_simulator import ingredients, process
from tests.gpu_simulator.build import build
from tests.gpu_simulator.ingredients import Unavailable

HERE = Path(__file__).parent
FILES = sorted(
    [
        *(HERE / "simulated").glob("test_*.py"),
        *(process.ROOT / "tests/engines/cupy/simulated").glob("test_*.py"),
    ]
)

# Others that hold on the CuPy engine, too.
LAYERS = [
    process.ROOT / "tests/layers" / name
    for name in ("test_core.py", "test_normalization.py", "test_reshaping.py")
]


def cases():
    """Files, and which of their tests."""
    for path in LAYERS:
        name = path.stem.replace("test_", "layers-")
        yield pytest.param(path, "not slow", id=name, marks=pytest.mark.slow)
    for path in FILES:
        name = path.stem.removeprefix("test_")
        yield pytest.param(path, "not slow", id=name)
        # What is left of the conformance suite takes too long even for the slow tests.
        if "mark.slow" in path.read_text(encoding="utf-8") and name != "conformance":
            yield pytest.param(path, "slow", id=f"{name}-slow", marks=pytest.mark.slow)


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
        if ingredients.required():
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def runs(built, request):
    """The runs of all cases that were chosen, as many at once as there are cores."""
    items = [item for item in request.session.items if item.path == Path(__file__)]
    chosen = [item.callspec.params for item in items if hasattr(item, "callspec")]
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    yield {
        (case["path"], case["marks"]): pool.submit(
            process.pytest_with_gpu, case["path"], case["marks"], seconds=1800
        )
        for case in chosen
    }
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("path", "marks"), list(cases()))
def test_on_the_simulated_gpu(path, marks, runs):
    done = runs[path, marks].result()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_what_is_required_is_never_left_out(monkeypatch):
    monkeypatch.setattr(ingredients, "_version", lambda package: None)
    monkeypatch.delenv("KBACKEND_GPU_SIMULATOR_REQUIRED", raising=False)
    for fault in (ingredients.missing_for_text, ingredients.missing):
        assert fault() is not None
    monkeypatch.setenv("KBACKEND_GPU_SIMULATOR_REQUIRED", "1")
    for fault in (ingredients.missing_for_text, ingredients.missing):
        with pytest.raises(Unavailable):
            fault()

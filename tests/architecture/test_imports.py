"""What `import kbackend` loads, in a process of its own."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.architecture.sources import ROOT

FORBIDDEN = {
    "PIL",
    "cupy",
    "h5py",
    "jax",
    "keras",
    "matplotlib",
    "mpi4py",
    "numba",
    "onnx",
    "pandas",
    "pydot",
    "rich",
    "scipy",
    "tensorboard",
    "tensorflow",
    "torch",
}
ENGINES = {"kbackend_numpy", "kbackend_numba", "kbackend_cupy"}


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has after running `code`, less those NumPy needs."""
    program = (
        "import json, sys\nimport numpy\nbefore = set(sys.modules)\n"
        f"{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


def top_level(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules}


def test_import_is_next_to_nothing() -> None:
    # Modules are counted, not milliseconds, so that a busy machine can't fail the test: a module of
    # pure Python costs some 0.2 ms, so twenty of them stay far below the budget of 60 ms.
    loaded = modules_after("import kbackend")
    assert len(loaded) <= 20, sorted(loaded)
    assert not top_level(loaded) & (FORBIDDEN | ENGINES)


def test_reading_the_settings_loads_no_engine() -> None:
    loaded = modules_after("import kbackend; kbackend.config.floatx(); dir(kbackend)")
    assert not top_level(loaded) & (FORBIDDEN | ENGINES)


SYMBOLIC = """
import kbackend as keras
inputs = keras.Input(shape=(8,))
x = keras.layers.Dense(4, activation="relu")(inputs)
model = keras.Model(inputs, keras.layers.Dense(2)(x))
model.get_config()
"""


def _is_built(package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


@pytest.mark.engine("numpy")
@pytest.mark.skipif(not _is_built("kbackend.models"), reason="needs kbackend.models")
def test_symbolic_model_loads_the_chosen_engine_alone() -> None:
    loaded = modules_after(SYMBOLIC)
    assert not top_level(loaded) & FORBIDDEN
    assert top_level(loaded) & ENGINES <= {"kbackend_numpy"}

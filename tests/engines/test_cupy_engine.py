"""The CuPy engine without a GPU: its kernels on a stand-in, its probe, and how it is refused."""

import importlib.metadata
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from kbackend.base.errors import EngineError
from kbackend.engine import loader
from kbackend.engine.program import Spec
from kbackend.testing import conformance_cases
from kbackend_cupy import probe as probes
from kbackend_cupy.engine import CupyEngine
from kbackend_cupy.prepare import Preparer
from tests.engines.cupy_stand_in import StandInEngine

# ----- kernels -----


@pytest.fixture(scope="module")
def engine():
    return StandInEngine()


@pytest.fixture
def registered():
    loader.register_engine("stand_in", StandInEngine)
    yield
    loader.unregister_engine("stand_in")


@pytest.mark.parametrize("case", conformance_cases("stand_in"), ids=str)
def test_conformance(case, registered):
    case()


DTYPES = ("bool", "int8", "uint8", "int32", "int64", "uint64", "float16", "bfloat16", "float32",
          "float64", "complex64", "complex128")  # fmt: skip


@pytest.mark.parametrize("mode", ["add", "mul", "max", "min", "set"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_scatter_with_repeated_places(engine, rng, dtype, mode):
    if dtype.startswith("complex") and mode in ("max", "min"):
        pytest.skip("complex numbers have no order")
    reference = loader.get_engine("numpy")
    x = rng.integers(0, 3, (5, 4, 3)).astype("int64")
    updates = rng.integers(-2 if dtype[0] not in "ub" else 0, 3, (13, 5, 3))
    indices = rng.integers(-4, 4, 13)
    args = [(x, dtype), (updates, dtype), (indices, "int64")]
    found = engine.kernels["scatter"](
        *(engine.asarray(a, d) for a, d in args), axes=(1,), mode=mode
    )
    expected = reference.kernels["scatter"](
        *(reference.asarray(a, d) for a, d in args), axes=(1,), mode=mode
    )
    assert engine.dtype_of(found) == dtype
    np.testing.assert_array_equal(engine.to_numpy(found), expected)


def test_scatter_along_several_axes(engine, rng):
    reference = loader.get_engine("numpy")
    args = [
        rng.standard_normal((4, 3, 5)).astype("float32"),
        rng.standard_normal((6, 3)).astype("float32"),
        rng.integers(-4, 4, 6),
        rng.integers(0, 5, 6),
    ]
    for mode in ("set", "mul", "max"):
        found = engine.kernels["scatter"](*map(engine.asarray, args), axes=(0, 2), mode=mode)
        expected = reference.kernels["scatter"](*args, axes=(0, 2), mode=mode)
        np.testing.assert_allclose(engine.to_numpy(found), expected, rtol=1e-6)


@pytest.mark.parametrize("index", [3, -4])
def test_index_out_of_range(engine, index):
    x = engine.asarray(np.zeros((2, 3), "float32"))
    wrong = engine.asarray(np.array([0, index]))
    with pytest.raises(IndexError, match=f"Index {index} is out of range for axis 1 with size 3"):
        engine.kernels["gather"](x, wrong, axes=(1,))
    with pytest.raises(IndexError, match="valid indices are -3 to 2"):
        engine.kernels["scatter"](
            x, engine.asarray(np.zeros((2, 2), "float32")), wrong, axes=(1,), mode="add"
        )


def test_failed_factorization_says_why(engine):
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        engine.kernels["cholesky"](engine.asarray(-np.eye(2)))


def test_select_keeps_bfloat16(engine):
    x = engine.asarray([1.0, np.inf], "bfloat16")
    out = engine.kernels["select"](engine.asarray([False, True]), -x, x)
    assert engine.dtype_of(out) == "bfloat16"
    np.testing.assert_array_equal(engine.to_numpy(out).astype("float32"), [1, -np.inf])


def test_complex_keeps_infinities_apart(engine):
    parts = np.array([1, np.inf, 2], "float32"), np.array([np.inf, 0, -0.0], "float32")
    for made in (
        engine.to_numpy(engine.kernels["complex"](*map(engine.asarray, parts))),
        loader.get_engine("numpy").kernels["complex"](*parts),
    ):
        np.testing.assert_array_equal(made.real, parts[0])
        np.testing.assert_array_equal(made.imag, parts[1])


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9])
def test_random_bits_are_those_of_every_engine(engine, width, count):
    state = np.array([7, 11], "uint64")
    found = engine.kernels["random_bits"](engine.asarray(state), shape=(count,), width=width)
    expected = loader.get_engine("numpy").kernels["random_bits"](state, shape=(count,), width=width)
    np.testing.assert_array_equal(engine.to_numpy(found), expected)


def test_what_is_beyond_the_range_of_a_dtype_is_infinite(engine):
    assert engine.to_numpy(engine.asarray([1e7, -1e7], "float16")).tolist() == [np.inf, -np.inf]


def test_complex_steps_are_left_to_the_general_kernels():
    x, y = Spec((2, 3), "complex64"), Spec((2, 2, 3), "complex64")
    prepare = Preparer(np)
    assert prepare("concatenate", (x, x), (Spec((4, 3), "complex64"),), {"axis": 0}) is None
    params = {"contract": ((0,), (0,)), "batch": ((), ())}
    assert prepare("dot", (x, x), (Spec((3, 3), "complex64"),), params) is None
    assert prepare("gather", (x, Spec((2, 2), "int32")), (y,), {"axes": (0,)}) is None


def test_float8_is_refused(engine):
    x = engine.asarray([1.0])
    for call in (
        lambda: engine.asarray([1.0], "float8_e4m3fn"),
        lambda: engine.kernels["cast"](x, dtype="float8_e5m2"),
        lambda: engine.kernels["full"](shape=(2,), value=1, dtype="float8_e5m2"),
    ):
        with pytest.raises(EngineError, match="no arrays of float8_e.*Use 'bfloat16'"):
            call()


def address(array):
    return array.__array_interface__["data"][0]


def test_arrays_move(engine):
    host = np.arange(6.0).reshape(2, 3)
    array = engine.asarray(host, "float32")
    assert engine.owns(array) and not engine.owns(host)
    assert engine.dtype_of(array) == "float32"
    assert address(engine.asarray(array, copy=False)) == address(array)
    assert address(engine.asarray(array)) != address(array)
    np.testing.assert_array_equal(engine.to_numpy(array), host)
    with pytest.raises(TypeError, match="dtype <U1"):
        engine.asarray(["a"])


def test_device_names(engine, monkeypatch):
    cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(getDeviceCount=lambda: 2), Device=lambda n: ("device", n)
    )
    monkeypatch.setattr(engine, "_cp", types.SimpleNamespace(cuda=cuda))
    assert engine.device_scope("gpu") == ("device", 0)
    assert engine.device_scope("GPU:1") == ("device", 1)
    assert engine.device_scope("cuda:1") == ("device", 1)
    for wrong in ("gpu:2", "cpu:0", "gpu:", "tpu:0"):
        with pytest.raises(EngineError, match="has the devices 'gpu:0', 'gpu:1'. Received"):
            engine.device_scope(wrong)


# ----- the probe -----


class CUDARuntimeError(RuntimeError):
    pass


def fake(version="14.2.0", driver=13000, built_for=13020, devices=1, trial=None):
    """A module `cupy` as the probe sees it."""

    def count():
        if devices is None:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return devices

    def ones(shape, dtype):
        if trial is not None:
            raise trial
        return np.ones(shape, dtype)

    runtime = types.SimpleNamespace(
        is_hip=False,
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: built_for,
        getDeviceCount=count,
        CUDARuntimeError=CUDARuntimeError,
    )
    cuda = types.SimpleNamespace(runtime=runtime)
    return types.SimpleNamespace(__version__=version, cuda=cuda, ones=ones)


@pytest.fixture
def found(monkeypatch):
    """The probe's answer for a module `cupy`, or for an error when it is imported."""
    monkeypatch.setattr(probes.importlib.util, "find_spec", lambda name: object())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def run(module, packages=("cupy-cuda13x",)):
        def load():
            if isinstance(module, Exception):
                raise module
            return module, None

        return probes.probe(load, lambda: list(packages))

    return run


def test_usable(found):
    assert found(fake()).usable


def test_not_installed(monkeypatch):
    monkeypatch.setattr(probes.importlib.util, "find_spec", lambda name: None)
    answer = probes.probe(packages=list)
    assert not answer.usable
    assert answer.reason == "CuPy is not installed."
    assert "pip install 'kbackend[cupy13x]'" in answer.mend


def test_no_driver(found):
    answer = found(fake(driver=0))
    assert "no NVIDIA driver" in answer.reason and "CUDA 13" in answer.mend


def test_driver_too_old(found):
    answer = found(fake(driver=12040))
    assert "driver is for CUDA 12.4" in answer.reason and "CuPy for CUDA 13.2" in answer.reason
    assert "pip uninstall -y cupy-cuda13x && pip install 'kbackend[cupy12x]'" in answer.mend


def test_no_device(found, monkeypatch):
    answer = found(fake(devices=None))
    assert "no CUDA device (cudaErrorNoDevice" in answer.reason and "nvidia-smi" in answer.mend
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES is '-1'" in found(fake(devices=0)).mend


def test_broken_libraries(found):
    message = (
        "\n====\nFailed to import CuPy.\n\nOriginal error:\n  ImportError: libnvrtc.so.13\n===="
    )
    answer = found(ImportError(message))
    assert "libraries don't load: ImportError: libnvrtc.so.13." in answer.reason
    assert "cupy-cuda13x[ctk]" in answer.mend
    late = found(fake(trial=RuntimeError("Failed to find shared library libcublas.so.13")))
    assert "libcublas.so.13" in late.reason and not late.usable


def test_conflicting_packages(found):
    answer = found(fake(), packages=("cupy-cuda12x", "cupy-cuda13x"))
    assert "cupy-cuda12x, cupy-cuda13x" in answer.reason
    assert "pip uninstall -y cupy-cuda12x cupy-cuda13x" in answer.mend


def test_version_too_old(found):
    answer = found(fake(version="13.6.0"))
    assert "CuPy 13.6.0 is installed; version 14 or newer is needed" in answer.reason


def test_installed_packages_are_found(monkeypatch):
    def distribution(name):
        if name not in ("cupy-cuda12x", "cupy"):
            raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(probes.importlib.metadata, "distribution", distribution)
    assert probes.installed_packages() == ["cupy", "cupy-cuda12x"]


# ----- refused, never replaced -----


def run(*args, **environment):
    return subprocess.run(
        [sys.executable, *args],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def unusable():
    answer = CupyEngine.probe()
    if answer.usable:
        pytest.skip("CuPy can run here")
    return answer


def test_configured_and_unusable_is_an_error(unusable):
    done = run("-c", "import kbackend; kbackend.ops.zeros(3)", KBACKEND="cupy")
    assert done.returncode != 0
    assert "The engine 'cupy' can't run here: " + unusable.reason in done.stderr
    assert unusable.mend in done.stderr
    assert "[environment variable KBACKEND]" in done.stderr


def test_info_tells_the_reason(unusable):
    done = run("-m", "kbackend", "info", "--json")
    assert done.returncode == 0, done.stderr
    assert unusable.reason in done.stdout and unusable.mend in done.stdout


def test_loads_without_cupy():
    code = (
        "import sys; sys.modules['cupy'] = None\n"
        "from kbackend_cupy.engine import CupyEngine\n"
        "import kbackend_cupy.table\n"
        "print(CupyEngine.probe().usable, any(m.startswith('cupyx') for m in sys.modules))"
    )
    assert run("-c", code).stdout.split() == ["False", "False"]

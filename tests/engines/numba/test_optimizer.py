"""Updates of optimizers in compiled programs against NumPy's."""

import numpy as np
import pytest

import kbackend
from kbackend.base.dtypes import numpy_dtype
from kbackend.compiler.compiled import Compiled
from kbackend.core.tensor import tensor
from kbackend.optimizers import updates
from kbackend_numba.codegen.target import host
from kbackend_numba.engine import NumbaEngine
from kbackend_numba.native import Native
from tests.engines.numba.harness import reference

BETAS = {"beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-5}
RMS = {"rho": 0.8, "momentum": 0.7, "epsilon": 1e-5}
# name, number of arrays, whether iterations are an argument, parameters
RULES = [
    ("weight_decay", 1, False, {"rate": 0.3}),
    ("sgd_update", 2, False, {}),
    ("momentum_update", 3, False, {"momentum": 0.9, "nesterov": False}),
    ("momentum_update", 3, False, {"momentum": 0.9, "nesterov": True}),
    ("adam_update", 4, True, BETAS),
    ("amsgrad_update", 5, True, BETAS),
    ("rmsprop_update", 3, False, RMS),
    ("rmsprop_update", 4, False, RMS),
    ("rmsprop_centered_update", 4, False, RMS),
    ("rmsprop_centered_update", 5, False, RMS),
]
SHAPES = [(), (0,), (3,), (17, 33), (5000,)]
# Roundings are NumPy's, but for those of the corrections, and of products added in one step.
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}
# Of a result, and of a rate that is computed before: each half a unit in the last place.
HALVES = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def arguments(rng, count, shape, dtype, counted, iterations=4):
    values = [np.asarray(np.abs(rng.normal(size=shape)) + 0.1, dtype) for _ in range(count)]
    counter = [np.array(iterations, "int32")] if counted else []
    return [*values, np.array(0.05, dtype), *counter]


def updated(name, arrays, params, native=True):
    """What a program makes of the arrays. Its steps are compiled kernels, none the whole update."""
    with kbackend.use_backend("numba"):
        step = Compiled(lambda *args: getattr(updates, name)(*args, **params), name)
        found = step(*map(tensor, arrays))
        (compiled,) = step.executables()
        for one in compiled.program.steps:
            assert one.name != name
            assert not native or isinstance(one.prepared, Native)
        return [x.numpy() for x in (found if isinstance(found, tuple) else (found,))]


def check(name, arrays, params, rtol, atol=0.0):
    wanted = reference(name, arrays, params)
    for found, want in zip(updated(name, arrays, params), wanted, strict=True):
        np.testing.assert_allclose(found, want, rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES)
def test_equals_numpys(name, count, counted, params, shape, dtype, rng):
    tolerance = TOLERANCE[dtype]
    check(name, arguments(rng, count, shape, dtype, counted), params, tolerance, tolerance)


@pytest.mark.parametrize("dtype", list(HALVES))
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES)
def test_half_precision_is_float32_that_is_rounded_at_the_end(
    name, count, counted, params, dtype, rng
):
    if not host().casts(dtype):
        pytest.skip("the processor has no casts of this dtype")
    arrays = arguments(rng, count, (17, 33), numpy_dtype(dtype), counted)
    wide = [a if a.dtype.kind == "i" else a.astype("float32") for a in arrays]
    wanted = reference(name, wide, params)
    for found, want in zip(updated(name, arrays, params), wanted, strict=True):
        assert found.dtype == numpy_dtype(dtype)
        np.testing.assert_allclose(
            found.astype("float32"), want, rtol=HALVES[dtype], atol=HALVES[dtype] / 4
        )


# Not centered: the difference of two averages that are near each other has no digits left.
@pytest.mark.parametrize("dtype", [*TOLERANCE, *HALVES])
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES[:-2])
def test_where_regions_decline(name, count, counted, params, dtype, rng, monkeypatch):
    monkeypatch.setattr(NumbaEngine, "prepare", lambda *args: None)
    arrays = arguments(rng, count, (17, 33), numpy_dtype(dtype), counted)
    wide = [a if a.dtype.kind == "i" else a.astype("float64") for a in arrays]
    wanted = reference(name, wide, params)
    # Each operation rounds.
    tolerance = TOLERANCE.get(dtype) or 16 * HALVES[dtype]
    for found, want in zip(updated(name, arrays, params, False), wanted, strict=True):
        assert found.dtype == numpy_dtype(dtype)
        np.testing.assert_allclose(found.astype("float64"), want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES)
def test_special_values(name, count, counted, params, value, rng):
    arrays = arguments(rng, count, (40,), "float32", counted)
    for place, array in enumerate(arrays[:count]):
        array[place :: 2 * count] = value
    check(name, arrays, params, 2e-6, 2e-6)


@pytest.mark.parametrize("iterations", [0, 1, 9, 1000, 123456, 2**31 - 1])
def test_corrections_at_any_step(iterations, rng):
    params = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    arrays = arguments(rng, 4, (20,), "float32", True, iterations)
    # 1 - beta ** step is small in the first steps: a rounding of the power weighs 1000 times.
    check("adam_update", arrays, params, 1e-4, 1e-6)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES[2:])
def test_faint_averages_become_zero(name, count, counted, params, dtype, rng):
    """Else they would fade until they are subnormal, and stay there and be slow."""
    arrays = arguments(rng, count, (100,), dtype, counted)
    arrays[1][:] = 0.0
    state = arrays[2:count]
    for array in state:
        array[::2] = np.finfo(dtype).tiny * 100
    wanted = reference(name, arrays, params)
    assert any((array != 0).all() for array in wanted[1:])
    p, *averages = updated(name, arrays, params)
    np.testing.assert_allclose(p, wanted[0], rtol=TOLERANCE[dtype])
    for number, (found, want) in enumerate(zip(averages, wanted[1:], strict=True), 1):
        # The greatest average so far is one of the past.
        kept = name == "amsgrad_update" and number == len(averages)
        assert (found[::2] != 0).all() if kept else (found[::2] == 0).all()
        np.testing.assert_allclose(found[1::2], want[1::2], rtol=TOLERANCE[dtype])


def test_faint_averages_count_beside_a_faint_epsilon(rng):
    params = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-30}
    arrays = arguments(rng, 4, (40,), "float32", True, 1000)
    arrays[1] *= np.float32(1e-16)
    arrays[2] *= np.float32(1e-16)
    arrays[3] *= np.float32(1e-34)
    check("adam_update", arrays, params, 2e-5)

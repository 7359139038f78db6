"""Compiled updates of optimizers against NumPy's."""

import numpy as np
import pytest

import kbackend
from kbackend.compiler.compiled import jit
from kbackend.core import lang
from kbackend.core.tensor import tensor
from kbackend.engine.program import Spec
from kbackend.optimizers.updates import sgd_update
from kbackend.state.variable import Variable
from kbackend_numba.native import Native
from kbackend_numba.table import prepare
from tests.engines.numba.harness import check, item_by_item, outcomes, reference
from tests.engines.numpy_prepared.harness import garbage, spec

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


def arguments(rng, count, shape, dtype, counted, iterations=4):
    values = [np.asarray(np.abs(rng.normal(size=shape)) + 0.1, dtype) for _ in range(count)]
    counter = [np.array(iterations, "int32")] if counted else []
    return [*values, np.array(0.05, dtype), *counter]


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES)
def test_equals_numpys(name, count, counted, params, shape, dtype, rng):
    tolerance = TOLERANCE[dtype]
    check(name, arguments(rng, count, shape, dtype, counted), params, tolerance, tolerance)


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
    for p, *averages in outcomes(name, arrays, params, wanted):
        np.testing.assert_allclose(p, wanted[0], rtol=TOLERANCE[dtype])
        for found, want in zip(averages, wanted[1:], strict=True):
            # The greatest average so far is one of the past.
            kept = name == "amsgrad_update" and found is averages[-1]
            assert (found[::2] != 0).all() if kept else (found[::2] == 0).all()
            np.testing.assert_allclose(found[1::2], want[1::2], rtol=TOLERANCE[dtype])


def test_faint_averages_count_beside_a_faint_epsilon(rng):
    params = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-30}
    arrays = arguments(rng, 4, (40,), "float32", True, 1000)
    arrays[1] *= np.float32(1e-16)
    arrays[2] *= np.float32(1e-16)
    arrays[3] *= np.float32(1e-34)
    check("adam_update", arrays, params, 2e-5)


def test_gradients_in_any_memory_order(rng):
    value, gradient = rng.normal(size=(40, 30)), rng.normal(size=(30, 40)).T
    check("sgd_update", [value, gradient, np.array(0.5)], {}, 1e-13, 1e-13)
    shown = np.broadcast_to(rng.normal(size=(30,)), (40, 30))
    check("sgd_update", [value, shown, np.array(0.5)], {}, 1e-13, 1e-13)


def test_other_dtypes_are_left_to_numpy():
    single, double = Spec((4,), "float32"), Spec((4,), "float64")
    assert prepare("sgd_update", (single, single, Spec((), "float64")), (single,), {}) is None
    assert prepare("sgd_update", (single, double, Spec((), "float32")), (single,), {}) is None


# ----- gradients that are scattered rows -----


def scattered(name, count, counted, params, shape, index, rng, dtype="float32", rows=None):
    """The arrays of an update with such a gradient, and what NumPy's kernels make of it."""
    arrays = arguments(rng, count, shape, dtype, counted)
    if rows is None:
        rows = rng.normal(size=(*index.shape, *shape[1:])).astype(dtype)
    gradient = np.zeros(shape, dtype)
    np.add.at(gradient, index, rows)
    wanted = reference(name, [arrays[0], gradient, *arrays[2:]], params)
    return [arrays[0], *arrays[2:], rows, index], wanted


def run_scattered(name, inputs, wanted, params, in_place=False, pieces=False):
    specs = tuple(map(spec, inputs)), tuple(map(spec, wanted))
    ready = prepare("scattered", *specs, {"op": name, "params": params, "axes": (0,)})
    assert isinstance(ready, Native), "declined"
    inputs, made = list(inputs), [garbage(s) for s in specs[1]]
    for given, output in ready.overwrites if in_place else ():
        made[output][...] = inputs[given]
        inputs[given] = made[output]
    arrays = [*made, *inputs, *map(garbage, ready.scratch)]
    if pieces:
        item_by_item(ready, arrays)
    else:
        ready.run(*arrays)
    return made


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES[1:])
def test_scattered_rows(name, count, counted, params, dtype, rng):
    for shape, index in (
        ((50, 17), rng.integers(-50, 50, (6, 5)).astype("int32")),
        ((7, 3, 8), rng.integers(0, 7, 40)),
        ((3000, 16), np.array([5, 2999, 5, 5])),
        ((4, 8), np.zeros((0,), "int64")),
    ):
        inputs, wanted = scattered(name, count, counted, params, shape, index, rng, dtype)
        tolerance = TOLERANCE[dtype]
        for options in ({}, {"in_place": True}, {"pieces": True}):
            found = run_scattered(name, inputs, wanted, params, **options)
            for f, w in zip(found, wanted, strict=True):
                np.testing.assert_allclose(f, w, rtol=tolerance, atol=tolerance)


def test_scattered_rows_in_any_layout(rng):
    index = rng.integers(0, 20, (5, 8)).T
    rows = np.broadcast_to(rng.normal(size=(8, 1, 12)).astype("float32"), (8, 5, 12))
    inputs, wanted = scattered("sgd_update", 2, False, {}, (20, 12), index, rng, rows=rows)
    (found,) = run_scattered("sgd_update", inputs, wanted, {})
    np.testing.assert_allclose(found, wanted[0], rtol=0, atol=2e-6)


@pytest.mark.parametrize("rate", [np.inf, np.nan])
def test_rates_that_are_not_finite_reach_all_rows(rate, rng):
    inputs, wanted = scattered("sgd_update", 2, False, {}, (20, 12), np.array([3]), rng)
    inputs[1] = np.array(rate, "float32")
    for in_place in (False, True):
        (found,) = run_scattered("sgd_update", inputs, wanted, {}, in_place=in_place)
        assert not np.isfinite(found).any()


def test_a_wrong_index_changes_nothing():
    table = np.random.default_rng(0).normal(size=(20, 12)).astype("float32")
    with kbackend.use_backend("numba"):
        variable = Variable(table)

        def step(index):
            rows = lang.full((3, 12), 1.0, "float32")
            zeros = lang.zeros((20, 12), "float32")
            gradient = lang.scatter(zeros, rows, (index,), (0,), "add")
            variable.assign(sgd_update(variable.value, gradient, lang.full((), 0.5, "float32")))

        compiled = jit(step)
        compiled(tensor(np.array([0, 1, 1])))
        table[[0, 1]] -= [[0.5], [1.0]]
        np.testing.assert_allclose(variable.numpy(), table, rtol=0, atol=1e-6)
        before = variable.numpy().copy()
        with pytest.raises(IndexError, match="Index 20 is out of range"):
            compiled(tensor(np.array([0, 20, 1])))
        np.testing.assert_array_equal(variable.numpy(), before)


def test_what_rows_are_left_to_two_steps():
    row = Spec((20, 12), "float32"), Spec((), "float32"), Spec((3, 12), "float32")
    params = {"op": "sgd_update", "params": {}, "axes": (0,)}
    index = Spec((3,), "int32")
    assert prepare("scattered", (*row, index), row[:1], params) is not None
    assert prepare("scattered", (*row, index), row[:1], {**params, "axes": (1,)}) is None
    assert prepare("scattered", (*row, Spec((3,), "uint8")), row[:1], params) is None
    narrow = Spec((20, 2), "float32"), Spec((), "float32"), Spec((3, 2), "float32")
    assert prepare("scattered", (*narrow, index), narrow[:1], params) is None

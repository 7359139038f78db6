"""Compiled regions with reductions, and reductions by themselves."""

import numpy as np
import pytest

from kbackend.engine.interpreter import region_function
from kbackend.engine.program import REDUCTIONS, Node, Region, Spec
from kbackend_numba.kernels import region as regions
from kbackend_numba.native import Native
from kbackend_numpy.engine import NumpyEngine
from tests.engines.numba.harness import check as check_step
from tests.engines.numba.harness import item_by_item
from tests.engines.numpy_prepared.harness import garbage, spec

ENGINE = NumpyEngine()
# Sums of other orders: each of some hundred roundings is at most half a unit in the last place.
TOLERANCE = {"rtol": 2e-5, "atol": 2e-5}


def region(nodes, outputs, arrays, shape, axes, known=None, keepdims=True):
    """A region; nodes are (name, inputs, params, dtype, whether it is kept)."""
    kept = tuple(1 if i in axes else dim for i, dim in enumerate(shape))
    squeezed = tuple(dim for i, dim in enumerate(shape) if i not in axes)
    made = []
    for name, args, params, dtype, is_kept in nodes:
        reduces = name in REDUCTIONS
        params = {"axes": axes, "keepdims": keepdims} if reduces else params
        spare = kept if keepdims or not reduces else squeezed
        made.append(Node(name, args, params, Spec(spare if is_kept else shape, dtype)))
    inputs = tuple(map(spec, arrays))
    return Region(inputs, tuple(made), outputs, shape, known or {}, axes)


def check(wanted_region, arrays, **tolerance):
    """Compares with NumPy, in any order of items, and in memory of inputs."""
    with np.errstate(all="ignore"):
        wanted = [np.asarray(w) for w in region_function(ENGINE, wanted_region)(*arrays)]
    ready = regions.prepare(wanted_region, wanted_region.inputs)
    assert isinstance(ready, Native), "declined"

    def agree(made):
        for f, w in zip(made, wanted, strict=True):
            assert f.shape == w.shape and f.dtype == w.dtype
            np.testing.assert_allclose(f, w, **(TOLERANCE | tolerance))

    first = [garbage(spec(w)) for w in wanted]
    ready.run(*first, *arrays, *map(garbage, ready.scratch))
    agree(first)
    again = [garbage(spec(w)) for w in wanted]
    item_by_item(ready, [*again, *arrays, *map(garbage, ready.scratch)])
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    for i, o in ready.overwrites:
        given, made = list(arrays), [garbage(spec(w)) for w in wanted]
        made[o] = given[i] = arrays[i].copy()
        ready.run(*made, *given, *map(garbage, ready.scratch))
        agree(made)


F = "float32"
SOFTMAX = [
    ("reduce_max", (0,), {}, F, True),
    ("sub", (0, 1), {}, F, False),
    ("exp", (2,), {}, F, False),
    ("reduce_sum", (3,), {}, F, True),
    ("div", (3, 4), {}, F, False),
    ("log", (4,), {}, F, True),
    ("add", (6, 1), {}, F, True),
]
# One vector, tails, several vectors, more than stay in registers, several chunks.
ROWS = [(5, 3), (7, 16), (4, 33), (3, 100), (2, 300), (3, 4, 50), (2, 20_000), (1, 7), (9, 1, 4)]


@pytest.mark.parametrize("shape", ROWS)
def test_softmax_by_rows(shape, rng):
    x = 5 * rng.standard_normal(shape).astype(F)
    axes = (len(shape) - 1,)
    check(region(SOFTMAX, (5, 7), [x], shape, axes), [x])
    check(region(SOFTMAX, (2, 3, 5, 1), [x], shape, axes), [x])
    turned = np.ascontiguousarray(x.T).T
    check(region(SOFTMAX, (5,), [turned], shape, axes), [turned])


@pytest.mark.parametrize("shape", ROWS)
def test_layer_normalization_by_rows(shape, rng):
    x = rng.standard_normal(shape).astype(F)
    scale = rng.standard_normal(shape[-1]).astype(F)
    size = np.array(shape[-1], F)
    shift = rng.standard_normal((*shape[:-1], 1)).astype(F)
    nodes = [
        ("add", (0, 3), {}, F, False),
        ("reduce_sum", (4,), {}, F, True),
        ("div", (5, 2), {}, F, True),
        ("sub", (4, 6), {}, F, False),
        ("mul", (7, 7), {}, F, False),
        ("reduce_sum", (8,), {}, F, True),
        ("div", (9, 2), {}, F, True),
        ("add", (10, 2), {}, F, True),
        ("rsqrt", (11,), {}, F, True),
        ("mul", (7, 12), {}, F, False),
        ("mul", (13, 1), {}, F, False),
    ]
    arrays = [x, scale, size, shift]
    axes = (len(shape) - 1,)
    check(region(nodes, (14,), arrays, shape, axes, {2: float(shape[-1])}), arrays)
    check(region(nodes, (6, 14, 12, 4), arrays, shape, axes), arrays)


@pytest.mark.parametrize("shape", [(6, 5, 7), (3, 40, 130), (2, 3, 4, 5)])
def test_rows_of_several_dimensions(shape, rng):
    x = rng.standard_normal(shape).astype(F)
    axes = tuple(range(1, len(shape)))
    column = rng.standard_normal((*shape[1:-1], 1)).astype(F)
    nodes = [
        ("mul", (0, 1), {}, F, False),
        ("reduce_sum", (2,), {}, F, True),
        ("sub", (2, 3), {}, F, False),
        ("reduce_min", (4,), {}, F, True),
    ]
    check(region(nodes, (4, 5), [x, column], shape, axes), [x, column])
    check(region(nodes, (5,), [x, column], shape, axes), [x, column])


SUMS = [
    ("relu_grad", (0, 1), {}, F, False),
    ("reduce_sum", (2,), {}, F, True),
    ("mul", (2, 1), {}, F, False),
    ("reduce_max", (4,), {}, F, True),
]


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((17, 10), (0,)),
        ((300, 33), (0,)),
        ((5000, 64), (0,)),
        ((40, 30, 32), (0, 1)),
        ((4, 50, 7), (1,)),
        ((3, 700, 130), (1,)),
        ((6, 5, 11), (0, 2)),
        ((64, 3, 1500), (0, 2)),
        ((2, 3, 4, 5), (1, 3)),
        ((2, 3, 4, 5), (0, 2)),
        ((7,), (0,)),
        ((100_000,), (0,)),
        ((300, 400), (0, 1)),
        ((2, 70_000), (1,)),
        ((3, 200_000), (0, 1)),
    ],
)
def test_sums_as_outputs(shape, axes, keepdims, rng):
    g, x = (rng.standard_normal(shape).astype(F) for _ in range(2))
    # The sum of many terms of the size of 1 is as exact as the sum of their magnitudes.
    terms = np.prod([shape[axis] for axis in axes])
    tolerance = {"atol": 1e-6 * terms**0.5 + 1e-5}
    for outputs in ((3,), (2, 3, 5), (3, 4)):
        made = region(SUMS, outputs, [g, x], shape, axes, keepdims=keepdims)
        if made.by_rows and not keepdims:
            continue
        check(made, [g, x], **tolerance)


SPREAD = [("mul", (0, 1), {}, F, False), *SUMS[1:]]


def test_sums_of_what_is_spread(rng):
    g, column = rng.standard_normal((40, 30)).astype(F), rng.standard_normal((40, 1)).astype(F)
    row = rng.standard_normal(30).astype(F)
    for arrays in ([g, column], [g, row], [g.T.copy().T, row]):
        for axes in ((0,), (0, 1)):
            check(region(SPREAD, (2, 3, 5), arrays, (40, 30), axes), arrays)


@pytest.mark.parametrize("name", sorted(REDUCTIONS))
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "int8", "uint8", "int32", "uint32", "int64", "bool"]
)
def test_reductions_by_themselves(name, dtype, rng):
    for shape, axes in [((6, 70), (1,)), ((70, 6), (0,)), ((5, 6, 7), (1,)), ((300,), (0,))]:
        x = rng.integers(0, 3, shape).astype(dtype)
        if dtype.startswith("float"):
            x = (1 + 0.1 * rng.standard_normal(shape)).astype(dtype)
        for keepdims in (True, False):
            params = {"axes": axes, "keepdims": keepdims}
            check_step(name, [x], params, rtol=1e-5 if dtype == F else 1e-12)
    x = rng.standard_normal((4, 5)).astype(F)
    check_step(name, [x[:, :1]], {"axes": (1,), "keepdims": False})
    check_step(name, [x.T], {"axes": (1,), "keepdims": False}, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(REDUCTIONS))
def test_infinity_and_nan(name):
    for special in (np.nan, np.inf, -np.inf):
        for axes in ((0,), (1,), (0, 1)):
            for shape in ((40, 9), (3, 700)):
                x = np.ones(shape, F)
                x[2, 5] = special
                check_step(name, [x], {"axes": axes, "keepdims": False}, rtol=1e-6)


def test_nothing_is_left_to_others():
    x = np.ones((0, 3), F)
    made = region([("reduce_sum", (0,), {}, F, True)], (1,), [x], (0, 3), (0,))
    assert regions.prepare(made, made.inputs) is None


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("shape", [(3, 40), (5, 300)])
def test_what_is_reduced_may_be_overwritten(shape, axes, rng):
    x, y = (rng.standard_normal(shape).astype(F) for _ in range(2))
    nodes = [("reduce_min", (0,), {}, F, True), ("mul", (1, 1), {}, F, False)]
    check(region(nodes, (2, 3), [x, y], shape, axes), [x, y])


@pytest.mark.parametrize("shape", [(3, 40), (5, 300)])
def test_numbers_of_rows_come_after_the_last_pass(shape, rng):
    x = rng.standard_normal(shape).astype(F)
    nodes = [
        ("tanh", (0,), {}, F, False),
        ("reduce_sum", (0,), {}, F, True),
        ("reduce_max", (0,), {}, F, True),
        ("sub", (3, 2), {}, F, True),
    ]
    check(region(nodes, (1, 4), [x], shape, (1,)), [x])

"""Compiled regions: elementwise operations in one loop nest."""

import llvmlite.binding as llvm
import numpy as np
import pytest

from kbackend.engine.interpreter import region_function
from kbackend.engine.program import Node, Region, Spec
from kbackend_numba import table
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import object_code
from kbackend_numba.codegen.target import describe
from kbackend_numba.kernels import region as regions
from kbackend_numba.native import Native
from kbackend_numpy.engine import NumpyEngine
from tests.engines.numba.harness import check as check_step
from tests.engines.numba.harness import item_by_item
from tests.engines.numpy_prepared.harness import garbage, spec

ENGINE = NumpyEngine()
# One element, less than a vector, tails, several rows, rows that are cut.
SHAPES = [(), (1,), (3,), (17,), (33, 5), (7, 33), (0, 4), (300, 7, 40), (2, 3, 40000)]


def floats(rng, shape, dtype="float32"):
    drawn = rng.standard_normal(shape)
    special = rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.0], shape)
    return np.where(rng.random(shape) < 0.1, special, drawn).astype(dtype)


def region(nodes, outputs, arrays, known=None):
    """A region over what the arrays broadcast to; nodes are (name, inputs, params, dtype)."""
    shape = np.broadcast_shapes(*[a.shape for a in arrays])
    made = tuple(
        Node(name, args, params, Spec(shape, dtype)) for name, args, params, dtype in nodes
    )
    return Region(tuple(map(spec, arrays)), made, outputs, shape, known or {})


def check(nodes, outputs, arrays, known=None, rtol=0.0):
    """Compares with NumPy, in any order of items, and in memory of inputs."""
    wanted_region = region(nodes, outputs, arrays, known)
    with np.errstate(all="ignore"):
        wanted = region_function(ENGINE, wanted_region)(*arrays)
    ready = regions.prepare(wanted_region, wanted_region.inputs)
    assert isinstance(ready, Native), "declined"
    for pairs in ((), *[(pair,) for pair in ready.overwrites]):
        given, made = list(arrays), [garbage(spec(np.asarray(w))) for w in wanted]
        for i, o in pairs:
            made[o] = given[i] = arrays[i].copy()
        ready.run(*made, *given)
        for f, w in zip(made, wanted, strict=True):
            np.testing.assert_allclose(f, w, rtol=rtol, atol=0)
    made = [garbage(spec(np.asarray(w))) for w in wanted]
    item_by_item(ready, [*made, *arrays])
    for f, w in zip(made, wanted, strict=True):
        np.testing.assert_allclose(f, w, rtol=rtol, atol=0)


LAYER = [
    ("add", (0, 1), {}, "float32"),
    ("relu", (5,), {}, "float32"),
    ("le", (3, 2), {}, "bool"),
    ("masked_scale", (6, 7), {"scale": 2.0}, "float32"),
    ("masked_scale", (4, 7), {"scale": 2.0}, "float32"),
    ("relu_grad", (9, 6), {}, "float32"),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_layer_forwards_and_backwards(shape, rng):
    x, g = floats(rng, shape), floats(rng, shape)
    bits = rng.integers(0, 2**32, shape, dtype=np.uint32)
    half = np.array(2**31, np.uint32)
    check(LAYER, (6, 7, 8, 10), [x, floats(rng, shape[-1:]), bits, half, g])
    check(LAYER, (8, 10, 10), [x, floats(rng, ()), bits, half, g], {3: 2**31})


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_layouts(shape, rng):
    nodes = [("sub", (0, 1), {}, "float32"), ("mul", (2, 0), {}, "float32")]
    x, turned = floats(rng, shape), floats(rng, shape[::-1]).T
    wide = floats(rng, (*shape, 3))[..., 1]
    column = floats(rng, (*shape[:-1], 1))
    for y in (x, turned, wide, column, x[..., ::-1], wide[..., :1], column[:1]):
        check(nodes, (3, 2), [x, y])
        check(nodes, (3,), [y, x])


def test_axes_in_any_order(rng):
    x = floats(rng, (6, 10, 5, 7)).transpose(2, 0, 3, 1)
    y = floats(rng, (5, 1, 7, 1))
    check([("add", (0, 1), {}, "float32")], (2,), [x, y])
    part = x[:, ::2, :, 1:4]
    ready = table.prepare("copy", (spec(part),), (Spec(part.shape, "float32"),), {})
    made = garbage(Spec(part.shape, "float32"))
    ready.run(made, part)
    np.testing.assert_array_equal(made, part)


def test_literals(rng):
    x = floats(rng, (40,))
    nodes = [
        ("add", (0, 1), {}, "float32"),
        ("lt", (3, 2), {}, "bool"),
        ("select", (4, 2, 0), {}, "float32"),
    ]
    for a, b in [(0.5, -1.0), (np.inf, np.nan), (-0.0, 1e-40), (0.1, 3.0)]:
        a, b = np.array(a, "float32"), np.array(b, "float32")
        check(nodes, (3, 4, 5), [x, a, b], {1: a.item(), 2: b.item()})


def test_dtypes_side_by_side(rng):
    x, small = rng.integers(-9, 9, (5, 70)), rng.integers(0, 9, (5, 70), dtype=np.int8)
    nodes = [
        ("cast", (1,), {"dtype": "int64"}, "int64"),
        ("add", (0, 2), {}, "int64"),
        ("cast", (3,), {"dtype": "float32"}, "float32"),
        ("cast", (3,), {"dtype": "bool"}, "bool"),
    ]
    check(nodes, (3, 4, 5), [x, small])


def test_what_cannot_be_compiled_is_declined(rng):
    x = rng.standard_normal(4).astype("complex64")
    made = region([("add", (0, 0), {}, "complex64")], (1,), [x])
    assert regions.prepare(made, made.inputs) is None


def test_long_transposed_inputs_are_copied_first(rng):
    x, y = floats(rng, (300, 70)).T, floats(rng, (70, 300))
    ready = table.prepare("add", (spec(x), spec(y)), (spec(y),), {})
    assert len(ready.calls) == 2
    assert ready.overwrites == ((1, 0),)
    check_step("add", [x, y])
    check_step("add", [y[:, ::-1], x[:, :1]])
    check_step("reduce_max", [x], {"axes": (1,), "keepdims": False})


@pytest.mark.parametrize(
    ("triple", "features"),
    [
        ("x86_64-unknown-linux-gnu", "+avx2,+fma"),
        ("x86_64-unknown-linux-gnu", ""),
        ("aarch64-unknown-linux-gnu", "+neon"),
    ],
)
def test_code_for_other_processors(triple, features, rng):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = describe(triple, "", features)
    x, column = rng.standard_normal((40, 300)), rng.standard_normal((300, 40)).T[:, :1]
    row = Spec((40, 1), "float64")
    for axes in ((), (0,), (1,)):
        kept = Spec((1, 300) if axes == (0,) else row.shape, "float64")
        nodes = [Node("mul", (0, 1), {}, Spec(x.shape, "float64"))]
        if axes:
            params = {"axes": axes, "keepdims": True}
            nodes.append(Node("reduce_sum", (2,), params, kept))
        inputs = (spec(x), spec(column))
        made = Region(inputs, tuple(nodes), (2, 3)[: len(nodes)], x.shape, axes=axes)
        for call in regions.prepare(made, inputs).calls:

            def module(call=call):
                code = Code("other", target)
                call.function._write(code)
                return code.finish()

            assert object_code(module, target)

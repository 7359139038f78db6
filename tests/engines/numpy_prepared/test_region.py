"""Prepared regions: elementwise operations that are run together, as a whole or in blocks."""

import numpy as np
import pytest

from kbackend.base.dtypes import NUMPY_DTYPES, numpy_dtype
from kbackend.engine.interpreter import region_function
from kbackend.engine.loader import get_engine
from kbackend.engine.program import Node, Region, Spec
from kbackend_numpy import region as regions
from kbackend_numpy import threads
from tests.engines.numpy_prepared.harness import allocated, garbage, spec

# Within one block, and several blocks with a rest.
SHAPES = [(), (3,), (7, 5), (0, 4), (300, 7, 40)]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.0]


class _Kernel:
    """A region as the harness wants kernels."""

    def __init__(self, nodes, outputs, known=None):
        self.nodes, self.outputs, self.known = nodes, outputs, known or {}

    def region(self, inputs):
        shape = np.broadcast_shapes(*[s.shape for s in inputs])
        nodes = tuple(
            Node(name, args, params, Spec(shape, dtype)) for name, args, params, dtype in self.nodes
        )
        return Region(inputs, nodes, self.outputs, shape, self.known)

    def fn(self, *arrays):
        made = region_function(get_engine("numpy"), self.region(tuple(map(spec, arrays))))(*arrays)
        return tuple(made)

    def prepare(self, inputs, outputs):
        return regions.prepare(self.region(inputs), inputs)


def floats(shape, dtype, rng):
    drawn = rng.standard_normal(shape)
    special = rng.choice(SPECIAL, shape)
    return np.where(rng.random(shape) < 0.2, special, drawn).astype(numpy_dtype(dtype))


def check(kernel, arrays):
    """Compares bits, in memory of its own and in that of inputs that may be overwritten."""
    ready = kernel.prepare(tuple(map(spec, arrays)), ())
    assert ready is not None, "declined"
    with np.errstate(all="ignore"):
        wanted = kernel.fn(*arrays)
    for pairs in ((), *[(pair,) for pair in ready.overwrites]):
        given, made = list(arrays), [garbage(spec(np.asarray(w))) for w in wanted]
        for i, o in pairs:
            made[o] = given[i] = arrays[i].copy()
        with np.errstate(all="ignore"):
            ready.run(*made, *given, *map(garbage, ready.scratch))
        for f, w in zip(made, wanted, strict=True):
            if f.dtype == NUMPY_DTYPES["bfloat16"]:
                f, w = f.astype("float32"), w.astype("float32")
            np.testing.assert_array_equal(f, w)
            if f.dtype.kind == "f":
                numbers = ~np.isnan(f)
                np.testing.assert_array_equal(np.signbit(f)[numbers], np.signbit(w)[numbers])
    return ready


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool", "bfloat16", "complex64"])
def test_select(shape, dtype, rng):
    kernel = _Kernel([("select", (0, 1, 2), {}, dtype)], (3,))
    kind = NUMPY_DTYPES[dtype].kind
    x, y = (
        floats(shape, "float64", rng).astype(numpy_dtype(dtype))
        if kind not in "ib"
        else rng.integers(0, 2 if kind == "b" else 99, shape).astype(numpy_dtype(dtype))
        for _ in range(2)
    )
    condition = rng.random(shape) < 0.5
    check(kernel, [condition, x, y])
    check(kernel, [condition, x, np.asarray(y.reshape(-1)[0] if y.size else dtype == 0, x.dtype)])
    if shape:
        check(kernel, [condition[..., :1], x, y])
    known = _Kernel([("select", (0, 1, 2), {}, dtype)], (3,), {2: 0})
    check(known, [condition, x, np.zeros((), x.dtype)])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_composites(shape, dtype, rng):
    x, g = floats(shape, dtype, rng), floats(shape, dtype, rng)
    check(_Kernel([("relu", (0,), {}, dtype)], (1,)), [x])
    check(_Kernel([("relu_grad", (0, 1), {}, dtype)], (2,)), [g, x])
    for approximate in (False, True):
        params = {"approximate": approximate}
        check(_Kernel([("gelu", (0,), params, dtype)], (1,)), [x])
    keep = rng.random(shape) < 0.5
    check(_Kernel([("masked_scale", (0, 1), {"scale": 1.25}, dtype)], (2,)), [x, keep])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_layer_forwards_and_backwards(shape, rng):
    x, g = floats(shape, "float32", rng), floats(shape, "float32", rng)
    bias = floats(shape[-1:], "float32", rng)
    bits = rng.integers(0, 2**32, shape, dtype=np.uint32)
    half = np.array(2**31, np.uint32)
    nodes = [
        ("add", (0, 1), {}, "float32"),
        ("relu", (5,), {}, "float32"),
        ("le", (3, 2), {}, "bool"),
        ("masked_scale", (6, 7), {"scale": 2.0}, "float32"),
        ("masked_scale", (4, 7), {"scale": 2.0}, "float32"),
        ("relu_grad", (9, 6), {}, "float32"),
    ]
    check(_Kernel(nodes, (6, 7, 8, 10)), [x, bias, bits, half, g])
    check(_Kernel(nodes, (8, 10, 10)), [x, bias, bits, half, g])


def test_strided_inputs(rng):
    nodes = [("sub", (0, 1), {}, "float32"), ("mul", (2, 0), {}, "float32")]
    x = floats((40, 300, 7), "float32", rng).transpose(1, 2, 0)
    y = floats((300, 7, 80), "float32", rng)[..., ::2]
    check(_Kernel(nodes, (3,)), [x, y])
    check(_Kernel(nodes, (3, 2)), [y, np.broadcast_to(x[:, :1], y.shape)])


def test_in_parts_over_the_threads(rng):
    nodes = [("exp", (0,), {}, "float32"), ("select", (1, 2, 0), {}, "float32")]
    x, keep = floats((900, 2000), "float32", rng), rng.random((900, 2000)) < 0.5
    with threads.owned():
        check(_Kernel(nodes, (3,)), [x, keep])


def test_nothing_is_allocated(rng):
    nodes = [("relu_grad", (0, 1), {}, "float32"), ("mul", (2, 0), {}, "float32")]
    x, g = (rng.standard_normal((300, 500), "float32") for _ in range(2))
    # Views of the blocks, but no arrays.
    assert allocated(_Kernel(nodes, (3,)), [g, x]) < 4096

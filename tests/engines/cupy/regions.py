"""Regions to test kernels with: those of models, awkward ones, and random ones."""

from __future__ import annotations

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.interpreter import region_function
from kbackend.engine.loader import get_engine
from kbackend.engine.program import Node, Region, Spec
from kbackend_cupy.codegen.region import plan
from tests.engines.cupy.kernels import execute, spec
from tests.gpu_simulator import cuda_on_cpu


def over(axes, keepdims=True):
    return {"axes": axes, "keepdims": keepdims}


def softmax(rows, length, dtype="float32"):
    """Softmax of rows and the logarithm of their sums."""
    x, row = Spec((rows, length), dtype), Spec((rows, 1), dtype)
    nodes = (
        Node("reduce_max", (0,), over((1,)), row),
        Node("sub", (0, 1), {}, x),
        Node("exp", (2,), {}, x),
        Node("reduce_sum", (3,), over((1,)), row),
        Node("div", (3, 4), {}, x),
        Node("log", (4,), {}, row),
    )
    return Region((x,), nodes, (5, 6), (rows, length), axes=(1,))


def layer_norm(rows, length):
    """Rows with mean 0 and variance 1, scaled by a vector; and the means."""
    x, row = Spec((rows, length), "float32"), Spec((rows, 1), "float32")
    vector, number = Spec((length,), "float32"), Spec((), "float32")
    nodes = (
        Node("reduce_sum", (0,), over((1,)), row),  # 4
        Node("mul", (4, 2), {}, row),
        Node("sub", (0, 5), {}, x),
        Node("mul", (6, 6), {}, x),
        Node("reduce_sum", (7,), over((1,)), row),
        Node("mul", (8, 2), {}, row),
        Node("add", (9, 3), {}, row),
        Node("rsqrt", (10,), {}, row),
        Node("mul", (6, 11), {}, x),
        Node("mul", (12, 1), {}, x),
    )
    known = {2: 1 / length, 3: 1e-3}
    return Region((x, vector, number, number), nodes, (13, 5), (rows, length), known, (1,))


def sums(shape, axes, keepdims=False, dtype="float32"):
    """Two reductions and what one of them reduces."""
    x = Spec(shape, dtype)
    result = Spec(np.zeros(shape).sum(axes, keepdims=keepdims).shape, dtype)
    nodes = (
        Node("mul", (0, 0), {}, x),
        Node("reduce_sum", (1,), over(axes, keepdims), result),
        Node("reduce_max", (0,), over(axes, keepdims), result),
    )
    return Region((x,), nodes, (2, 3, 1), shape, axes=axes)


def two_sums(shape, axes):
    """Two reductions of one kind, which share memory on the device."""
    x = Spec(shape, "float32")
    result = Spec(np.zeros(shape).sum(axes, keepdims=True).shape, "float32")
    nodes = (
        Node("mul", (0, 0), {}, x),
        Node("reduce_sum", (1,), over(axes), result),
        Node("reduce_sum", (0,), over(axes), result),
    )
    return Region((x,), nodes, (2, 3), shape, axes=axes)


def product(x, y, shape):
    """tanh(x * y) and x * y of arrays as they lie."""
    out = Spec(shape, "float32")
    nodes = (Node("mul", (0, 1), {}, out), Node("tanh", (2,), {}, out))
    return Region((spec(x), spec(y)), nodes, (3, 2), shape)


_ONE = ("neg", "abs", "exp", "tanh", "sigmoid", "sqrt", "floor", "sign", "log1p")
_TWO = ("add", "sub", "mul", "div", "maximum", "minimum", "mod")


class Random:
    """A random region with its arguments.

    Args:
        seed: of the random choices.
        dtype: of all but conditions.
    """

    def __init__(self, seed: int, dtype: str = "float32") -> None:
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        rank = int(self.rng.integers(0, 4))
        self.shape = tuple(int(d) for d in self.rng.choice((1, 2, 3, 4, 8, 17), rank))
        kind = self.rng.integers(0, 3) if rank else 0
        if kind == 1:
            self.axes = tuple(range(int(self.rng.integers(1, rank + 1)), rank)) or ()
        elif kind == 2:
            self.axes = tuple(i for i in range(rank) if self.rng.random() < 0.6)
        else:
            self.axes = ()
        count = int(self.rng.integers(1, 4))
        self.arrays = [self._array() for _ in range(count)]
        self.known = {}
        specs = [spec(array) for array in self.arrays]
        if self.rng.random() < 0.5:
            self.known[count] = 0.75
            self.arrays.append(np.asarray(0.75, numpy_dtype(dtype)))
            specs.append(Spec((), dtype))
        self.region = self._region(specs)

    def _array(self):
        """An argument: whole or broadcast, contiguous or not."""
        rng, shape = self.rng, self.shape
        lies = rng.integers(0, 4)
        if lies == 0 and shape:
            shape = tuple(1 if rng.random() < 0.4 else d for d in shape)
            shape = shape[int(rng.integers(0, len(shape))) :]
        wide = tuple(d * 2 + 1 for d in shape) if lies == 1 else shape
        drawn = np.asarray(rng.standard_normal(wide) * 2, "float32")
        full = np.asarray(drawn, numpy_dtype(self.dtype))
        if lies == 1 and shape:
            return full[tuple(slice(1, None, 2) for _ in shape)]
        if lies == 2 and shape:
            turned = np.ascontiguousarray(np.transpose(full))
            return np.transpose(turned)
        return full

    def _region(self, specs):
        rng = self.rng
        bare = Region(tuple(specs), (), (), self.shape, self.known, self.axes)
        kept, by_rows = bare.kept, bare.by_rows
        shapes = [s.shape for s in specs]
        reduced: set[int] = set()
        nodes: list[Node] = []
        for _ in range(int(rng.integers(2, 8))):
            usable = [i for i in range(len(shapes)) if by_rows or i not in reduced]
            wide = [i for i in usable if shapes[i] == self.shape and i not in self.known]
            if self.axes and wide and rng.random() < 0.35:
                name = str(rng.choice(("reduce_sum", "reduce_max", "reduce_min")))
                out = Spec(kept, self.dtype)
                nodes.append(Node(name, (int(rng.choice(wide)),), over(self.axes), out))
                reduced.add(len(shapes))
                shapes.append(kept)
                continue
            arity = int(rng.integers(1, 3))
            inputs = tuple(int(i) for i in rng.choice(usable, arity))
            shape = np.broadcast_shapes(*[shapes[i] for i in inputs])
            if shape not in (self.shape, kept):
                inputs, shape = (inputs[0], int(rng.choice(wide))) if wide else (None, None), None
                if inputs[0] is None:
                    continue
                shape, arity = self.shape, 2
            name = str(rng.choice(_ONE if arity == 1 else _TWO))
            nodes.append(Node(name, inputs, {}, Spec(shape, self.dtype)))
            shapes.append(shape)
        if not nodes:
            nodes.append(Node("add", (0, 0), {}, Spec(shapes[0], self.dtype)))
            shapes.append(shapes[0])
        first = len(specs)
        last = len(shapes) - 1
        outputs = {last, *reduced, *[i for i in range(first, last) if rng.random() < 0.2]}
        return Region(
            tuple(specs), tuple(nodes), tuple(sorted(outputs)), self.shape, self.known, self.axes
        )


def specs_of(region):
    """What the outputs are."""
    values = [*region.inputs, *[node.spec for node in region.nodes]]
    return [values[i] for i in region.outputs]


def check(region, *arrays, rtol=2e-6, atol=2e-6):
    """Runs a region in each order of threads, and compares it with NumPy's kernels."""
    planned = plan(region, tuple(spec(x) for x in arrays))
    assert planned is not None
    expected = region_function(get_engine("numpy"), region)(*arrays)
    found = []
    for order in cuda_on_cpu.ORDERS:
        with cuda_on_cpu.order(order):
            found.append(execute(planned, specs_of(region), arrays))
    for results in found:
        for value, first, reference in zip(results, found[0], expected, strict=True):
            assert value.shape == reference.shape and value.dtype == reference.dtype
            np.testing.assert_array_equal(
                value.view(f"V{value.itemsize}") if value.size else value,
                first.view(f"V{first.itemsize}") if first.size else first,
            )
            wide = [x.astype("float64") for x in (value, reference)]
            np.testing.assert_allclose(*wide, rtol=rtol, atol=atol)
    return planned

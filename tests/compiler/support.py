"""Graphs to test passes with: traced from small functions, or drawn at random."""

import numpy as np
from hypothesis import strategies as st

from kbackend import ops
from kbackend.base.dtypes import name_of, numpy_dtype
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.bind import recording
from kbackend.core.tensor import Tensor, tensor
from kbackend.ir.eval import evaluate
from kbackend.ir.graph import Eqn, Graph, Lit, Var
from kbackend.ir.text import to_text
from kbackend.ir.trace import trace
from kbackend.ir.verify import infer, verify
from kbackend.testing.opspec import TOLERANCE


def traced(fn, *shapes, dtype="float32"):
    """The graph of a function of tensors with the given shapes (or `(shape, dtype)` pairs)."""
    args = []
    for shape in shapes:
        own = dtype
        if len(shape) == 2 and isinstance(shape[1], str):
            shape, own = shape
        args.append(tensor(np.zeros(shape, numpy_dtype(own))))
    return verify(trace(fn, args, "f").graph)


class Builder:
    """A graph written down equation by equation. (Tracing computes at once what it can know.)"""

    def __init__(self, *inputs):
        self.inputs = [Var(Aval(*one)) for one in inputs]
        self.eqns = []

    def __call__(self, op, *inputs, **params):
        atoms = [Lit(x) if isinstance(x, Tensor) else x for x in inputs]
        eqn = Eqn(op, tuple(atoms), (), params)
        outs = tuple([Var(aval) for aval in infer(eqn)])
        self.eqns.append(eqn._replace(outputs=outs))
        return outs if len(outs) > 1 else outs[0]

    def graph(self, *outputs):
        """The graph that returns these variables."""
        return verify(Graph(tuple(self.inputs), tuple(self.eqns), outputs, "f"))


def body(graph):
    """The equations of a graph as text, without their dtypes, and what it returns."""
    lines = [line.strip() for line in to_text(graph).splitlines()[1:-1]]
    return [line.split(": ", 1)[0] + " = " + line.split(" = ", 1)[1] if " = " in line else line
            for line in lines]  # fmt: skip


def values(graph, seed=0):
    """Arguments for a graph: small integers and halves, of both signs, zeros of both signs too."""
    rng = np.random.default_rng(seed)
    made = []
    for var in graph.inputs:
        shape, dtype = var.aval.shape, numpy_dtype(var.aval.dtype)
        drawn = rng.integers(-6, 7, shape) / 2
        if dtype.kind == "f":
            drawn = np.where(drawn == 0, np.where(rng.random(shape) < 0.5, -0.0, 0.0), drawn)
        elif dtype.kind == "u":
            drawn = np.abs(drawn * 2)
        elif dtype.kind == "b":
            drawn = drawn > 0
        made.append(tensor(np.asarray(drawn).astype(dtype)))
    return made


def assert_same_bits(found, wanted):
    """Asserts that arrays have the same dtypes, shapes and bits; one NaN is as good as another."""
    for f, w in zip(found, wanted, strict=True):
        f, w = np.asarray(f), np.asarray(w)
        assert (f.dtype, f.shape) == (w.dtype, w.shape)
        np.testing.assert_array_equal(f, w)
        if f.dtype.kind == "f":
            real = ~np.isnan(w)
            np.testing.assert_array_equal(np.signbit(f)[real], np.signbit(w)[real])


def assert_close(found, wanted, factor=1.0):
    """Asserts closeness to within the dtype's tolerance, measured by the largest element."""
    for f, w in zip(found, wanted, strict=True):
        f, w = np.asarray(f), np.asarray(w)
        assert (f.dtype, f.shape) == (w.dtype, w.shape)
        tolerance = TOLERANCE.get(name_of(f.dtype), 0) * factor
        if not tolerance:
            np.testing.assert_array_equal(f, w)
            continue
        f, w = f.astype("float64"), w.astype("float64")
        finite = np.abs(w[np.isfinite(w)])
        np.testing.assert_allclose(f, w, rtol=tolerance, atol=tolerance * finite.max(initial=0.0))


def assert_equivalent(graph, rewritten, seed=0):
    """Asserts that a pass has kept the rules, the inputs, and every bit of the outputs."""
    verify(rewritten)
    assert rewritten.inputs == graph.inputs
    args = values(graph, seed)
    with np.errstate(all="ignore"):
        assert_same_bits(evaluate(rewritten, args), evaluate(graph, args))


# ----- random graphs -----

_SHAPES = [(), (4,), (1, 4), (3, 1), (3, 4)]
_SCALARS = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 0.1, float("inf"), 1e30]
_UNARY = [lang.neg, lang.abs_, lang.sqrt, lang.floor, lang.sign, lang.isfinite]
_BINARY = [lang.add, lang.sub, lang.mul, lang.div, lang.maximum, lang.minimum, lang.lt, lang.eq]
_DTYPES = ["float32", "float64", "int32", "int8", "bool"]


def _unary(draw, x, pool):
    if x.dtype == "bool":
        return x
    fn = draw(st.sampled_from(_UNARY))
    if fn in (lang.sqrt, lang.floor, lang.isfinite) and not x.dtype.startswith("float"):
        return x
    return fn(x)


def _binary(draw, x, pool):
    fn = draw(st.sampled_from(_BINARY))
    if draw(st.booleans()):
        y = draw(st.sampled_from(_SCALARS))
        if not x.dtype.startswith("float"):
            y = 1 if x.dtype == "bool" else int(min(abs(y), 5))
            y = bool(y) if x.dtype == "bool" else y
    else:
        y = lang.cast(draw(st.sampled_from(pool)), x.dtype)
    if x.dtype == "bool" and fn in (lang.sub, lang.div, lang.maximum, lang.minimum):
        fn = lang.add
    if fn is lang.div and not x.dtype.startswith("float"):
        fn = lang.mul
    return fn(y, x) if draw(st.booleans()) else fn(x, y)


def _select(draw, x, pool):
    condition = lang.cast(draw(st.sampled_from(pool)), "bool")
    y = lang.cast(draw(st.sampled_from(pool)), x.dtype)
    return lang.select(condition, x, y)


def _full(draw, x, pool):
    value = draw(st.sampled_from(_SCALARS[:7]))
    return lang.full(draw(st.sampled_from(_SHAPES)), value, "float32")


def _cast(draw, x, pool):
    return lang.cast(x, draw(st.sampled_from(_DTYPES)))


def _movement(draw, x, pool):
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return lang.transpose(x, tuple(draw(st.permutations(range(x.ndim)))))
    if kind == 1:
        return lang.reshape(x, (-1,) if draw(st.booleans()) else (1, *x.shape))
    if kind == 2:
        return lang.rev(x, tuple(i for i in range(x.ndim) if draw(st.booleans())))
    if kind == 3:
        starts = tuple(draw(st.integers(0, n - 1)) for n in x.shape)
        steps = tuple(draw(st.integers(1, 2)) for _ in x.shape)
        return lang.slice_(x, starts, x.shape, steps)
    if kind == 4:
        return lang.broadcast_to(x, (3, 4) if x.shape in _SHAPES else (2, *x.shape))
    return ops.max(x) if x.dtype != "bool" else x


_MOVES = [_unary, _binary, _binary, _binary, _select, _full, _cast, _movement, _movement]


def _fits(x, y):
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return True


@st.composite
def graphs(draw, moves=tuple(_MOVES), most=14):
    """A random graph of elementwise operations, casts and movements, with repetitions."""
    shapes = draw(st.lists(st.sampled_from(_SHAPES), min_size=1, max_size=3))

    def fn(*args):
        made = list(args)
        for _ in range(draw(st.integers(1, most))):
            move = draw(st.sampled_from(moves))
            x = draw(st.sampled_from(made))
            made.append(move(draw, x, [y for y in made if _fits(x, y)] if move is _binary else
                             [y for y in made if y.shape in (x.shape, ())]))  # fmt: skip
        return draw(st.lists(st.sampled_from(made), min_size=1, max_size=4))

    with recording(()):
        return traced(fn, *shapes)

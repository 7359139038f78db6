"""Choices and loops in compiled programs write into planned memory."""

import tracemalloc

import numpy as np
import pytest

from kbackend import ops
from kbackend.compiler.pipeline import compile_graph
from kbackend.engine.loader import current_engine
from kbackend.ir.trace import trace
from kbackend_numpy.structured import PreparedControl

pytestmark = pytest.mark.engine("numpy")


def compiled(fn, *arrays):
    """A function's program, and its arguments as the engine's arrays."""
    args = [ops.convert_to_tensor(a) for a in arrays]
    return compile_graph(trace(fn, args).graph, current_engine()), [np.array(a) for a in args]


def data(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def scan(x, w):
    def step(c, row):
        c = ops.tanh(c @ w + row)
        return c, ops.exp(c)

    return ops.scan(step, ops.zeros((4, 8)), x)


def scan_of_strided_rows(x, w):
    return scan(ops.transpose(x, (0, 2, 1)), w)


def scan_of_columns(x, w):
    return ops.map(lambda row: row * 2.0, ops.transpose(w, (1, 0))), x


def loop(x, w):
    return ops.while_loop(lambda i, v: i < 20, lambda i, v: (i + 1, ops.tanh(v @ w)), (0, x[0]))


def choice(x, w):
    return ops.cond(ops.sum(w) > 0.0, lambda: x[0] @ w, lambda: ops.exp(x[0]))


CASES = [
    (scan, (30, 4, 8)),
    (scan_of_strided_rows, (30, 8, 4)),
    (scan_of_columns, (2, 2, 2)),
    (loop, (3, 4, 8)),
    (choice, (3, 4, 8)),
]


@pytest.mark.parametrize(("fn", "shape"), CASES)
def test_values(fn, shape):
    program, arrays = compiled(fn, data(*shape), data(8, 8))
    control = [s for s in program.steps if isinstance(s.prepared, PreparedControl)]
    assert len(control) == 1
    run = current_engine().compile(program)
    expected = fn(*[ops.convert_to_tensor(a) for a in arrays])
    expected = expected if isinstance(expected, tuple) else (expected,)
    for _ in range(2):
        for found, wanted in zip(run(arrays)[0], expected, strict=True):
            # Sums of eight products, repeated up to thirty times.
            np.testing.assert_allclose(found, np.asarray(wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("fn", "shape"), CASES)
def test_nothing_is_allocated_but_the_results(fn, shape):
    program, arrays = compiled(fn, data(*shape), data(8, 8))
    run = current_engine().compile(program)
    results = sum(np.asarray(x).nbytes for x in run(arrays)[0])
    tracemalloc.start()
    try:
        run(arrays)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run(arrays)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    # The results, and the views of one step.
    assert peak < results + 4096


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "bool", "bfloat16"])
def test_dtypes(dtype):
    def fn(x):
        last, ys = ops.scan(lambda c, row: (ops.maximum(c, row), ops.minimum(c, row)), x[0], x)
        return ops.while_loop(lambda v: ops.any(v < last), lambda v: ops.maximum(v, last), x[1]), ys

    x = ops.cast(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), dtype)
    program = compile_graph(trace(fn, [x]).graph, current_engine())
    outputs = current_engine().compile(program)([np.array(x)])[0]
    for found, wanted in zip(outputs, fn(x), strict=True):
        np.testing.assert_array_equal(
            found.astype("float32"), np.asarray(ops.cast(wanted, "float32"))
        )


def test_an_error_inside_tells_the_step(monkeypatch):
    def broken(*args, **params):
        raise RuntimeError("no luck")

    program, arrays = compiled(lambda x: ops.map(ops.argsort, x), data(3, 4))
    monkeypatch.setitem(current_engine().kernels, "argsort", broken)
    with pytest.raises(RuntimeError, match=r"scan: .*argsort: no luck"):
        current_engine().compile(program)(arrays)

"""Conversion, indexing, control and scans."""

import numpy as np
import pytest

from kbackend.autodiff import grad
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops import core
from kbackend.ops.keras_tensor import KerasTensor

keras = pytest.importorskip("keras")


def total(x):
    """Sum of all elements."""
    return lang.reduce_sum(x, tuple(range(len(x.shape))))


def test_conversion():
    x = core.convert_to_tensor([[1, 2]], dtype="float16")
    assert (core.shape(x), core.dtype(x), core.is_tensor(x)) == ((1, 2), "float16", True)
    assert core.shape(KerasTensor((None, 3))) == (None, 3)
    assert not core.is_tensor(KerasTensor((2,))) and not core.is_tensor(np.ones(2))
    host = core.convert_to_numpy(x)
    host[0, 0] = 7  # the caller's own copy
    assert x.tolist() == [[1.0, 2.0]]
    with pytest.raises(ValueError, match=r"\[convert_to_tensor\].*sparse=True"):
        core.convert_to_tensor([1], sparse=True)
    assert core.cast(KerasTensor((None, 2)), "int32").dtype == "int32"


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int32", "int64", "float16", "bfloat16", "bool"]
)
@pytest.mark.parametrize(
    "values", [[-300.0, 300.0, 1e10, -1e10, 0.4, np.nan, np.inf], [-300, 300, 0, 1, 2**30]]
)
def test_saturate_cast(values, dtype):
    found = core.saturate_cast(to_tensor(values), dtype)
    assert found.dtype == dtype
    exact = np.array(values, "float64")
    if dtype == "bool":
        return
    low, high = (
        (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if "int" in dtype
        else {"float16": (-65504, 65504), "bfloat16": (-3.39e38, 3.39e38)}[dtype]
    )
    wanted = np.clip(exact, low, high)
    if "int" in dtype:
        wanted = np.where(np.isnan(exact), 0, np.trunc(wanted))
    np.testing.assert_allclose(
        np.asarray(found).astype("float64"), wanted, rtol=1e-2 if "float" in dtype else 1e-9
    )


def test_stop_gradient_and_custom_gradient():
    x = np.array([1.0, 2.0], "float32")
    np.testing.assert_array_equal(grad(lambda x: total(x * core.stop_gradient(x)))(x), [1.0, 2.0])
    assert core.stop_gradient(KerasTensor((None, 2)))._keras_history is not None
    twice = core.custom_gradient(lambda x: (x * 2.0, lambda upstream: upstream * 7.0))
    np.testing.assert_array_equal(grad(lambda x: total(twice(x)))(x), [7.0, 7.0])


def test_scatter(agrees):
    indices = np.array([[0, 1], [2, 0], [0, 1]], "int32")
    values = np.array([1.0, 2.0, 3.0], "float32")
    agrees(
        lambda v: core.scatter(indices, v, (3, 2)),
        lambda v: keras.ops.scatter(indices, v, (3, 2)),
        values, batch=False,
    )  # fmt: skip


@pytest.mark.parametrize("reduction", [None, "add", "mul", "max", "min"])
def test_scatter_update(agrees, rng, reduction):
    indices = np.array([[0], [2]], "int32")
    agrees(
        lambda x, u: core.scatter_update(x, indices, u, reduction),
        lambda x, u: keras.ops.scatter_update(x, indices, u, reduction),
        rng.normal(size=(3, 2)).astype("float32"), rng.normal(size=(2, 2)).astype("float32"),
        batch=False, grads=reduction != "mul",  # JAX has no gradient of this
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"\[scatter_update\] 'reduction'.*'foo'"):
        core.scatter_update(np.zeros(3), [[0]], [1.0], "foo")


@pytest.mark.parametrize("starts", [(1, 1), (2, 1), (0, 0), np.array([2, 2])])
def test_slice_and_update(starts):
    x = np.arange(12).reshape(3, 4)
    for given in (starts, to_tensor(np.array(starts, "int32"))):
        np.testing.assert_array_equal(
            core.slice(x, given, (2, 2)), keras.ops.slice(x, np.array(starts), (2, 2))
        )
        np.testing.assert_array_equal(
            core.slice_update(x, given, np.full((2, 2), 9)),
            keras.ops.slice_update(x, np.array(starts), np.full((2, 2), 9)),
        )
    assert core.slice(x, (1, 1), (-1, 2)).tolist() == [[5, 6], [9, 10]]
    assert core.slice(KerasTensor((None, 4)), (0, 1), (2, 2)).shape == (2, 2)
    with pytest.raises(ValueError, match=r"\[slice\] the block does not fit"):
        core.slice(x, (0, 0), (4, 1))


def test_unstack():
    x = np.arange(6).reshape(2, 3)
    assert [p.tolist() for p in core.unstack(x, axis=-1)] == [[0, 3], [1, 4], [2, 5]]
    assert [p.shape for p in core.unstack(KerasTensor((None, 3)), num=2)] == [(3,), (3,)]
    with pytest.raises(ValueError):
        core.unstack(KerasTensor((None, 3)))
    with pytest.raises(ValueError, match=r"\[unstack\] 'num'"):
        core.unstack(x, num=3)


def test_cond_and_switch():
    assert core.cond(np.array(False), lambda: 1, lambda: 2) == 2
    assert core.switch(to_tensor(7), [lambda x: x, lambda x: x + 1], 3) == 4
    assert core.switch(-1, [lambda x: x, lambda x: x + 1], 3) == 3
    x = np.array(3.0, "float32")
    slope = grad(lambda x: core.cond(x > 2, lambda: x * x, lambda: x))(x)
    assert slope.item() == 6.0
    out = core.cond(KerasTensor((), "bool"), lambda: np.ones(2), lambda: np.zeros(2))
    assert out.shape == (2,)
    with pytest.raises(ValueError, match=r"\[cond\].*same shapes"):
        core.cond(
            KerasTensor((), "bool"), lambda: to_tensor(np.ones(2)), lambda: to_tensor(np.ones(3))
        )
    with pytest.raises(TypeError, match=r"\[cond\]"):
        core.cond(True, 1, 2)


def test_while_and_for():
    assert core.while_loop(lambda i: i < 5, lambda i: i + 1, 0) == 5
    assert core.while_loop(lambda i, j: i < 5, lambda i, j: (i + 1, j * 2), (0, 1)) == (5, 32)
    assert core.while_loop(lambda i: i < 5, lambda i: (i + 1,), [0], maximum_iterations=2) == (2,)
    assert core.fori_loop(to_tensor(1), 4, lambda i, s: s + i, 0) == 6
    x = to_tensor(2.0)
    slope = grad(lambda x: core.fori_loop(0, 3, lambda i, y: y * x, to_tensor(1.0)))(x)
    assert slope.item() == 12.0
    with pytest.raises(ValueError, match=r"\[while_loop\] 'body'"):
        core.while_loop(lambda i, j: True, lambda i, j: i, (0, 1))
    out = core.while_loop(
        lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (0, KerasTensor((None, 2)))
    )
    assert out[1].shape == (None, 2)


@pytest.mark.parametrize("reverse", [False, True])
def test_scan(agrees, rng, reverse):
    def step(c, x):
        return c * x + 1.0, (c, x * 2.0)

    def of(scan):
        def run(init, xs):
            carry, (a, b) = scan(step, init, xs, reverse=reverse)
            return carry, a, b

        return run

    agrees(
        of(core.scan), of(keras.ops.scan),
        rng.normal(size=(3,)).astype("float32"), rng.normal(size=(4, 3)).astype("float32"),
        batch=False,
    )  # fmt: skip
    carry, ys = core.scan(lambda c, _: (c + 1, None), 0, length=3)
    assert carry.item() == 3 and ys is None
    with pytest.raises(ValueError, match=r"\[scan\] needs 'length'"):
        core.scan(lambda c, x: (c, x), 0)


def test_map():
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(core.map(lambda r: r * 2, x), x * 2)
    out = core.vectorized_map(lambda p: {"a": p[0] + p[1]}, (x, x))
    np.testing.assert_array_equal(out["a"], x * 2)
    assert core.map(lambda r: r * 2, KerasTensor((None, 2))).shape == (None, 2)
    with pytest.raises(ValueError, match=r"\[map\].*same first dimension"):
        core.map(lambda p: p[0], (np.zeros(2), np.zeros(3)))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 13])
@pytest.mark.parametrize("reverse", [False, True])
def test_associative_scan(n, reverse, rng):
    x = rng.normal(size=(2, n)).astype("float32")
    np.testing.assert_allclose(
        core.associative_scan(lambda a, b: a + b, x, reverse=reverse, axis=1),
        keras.ops.associative_scan(lambda a, b: a + b, x, reverse=reverse, axis=1),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip
    # Not commutative: composition of the maps y -> a y + b.
    pair = tuple(rng.normal(size=(2, n)).astype("float32"))

    def compose(f, g):
        return f[0] * g[0], g[0] * f[1] + g[1]

    found = core.associative_scan(compose, pair, reverse=reverse)
    wanted = keras.ops.associative_scan(compose, pair, reverse=reverse)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

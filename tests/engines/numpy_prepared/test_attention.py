"""Attention into planned memory."""

import numpy as np
import pytest

from kbackend.core.tensor import Tensor
from kbackend.engine.loader import get_engine
from kbackend.ops.nn.attention import dot_product_attention_c
from kbackend_numpy import threads
from kbackend_numpy.kernels import attention
from kbackend_numpy.table import composites

from .harness import allocated, check, run

pytestmark = pytest.mark.engine("numpy")

KERNEL = composites()["dot_product_attention"]
# Bytes of the objects that stand for parts of arrays; arrays themselves are far larger.
VIEWS = 8192
PLAIN = {"scale": 0.3, "is_causal": False, "soft_cap": None, "biased": False, "masked": False}
# images, queries, keys, heads, size, width
SHAPES = [(2, 3, 5, 2, 4, 6), (1, 1, 1, 1, 1, 1), (3, 7, 7, 1, 5, 5), (2, 1, 9, 3, 2, 1)]


@pytest.fixture(params=[1, 2])
def workers(request, monkeypatch):
    """All on one thread, and in parts on two."""
    monkeypatch.setattr(threads, "count", lambda: request.param)
    monkeypatch.setattr(threads, "WORTH_SPLITTING", 0)
    monkeypatch.setattr(threads, "_pool", None)
    with threads.owned():
        yield request.param


def drawn(rng, shape, dtype="float32"):
    images, rows, keys, heads, size, width = shape
    shapes = (images, rows, heads, size), (images, keys, heads, size), (images, keys, heads, width)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def expected(inputs, params):
    """By the composite's body, in double precision."""
    wide = [a.astype("float64") if a.dtype == "float32" else a for a in inputs]
    tensors = [Tensor(a, get_engine("numpy")) for a in wide]
    with np.errstate(all="ignore"):
        return np.asarray(dot_product_attention_c.body(*tensors, **params))


def compare(inputs, **params):
    params = PLAIN | params
    (found,) = run(KERNEL, inputs, params)
    assert found.dtype == inputs[0].dtype
    # Exponentials of rounded products, of up to a few dozens, in float32.
    tolerance = 1e-5 if found.dtype == "float32" else 1e-12
    wanted = expected(inputs, params)
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
    # The kernel of eager calls may have been made for blocks of another size.
    check(KERNEL, inputs, params, tolerance, tolerance)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("params", [{}, {"is_causal": True}, {"soft_cap": 0.5}, {"scale": -2.0}])
def test_values(shape, dtype, params, rng, workers):
    compare(drawn(rng, shape, dtype), **params)


@pytest.mark.parametrize(("power", "base"), [(np.exp, np.e), (np.exp2, 2.0)])
def test_either_base(power, base, rng, monkeypatch):
    monkeypatch.setattr(attention, "POWER", power)
    monkeypatch.setattr(attention, "BASE", base)
    inputs = drawn(rng, (2, 3, 5, 2, 4, 6))
    compare(inputs)
    compare(inputs, is_causal=True, scale=50.0)
    compare([*inputs, np.full((3, 5), 2.0, "float32")], biased=True)


@pytest.mark.parametrize("block", [64, 200, 1000])
def test_blocks_of_images_of_heads_and_of_rows(block, rng, workers, monkeypatch):
    monkeypatch.setattr(attention, "BLOCK", block)
    for shape in SHAPES:
        images, rows, keys, heads, *_ = shape
        bias = rng.standard_normal((heads, 1, keys)).astype("float32")
        mask = rng.random((images, 1, rows, keys)) < 0.7
        inputs = [*drawn(rng, shape), bias, mask]
        compare(inputs, biased=True, masked=True, is_causal=True)


@pytest.mark.parametrize("broadcast", [(), (0,), (1,), (2,), (3,), (0, 1), (0, 1, 2, 3)])
def test_bias_and_mask_broadcast(broadcast, rng):
    whole = (2, 3, 4, 5)
    shape = tuple(1 if i in broadcast else d for i, d in enumerate(whole))
    inputs = drawn(rng, (2, 4, 5, 3, 6, 2))
    bias, mask = rng.standard_normal(shape).astype("float32"), rng.random(shape) < 0.6
    compare([*inputs, bias], biased=True)
    compare([*inputs, mask], masked=True)
    compare([*inputs, bias[0], mask[0]], biased=True, masked=True)


def test_rows_that_are_masked_average_all_values(rng):
    q, k, v = drawn(rng, (1, 3, 4, 2, 5, 6))
    mask = np.ones((1, 1, 3, 4), np.bool_)
    mask[..., 1, :] = False
    found = compare([q, k, v, mask], masked=True)
    np.testing.assert_allclose(found[:, 1], v.mean(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("factor", [30.0, -1000.0])
def test_products_that_are_large_or_far_below_zero(factor, rng):
    q, k, v = drawn(rng, (2, 5, 6, 2, 4, 3))
    k[:, 0] = q[:, 0]
    # The products are rounded to float32, and so their exponentials to as many digits less.
    np.testing.assert_allclose(
        run(KERNEL, [q, k, v], PLAIN | {"scale": factor})[0],
        expected([q, k, v], PLAIN | {"scale": factor}),
        rtol=1e-2, atol=1e-3,
    )  # fmt: skip
    low = np.full((1, 1, 1, 6), -200, "float32")
    compare([q, k, v, low], biased=True)


def test_the_ends_spread_as_in_the_body(rng):
    for place in range(3):
        for value in (np.nan, np.inf, -np.inf):
            inputs = drawn(rng, (2, 3, 4, 2, 5, 3))
            inputs[place][0, 1, 0, 2] = value
            compare(inputs)


def test_strided_inputs(rng):
    def turned(a):
        return a.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3)

    def part(a):
        return np.concatenate((a, a), 2)[:, :, : a.shape[2]]

    def columns(a):
        return a.transpose(3, 0, 1, 2).copy().transpose(1, 2, 3, 0)

    for view in (turned, part, columns):
        # BLAS may have another kernel for each layout, which rounds in its own order.
        check(KERNEL, [view(a) for a in drawn(rng, (2, 3, 5, 2, 4, 6))], PLAIN, 1e-5, 1e-6)


def test_nothing_to_do(rng):
    for shape in ((0, 3, 5, 2, 4, 6), (2, 0, 5, 2, 4, 6), (2, 3, 5, 0, 4, 6), (2, 3, 5, 2, 4, 0)):
        compare(drawn(rng, shape))


def test_nothing_is_allocated(rng):
    inputs = drawn(rng, (4, 32, 32, 4, 16, 16))
    assert allocated(KERNEL, inputs, PLAIN) < VIEWS
    # A bias that broadcasts is added through a buffer of NumPy's.
    inputs.append(np.ones((4, 1, 32, 32), np.bool_))
    assert allocated(KERNEL, inputs, PLAIN | {"masked": True, "is_causal": True}) < VIEWS

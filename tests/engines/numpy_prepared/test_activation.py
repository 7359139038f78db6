"""Activations and softmax into planned memory."""

import math

import numpy as np
import pytest

from kbackend_numpy import threads
from kbackend_numpy.kernels import activation, softmax
from kbackend_numpy.kernels.vectorised import vectorised
from kbackend_numpy.table import composites

from .harness import allocated, check, prepared, run

KERNELS = composites()
# Bytes of the objects that stand for parts of arrays; arrays themselves are far larger.
VIEWS = 4096

# name, arrays of floats, parameters
ELEMENTWISE = [
    ("relu", 1, {}),
    ("relu_grad", 2, {}),
    ("softplus", 1, {}),
    ("softplus_grad", 2, {}),
    ("silu", 1, {}),
    ("silu_grad", 3, {}),
    ("gelu", 1, {"approximate": True}),
    ("gelu", 1, {"approximate": False}),
    ("gelu_grad", 3, {"approximate": True}),
    ("gelu_grad", 3, {"approximate": False}),
]
BY_CLASS = [("softmax", 1), ("softmax_grad", 2), ("log_softmax", 1), ("log_softmax_grad", 2)]
# One block, several blocks, with a short one at the end.
SHAPES = [(), (0, 3), (7, 5), (3, 70000), (131, 1000)]


@pytest.fixture(params=[1, 2])
def workers(request, monkeypatch):
    """All kernels on one thread, and in parts on two."""
    monkeypatch.setattr(threads, "count", lambda: request.param)
    monkeypatch.setattr(threads, "WORTH_SPLITTING", 0)
    monkeypatch.setattr(threads, "_pool", None)
    with threads.owned():
        yield request.param


def floats(rng, shape, count, dtype="float32"):
    return [np.asarray(3 * rng.standard_normal(shape)).astype(dtype) for _ in range(count)]


def test_all_are_tested():
    tested = {name for name, *_ in ELEMENTWISE + BY_CLASS} | {"masked_scale"}
    assert tested == activation.COMPOSITES.keys() | softmax.COMPOSITES.keys()


@pytest.mark.parametrize(("name", "count", "params"), ELEMENTWISE)
@pytest.mark.parametrize("shape", SHAPES)
def test_elementwise(name, count, params, shape, rng, workers):
    check(KERNELS[name], floats(rng, shape, count), params)


@pytest.mark.parametrize(("name", "count", "params"), ELEMENTWISE)
def test_elementwise_of_strided_arrays(name, count, params, rng, workers):
    for shape in ((5, 7), (400, 300)):
        arrays = floats(rng, shape, count)
        arrays[0] = floats(rng, shape[::-1], 1)[0].T
        check(KERNELS[name], arrays, params)
        arrays[-1] = np.broadcast_to(floats(rng, shape[1:], 1)[0], shape)
        check(KERNELS[name], arrays, params)


@pytest.mark.parametrize(("name", "count", "params"), ELEMENTWISE)
def test_elementwise_in_double_precision(name, count, params, rng):
    if name == "gelu" and not params["approximate"]:
        pytest.skip("declined")
    check(KERNELS[name], floats(rng, (7, 5), count, "float64"), params)


@pytest.mark.parametrize(("name", "count", "params"), ELEMENTWISE)
def test_elementwise_at_the_ends(name, count, params):
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 200.0], "float32")
    check(KERNELS[name], [a.ravel().copy() for a in np.meshgrid(*[ends] * count)], params)


@pytest.mark.parametrize(("name", "count", "params"), ELEMENTWISE)
def test_elementwise_allocates_nothing(name, count, params, rng):
    for shape in ((100, 100), (400, 300)):
        assert allocated(KERNELS[name], floats(rng, shape, count), params) < VIEWS


def test_gelu_is_declined_in_double_precision(rng):
    with pytest.raises(AssertionError, match="declined"):
        prepared(KERNELS["gelu"], floats(rng, (3,), 1, "float64"), {"approximate": False})


def test_gelu_is_exact():
    x = np.linspace(-9, 9, 20001, dtype="float32")
    exact = [0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x.tolist()]
    (found,) = run(KERNELS["gelu"], [x], {"approximate": False})
    # The fit is good to 7e-8; the exponential and its argument are rounded.
    np.testing.assert_array_less(np.abs(found - exact), 2e-7 * np.maximum(1, np.abs(x)))


def test_gelu_is_as_exact_with_either_power(monkeypatch):
    x = np.linspace(-9, 9, 20001, dtype="float32")
    (found,) = run(KERNELS["gelu"], [x], {"approximate": False})
    for power, base in ((np.exp, math.e), (np.exp2, 2.0)):
        scale = np.array(-activation._CDF[0] / math.log(base), np.float32)
        monkeypatch.setattr(activation, "POWER", power)
        monkeypatch.setattr(activation, "_SCALE", scale)
        (other,) = run(KERNELS["gelu"], [x], {"approximate": False})
        # The arguments of the power are rounded otherwise.
        np.testing.assert_allclose(other, found, rtol=0, atol=5e-7)


def test_what_is_vectorised_is_known():
    assert vectorised("add") or not vectorised("exp2")
    assert not vectorised("no_such_function")


def test_gradient_of_gelu_is_exact():
    x = np.linspace(-9, 9, 20001, dtype="float32")
    x[:3] = 0.0, 1e-45, -1e-36
    slopes = [
        0.5 * math.erfc(-v / math.sqrt(2)) + v * math.exp(-0.5 * v * v) / math.sqrt(2 * math.pi)
        for v in x.tolist()
    ]
    (result,) = run(KERNELS["gelu"], [x], {"approximate": False})
    (found,) = run(KERNELS["gelu_grad"], [np.ones_like(x), result, x], {"approximate": False})
    np.testing.assert_allclose(found, slopes, rtol=0, atol=4e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "mask"),
    [((), ()), ((3, 4), (3, 4)), ((3, 4), (3, 1)), ((4,), (3, 4)), ((400, 500), (400, 500)),
     ((400, 500), (500,)), ((0, 4), (0, 4))],
)  # fmt: skip
def test_masked_scale(dtype, shape, mask, rng, workers):
    (x,) = floats(rng, shape, 1, dtype)
    if x.size > 2:
        x.reshape(-1)[:3] = [np.nan, np.inf, -np.inf]
    check(KERNELS["masked_scale"], [x, np.asarray(rng.uniform(size=mask) > 0.5)], {"scale": 1.25})


def test_masked_scale_allocates_nothing(rng):
    (x,) = floats(rng, (400, 300), 1)
    assert allocated(KERNELS["masked_scale"], [x, x > 0], {"scale": 1.25}) < VIEWS


# ----- softmax -----

# shape, axes: few and many classes, one class, several axes, axes in front, several blocks
CLASSES = [
    ((7, 10), (1,)), ((7, 100), (1,)), ((7, 1), (1,)), ((3, 4, 5), (2,)), ((3, 4, 5), (1, 2)),
    ((3, 4, 5), (0,)), ((3, 4, 5), (0, 2)), ((3, 4, 5), (0, 1, 2)), ((5,), (0,)), ((0, 4), (1,)),
    ((9001, 10), (1,)), ((30, 500, 16), (1,)), ((3, 70000), (1,)), ((), ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "count"), BY_CLASS)
@pytest.mark.parametrize(("shape", "axes"), CLASSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_over_classes(name, count, shape, axes, dtype, rng, workers):
    # Blocks may differ between one thread and two; sums of rows and choices of shifts do not.
    check(KERNELS[name], floats(rng, shape, count, dtype), {"axes": axes}, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "count"), BY_CLASS)
def test_over_classes_of_strided_arrays(name, count, rng, workers):
    arrays = [a.T for a in floats(rng, (6, 9), count)]
    check(KERNELS[name], arrays, {"axes": (1,)}, rtol=1e-5, atol=1e-6)
    arrays[0] = np.broadcast_to(floats(rng, (6,), 1)[0], (9, 6))
    check(KERNELS[name], arrays, {"axes": (1,)}, rtol=1e-5, atol=1e-6)
    check(KERNELS[name], arrays, {"axes": (0,)}, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("offset", [-1000.0, -50.0, -5.0, 0.0, 30.0, 60.0, 1e6])
@pytest.mark.parametrize("classes", [10, 80])
def test_softmax_with_and_without_shift(offset, classes, rng):
    x = rng.standard_normal((20, classes)).astype("float32")
    x[3:5, 2:] = -1e9  # as masks do
    x += np.float32(offset)
    e = np.exp(x.astype("float64") - x.max(1, keepdims=True))
    (found,) = run(KERNELS["softmax"], [x], {"axes": (1,)})
    # A few roundings, of the exponential, the sum and the quotient.
    np.testing.assert_allclose(found, e / e.sum(1, keepdims=True), rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("classes", [4, 40, 400])
def test_softmax_at_the_ends(name, classes):
    x = np.zeros((6, classes), "float32")
    x[0, 1], x[1, 1], x[2], x[3, 2], x[4, 0], x[5, 0] = (
        np.inf,
        -np.inf,
        -np.inf,
        np.nan,
        1e30,
        -1e30,
    )
    check(KERNELS[name], [x], {"axes": (1,)})


@pytest.mark.parametrize(("name", "count"), BY_CLASS)
def test_over_classes_allocates_nothing(name, count, rng):
    for shape in ((100, 10), (3000, 40)):
        assert allocated(KERNELS[name], floats(rng, shape, count), {"axes": (1,)}) < VIEWS

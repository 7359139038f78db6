"""NumPy's kernels of the activations against the composites' own bodies."""

import numpy as np
import pytest

from kbackend.base.dtypes import numpy_dtype
from kbackend.core.tensor import Tensor
from kbackend.engine.loader import current_engine
from kbackend.ops.nn.activation import (
    gelu_c,
    gelu_grad_c,
    silu_c,
    silu_grad_c,
    softplus_c,
    softplus_grad_c,
)
from kbackend.ops.nn.normalized_exp import (
    log_softmax_c,
    log_softmax_grad_c,
    softmax_c,
    softmax_grad_c,
)
from kbackend.ops.nn.rectifiers import relu_c, relu_grad_c
from kbackend.random.noise import masked_scale
from kbackend_numpy.kernels import activation

pytestmark = pytest.mark.usefixtures("numpy_engine")

# composite, number of arguments, parameters
ELEMENTWISE = [
    (relu_c, 1, {}),
    (relu_grad_c, 2, {}),
    (softplus_c, 1, {}),
    (softplus_grad_c, 2, {}),
    (silu_c, 1, {}),
    (silu_grad_c, 3, {}),
    (gelu_c, 1, {"approximate": True}),
    (gelu_c, 1, {"approximate": False}),
    (gelu_grad_c, 3, {"approximate": True}),
    (gelu_grad_c, 3, {"approximate": False}),
]
BY_CLASS = [(softmax_c, 1), (softmax_grad_c, 2), (log_softmax_c, 1), (log_softmax_grad_c, 2)]
# shape, axes: few and many classes, several axes, axes in front, more than one block, no samples
CLASSES = [
    ((7, 10), (1,)), ((7, 100), (1,)), ((3, 4, 5), (2,)), ((3, 4, 5), (1, 2)), ((3, 4, 5), (0,)),
    ((3, 4, 5), (0, 2)), ((3, 4, 5), (0, 1, 2)), ((5,), (0,)), ((1, 1), (1,)), ((0, 4), (1,)),
    ((9000, 10), (1,)), ((300, 500), (1,)), ((), ()),
]  # fmt: skip


def apply(rule, arrays, params):
    out = rule(*[Tensor(a, current_engine()) for a in arrays], **params)
    return np.asarray(out)


def compare(composite, arrays, params, tol=1e-5):
    """The kernel's result, after comparing it with the body's in float64."""
    for array in arrays:
        array.flags.writeable = False
    found = apply(composite, arrays, params)
    exact = [a.astype("float64") if a.dtype.kind not in "ib" else a for a in arrays]
    with np.errstate(all="ignore"):
        wanted = apply(composite.body, exact, params)
    assert found.__class__ is np.ndarray
    assert found.shape == wanted.shape
    assert found.dtype == next(a.dtype for a in arrays if a.dtype.kind not in "ib")
    scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=0)
    found = found.astype("float64")
    np.testing.assert_allclose(found, wanted, rtol=tol, atol=tol * (1 + scale))


def normal(rng, shape, dtype="float32", count=1):
    return [np.asarray(3 * rng.normal(size=shape)).astype(numpy_dtype(dtype)) for _ in range(count)]


def with_result(composite, arrays, params):
    """The arrays, with the result that belongs to them where the kernel relies on it."""
    if composite is gelu_grad_c and not params["approximate"]:
        g, _, x = arrays
        # Far out the slope may underflow or not, which an infinite g would show.
        g = np.where(np.isinf(g), np.ones_like(g), g)
        with np.errstate(all="ignore"):
            return [g, apply(gelu_c.body, [x], params).copy(), x]
    return arrays


def names(value):
    return getattr(value, "name", None)


def test_all_kernels_are_used():
    assert activation.COMPOSITES.keys() <= current_engine().composites.keys()


@pytest.mark.parametrize(("composite", "count", "params"), ELEMENTWISE, ids=names)
@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (300, 500)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elementwise(composite, count, params, shape, dtype):
    rng = np.random.default_rng(0)
    compare(composite, with_result(composite, normal(rng, shape, dtype, count), params), params)
    turned = [a.T for a in normal(rng, shape, dtype, count)]
    compare(composite, with_result(composite, turned, params), params)


@pytest.mark.parametrize(("composite", "count", "params"), ELEMENTWISE, ids=names)
def test_elementwise_at_the_ends(composite, count, params):
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 200.0, -200.0], "float32")
    arrays = [a.ravel().copy() for a in np.meshgrid(*[ends] * count)]
    arrays = with_result(composite, arrays, params)
    found = apply(composite, arrays, params)
    with np.errstate(all="ignore"):
        wanted = apply(composite.body, arrays, params)
    # What is too small for float32 may come out as zero or not, times a g of 1e30.
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("composite", "count", "params"), ELEMENTWISE, ids=names)
def test_half_precision_is_rounded_once(composite, count, params, dtype):
    arrays = normal(np.random.default_rng(0), (6, 7), dtype, count)
    # One rounding, of 8 bits or of 11.
    compare(composite, arrays, params, tol=2**-8 if dtype == "bfloat16" else 2**-11)


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_relu_of_integers(dtype):
    x = np.array([[0, 3], [7, 250]]).astype("uint8").view("int8" if dtype == "int32" else "uint8")
    found = apply(relu_c, [x.astype(dtype)], {})
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.maximum(x, 0))


@pytest.mark.parametrize("composite", BY_CLASS, ids=lambda c: c[0].name)
@pytest.mark.parametrize(("shape", "axes"), CLASSES)
def test_over_classes(composite, shape, axes):
    composite, count = composite
    rng = np.random.default_rng(0)
    arrays = normal(rng, shape, "float32", count)
    if count == 2:
        # The second argument is a result: probabilities, or their logarithms.
        arrays[1] = -np.abs(arrays[1]) if composite is log_softmax_grad_c else abs(arrays[1]) / 10
        arrays[1] = np.asarray(arrays[1], "float32")
    compare(composite, arrays, {"axes": axes}, tol=2e-5)


@pytest.mark.parametrize("composite", BY_CLASS, ids=lambda c: c[0].name)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_over_classes_in_other_dtypes(composite, dtype):
    composite, count = composite
    arrays = [a / 4 for a in normal(np.random.default_rng(0), (6, 10), dtype, count)]
    tol = {"float64": 1e-14, "bfloat16": 2**-8, "float16": 2**-11}[dtype]
    compare(composite, arrays, {"axes": (1,)}, tol=tol)


@pytest.mark.parametrize("classes", [4, 40])
@pytest.mark.parametrize("composite", [softmax_c, log_softmax_c], ids=names)
def test_softmax_at_the_ends(composite, classes):
    x = np.zeros((6, classes), "float32")
    x[0, 1] = np.inf
    x[1, 1] = -np.inf
    x[2] = -np.inf
    x[3, 2] = np.nan
    x[4, 0] = 1e30
    x[5, 0] = -1e30
    with np.errstate(all="ignore"):
        wanted = apply(composite.body, [x], {"axes": (1,)})
    np.testing.assert_allclose(apply(composite, [x], {"axes": (1,)}), wanted, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize(
    ("shape", "mask"),
    [((), ()), ((3, 4), (3, 4)), ((3, 4), (3, 1)), ((0, 4), (0, 4)), ((400, 500), (400, 500))],
)
def test_masked_scale(dtype, shape, mask):
    rng = np.random.default_rng(0)
    (x,) = normal(rng, shape, dtype)
    if x.size > 2:
        x.reshape(-1)[:3] = [np.nan, np.inf, -np.inf]
    keep = np.asarray(rng.uniform(size=mask) > 0.5)
    found = apply(masked_scale, [x, keep], {"scale": 2.0})
    assert found.dtype == x.dtype
    found = found.astype("float64")
    np.testing.assert_array_equal(found, np.where(keep, x.astype("float64") * 2, 0.0))
    assert not np.signbit(found[~np.broadcast_to(keep, shape)]).any()


@pytest.mark.parametrize(
    "fn",
    [
        relu_c,
        softplus_c,
        silu_c,
        lambda x: gelu_c(x, approximate=True),
        lambda x: gelu_c(x, approximate=False),
        lambda x: softmax_c(x, axes=(1,)),
        lambda x: softmax_c(x, axes=(0,)),
        lambda x: log_softmax_c(x, axes=(1,)),
    ],
)
def test_gradients(check_grads, fn):
    check_grads(fn, np.random.default_rng(0).normal(size=(3, 4)))

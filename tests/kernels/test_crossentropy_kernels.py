"""NumPy's kernels of the cross entropies against the composites' own bodies."""

import numpy as np
import pytest

from kbackend.base.dtypes import numpy_dtype
from kbackend.core.composite import COMPOSITES
from kbackend.core.tensor import Tensor, tensor
from kbackend.engine.loader import current_engine
from kbackend.ops.nn import crossentropy as entropies
from kbackend_numpy.kernels import crossentropy

pytestmark = pytest.mark.usefixtures("numpy_engine")

EPSILON = {"epsilon": 1e-7}
# what the arguments are (see `draw`), parameters
CASES = {
    "softmax_cross_entropy": ("pl", {"axes": (1,)}),
    "softmax_cross_entropy_grad": ("kpl", {"axes": (1,)}),
    "probability_cross_entropy": ("pp", {"axes": (1,), **EPSILON}),
    "probability_cross_entropy_grad": ("kpp", {"axes": (1,), **EPSILON}),
    "sparse_softmax_cross_entropy": ("il", {}),
    "sparse_softmax_cross_entropy_grad": ("ril", {}),
    "sparse_probability_cross_entropy": ("ip", EPSILON),
    "sparse_probability_cross_entropy_grad": ("rip", EPSILON),
    "sigmoid_cross_entropy": ("pl", {}),
    "sigmoid_cross_entropy_grad": ("lpl", {}),
    "binary_probability_cross_entropy": ("pp", EPSILON),
    "binary_probability_cross_entropy_grad": ("lpp", EPSILON),
}
SHAPES = [(0, 5), (1, 1), (7, 10), (7, 100), (9000, 10), (300, 500)]


def draw(kind, rng, shape, dtype="float32"):
    """Probabilities, logits, one number per row (with or without a class dimension), or labels."""
    rows, classes = shape
    if kind == "i":
        # Some name no class.
        return rng.integers(-1, classes + 1, size=rows).astype("int32")
    if kind == "p":
        made = rng.uniform(0.01, 0.99, size=shape)
    else:
        made = 3 * rng.normal(size={"l": shape, "k": (rows, 1), "r": (rows,)}[kind])
    return made.astype(numpy_dtype(dtype))


def apply(rule, arrays, params):
    return np.asarray(rule(*[Tensor(a, current_engine()) for a in arrays], **params))


def compare(name, arrays, params, tol):
    for array in arrays:
        array.flags.writeable = False
    found = apply(COMPOSITES[name], arrays, params)
    exact = [a if a.dtype == "int32" else a.astype("float64") for a in arrays]
    with np.errstate(all="ignore"):
        wanted = apply(COMPOSITES[name].body, exact, params)
    assert found.shape == wanted.shape
    assert found.dtype == arrays[-1].dtype
    scale = np.abs(wanted).max(initial=0)
    # Errors are relative to the largest of the terms that cancel.
    np.testing.assert_allclose(found.astype("float64"), wanted, rtol=tol, atol=tol * (1 + scale))


def test_every_kernel_has_a_case():
    assert crossentropy.COMPOSITES.keys() == CASES.keys()
    assert CASES.keys() <= current_engine().composites.keys()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_values(name, shape):
    kinds, params = CASES[name]
    rng = np.random.default_rng(0)
    compare(name, [draw(kind, rng, shape) for kind in kinds], params, 2e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_other_dtypes(name, dtype):
    kinds, params = CASES[name]
    rng = np.random.default_rng(0)
    # The last two: one rounding.
    tol = {"float64": 1e-13, "bfloat16": 2**-8, "float16": 2**-11}[dtype]
    compare(name, [draw(kind, rng, (6, 10), dtype) for kind in kinds], params, tol)


@pytest.mark.parametrize("name", CASES)
def test_columns_of_a_larger_array(name):
    kinds, params = CASES[name]
    rng = np.random.default_rng(0)
    arrays = [draw(kind, rng, (6, 40)) for kind in kinds]
    arrays = [np.repeat(a, 2, axis=-1)[..., ::2] for a in arrays]
    compare(name, arrays, params, 2e-5)


@pytest.mark.parametrize("name", [n for n, (_, p) in CASES.items() if "axes" in p])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_axes(name, axes):
    kinds, params = CASES[name]
    rng = np.random.default_rng(0)
    shape = (3, 4, 5)
    kept = [1 if i in axes else d for i, d in enumerate(shape)]
    arrays = [rng.uniform(0.1, 0.9, size=kept if k == "k" else shape).astype("f") for k in kinds]
    compare(name, arrays, {**params, "axes": axes}, 2e-5)


@pytest.mark.parametrize("classes", [3, 40])
@pytest.mark.parametrize("name", CASES)
def test_at_the_ends(name, classes):
    kinds, params = CASES[name]
    rng = np.random.default_rng(0)
    arrays = [draw(kind, rng, (8, classes)) for kind in kinds]
    last = arrays[-1]
    last[0, 0], last[1, 0], last[2, 1], last[3, 2] = np.nan, np.inf, -np.inf, 0.0
    last[4], last[5] = 0.0, np.eye(classes)[0]
    last[6, 0], last[7, 1] = 1.0, 1e30
    if kinds[0] == "p":
        arrays[0][5] = np.eye(classes)[1]
    found = apply(COMPOSITES[name], arrays, params)
    with np.errstate(all="ignore"):
        wanted = apply(COMPOSITES[name].body, arrays, params)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", [n for n in CASES if not n.endswith("_grad")])
def test_gradients(check_grads, name):
    kinds, params = CASES[name]
    rng = np.random.default_rng(0)
    arrays = [draw(kind, rng, (3, 4), "float64") for kind in kinds]
    rule = getattr(entropies, name)
    if kinds[0] == "i":
        labels = tensor(arrays[0])
        check_grads(lambda x: rule(labels, x, **params), arrays[1])
    else:
        check_grads(lambda t, x: rule(t, x, **params), *arrays)

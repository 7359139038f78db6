"""Compiled attention and its gradient."""

import llvmlite.binding as llvm
import numpy as np
import pytest

from kbackend.compiler.lower import lower
from kbackend.compiler.pipeline import optimize
from kbackend.core.tensor import tensor
from kbackend.ops.nn.attention import dot_product_attention_c, dot_product_attention_grad_c
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import object_code
from kbackend_numba.codegen.target import describe
from kbackend_numba.engine import NumbaEngine
from kbackend_numba.kernels.attention_reference import attention_gradient
from kbackend_numba.native import Native
from kbackend_numpy.engine import NumpyEngine
from tests.compiler.support import traced
from tests.engines.numba.harness import check, item_by_item, prepared
from tests.engines.numba.test_targets import TARGETS
from tests.engines.numpy_prepared.harness import garbage

pytestmark = pytest.mark.engine("numpy")

# Images, queries, keys, heads, size of queries and keys, size of values, causal, shape of the mask.
CASES = {
    "small": (2, 5, 7, 3, 4, 4, False, None),
    "even": (1, 64, 64, 2, 16, 16, False, None),
    "odd sizes": (2, 33, 70, 2, 17, 40, False, None),
    "causal": (1, 64, 300, 2, 64, 64, True, None),
    "causal, more queries": (1, 40, 9, 2, 8, 8, True, None),
    "causal, masked": (2, 33, 33, 3, 16, 16, True, (2, 1, 33, 33)),
    "masked pairs": (2, 33, 20, 3, 16, 16, False, (33, 20)),
    "masked keys": (2, 17, 20, 3, 16, 16, False, (2, 1, 1, 20)),
    "masked queries": (2, 33, 20, 3, 16, 16, False, (2, 1, 33, 1)),
    "ones": (1, 3, 20, 1, 1, 1, False, (1, 1, 1, 20)),
    "long": (1, 700, 1000, 1, 32, 32, False, None),
}
# Sums in another order, and two roundings of an exponential.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def drawn(case, dtype, rng, strided=False):
    """The inputs, cotangents of the result, and the parameters."""
    images, queries, keys, heads, depth, width, causal, mask = case

    def rows(count, size):
        if strided:
            return rng.standard_normal((images, heads, count, size)).astype(dtype).swapaxes(1, 2)
        return rng.standard_normal((images, count, heads, size)).astype(dtype)

    inputs = [rows(queries, depth), rows(keys, depth), rows(keys, width)]
    g = rows(queries, width)
    if mask is not None:
        inputs.append(rng.random(mask) < 0.6)
    params = {
        "scale": depth**-0.5, "is_causal": causal, "soft_cap": None, "biased": False,
        "masked": mask is not None,
    }  # fmt: skip
    return inputs, g, params


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_forward(name, dtype, rng):
    tolerance = TOLERANCE[dtype]
    for strided in (False, True):
        inputs, _, params = drawn(CASES[name], dtype, rng, strided)
        check("dot_product_attention", inputs, params, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_gradient(name, dtype, rng):
    tolerance = TOLERANCE[dtype]
    for strided in (False, True):
        inputs, g, params = drawn(CASES[name], dtype, rng, strided)
        wanted = attention_gradient(*[x.astype("float64") for x in (g, *inputs[:3])], *inputs[3:],
                                    **params)  # fmt: skip
        outputs = [np.empty(x.shape, dtype) for x in inputs[:3]]
        ready = prepared("dot_product_attention_grad", (g, *inputs), outputs, params)
        assert isinstance(ready, Native), "declined"
        whole, pieces = ([np.full_like(x, np.nan) for x in outputs] for _ in range(2))
        ready.run(*whole, g, *inputs, *map(garbage, ready.scratch))
        item_by_item(ready, [*pieces, g, *inputs, *map(garbage, ready.scratch)])
        for found, piece, want in zip(whole, pieces, wanted, strict=True):
            np.testing.assert_array_equal(found, piece)
            np.testing.assert_allclose(found, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("soft_cap", [None, 2.0])
@pytest.mark.parametrize("name", ["small", "causal, masked"])
def test_reference(name, soft_cap, biased, rng):
    """What NumPy computes where the compiled kernel declines, against the body's gradient."""
    inputs, g, params = drawn(CASES[name], "float64", rng)
    params |= {"soft_cap": soft_cap, "biased": biased}
    if biased:
        inputs.insert(3, rng.standard_normal((1, inputs[0].shape[2], 1, inputs[1].shape[1])))
    arrays = (g, *inputs)
    outputs = [np.empty(x.shape) for x in inputs[: 3 + biased]]
    declined = prepared("dot_product_attention_grad", arrays, outputs, params) is None
    assert declined == (biased or soft_cap is not None)
    wanted = dot_product_attention_grad_c.body(*map(tensor, arrays), **params)
    found = NumbaEngine().composites["dot_product_attention_grad"].fn(*arrays, **params)
    assert len(found) == len(wanted) == 3 + biased
    for f, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(f, w.numpy(), rtol=1e-9, atol=1e-12)


def test_nan_and_infinity(rng):
    inputs, _, params = drawn(CASES["even"], "float32", rng)
    inputs[0][0, 3, 1, 2] = np.nan
    inputs[1][0, 5, 0, 1] = np.inf
    check("dot_product_attention", inputs, params, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("engine", [NumpyEngine, NumbaEngine])
def test_weights_are_kept_or_computed_again(engine):
    """An engine without a kernel of the gradient runs the bodies, and their common work once."""
    params = {"scale": 0.5, "is_causal": False, "soft_cap": None, "biased": False, "masked": False}

    def train(g, q, k, v):
        out = dot_product_attention_c(q, k, v, **params)
        return (out, *dot_product_attention_grad_c(g, q, k, v, **params))

    graph = traced(train, *[(2, 9, 3, 8)] * 4)
    names = [step.name for step in lower(optimize(graph, engine()), engine()).steps]
    if engine is NumbaEngine:
        assert names == ["dot_product_attention", "dot_product_attention_grad"]
    else:
        assert names.count("softmax") == 1 and names.count("dot") == 6


@pytest.mark.parametrize(("triple", "features"), TARGETS)
def test_other_processors(triple, features, rng):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = describe(triple, "", features)
    inputs, g, params = drawn(CASES["causal, masked"], "float32", rng)
    forward = prepared("dot_product_attention", inputs, [g], params)
    back = prepared("dot_product_attention_grad", (g, *inputs), inputs[:3], params)

    def module(function):
        code = Code("kernel", target)
        function._write(code)
        return code.finish()

    for call in (*forward.calls, *back.calls):
        assert object_code(lambda call=call: module(call.function), target)

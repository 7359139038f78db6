"""Attention on the simulated GPU: curves of training, and single calls."""

import numpy as np
import pytest

import kbackend as keras
from kbackend import ops
from kbackend.autodiff import vjp
from kbackend.compiler.compiled import jit
from kbackend.core import lang
from kbackend.core.tensor import tensor
from kbackend.ops.nn.attention import dot_product_attention_c
from kbackend_cupy.codegen import attention, loop
from tests.engines.cupy.attention import Case
from tests.engines.cupy.simulated import models

layers = keras.layers
# images, queries, keys, heads, depth, width: each head one tile, and several tiles.
ONE, SEVERAL = (2, 5, 7, 2, 4, 6), (2, 70, 66, 2, 4, 6)


class Attention(layers.Layer):
    """A sequence attends to itself, as `how` says.

    Args:
        dropout: part of the weights that is dropped.
        causal: whether a step sees no later steps.
        grouped: whether pairs of heads have keys and values in common.
    """

    def __init__(self, dropout=0.0, causal=False, grouped=False):
        super().__init__()
        self.supports_masking = True
        self.causal = causal
        self.attention = layers.MultiHeadAttention(2, 4, dropout=dropout)
        if grouped:
            self.attention = layers.GroupQueryAttention(4, 4, 2)
        self.norm = layers.LayerNormalization()

    def build(self, shape):
        self.attention.build(shape, shape)
        self.norm.build(shape)

    def call(self, x, mask=None):
        kept = {} if mask is None else {"query_mask": mask, "value_mask": mask}
        return self.norm(x + self.attention(x, x, use_causal_mask=self.causal, **kept))


MODELS = {
    "plain": lambda: [Attention()],
    "masked": lambda: [layers.Masking(0.0), Attention()],
    "causal": lambda: [layers.Masking(0.0), Attention(causal=True), Attention(causal=True)],
    "dropped": lambda: [Attention(dropout=0.25), Attention()],
    "grouped": lambda: [Attention(grouped=True)],
}


def trained(name, engine="cupy", epochs=3):
    """The curve of a model's training on sequences of several lengths, and what it predicts."""
    x, y = models.data("transformer")
    # One of them has nothing that is not masked.
    x = x * (np.arange(6) < np.arange(len(x))[:, None] % 7)[..., None]

    def stack():
        return [*MODELS[name](), layers.GlobalAveragePooling1D(), layers.Dense(5)]

    return models.curve(engine, stack, x, y, epochs)


@pytest.mark.parametrize("name", MODELS)
def test_curves_are_those_of_numpy_and_the_same_in_each_run(gpu, name):
    found, expected = trained(name), trained(name, "numpy")
    for a, b in zip(found, trained(name), strict=True):
        np.testing.assert_array_equal(a, b)
    # Sums in other orders, three epochs long.
    np.testing.assert_allclose(found[0], expected[0], rtol=2e-4)
    np.testing.assert_allclose(found[1], expected[1], rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("sizes", [ONE, SEVERAL])
def test_single_calls_and_programs_are_the_same(gpu, sizes):
    case = Case(sizes, mask=sizes[1:3], causal=True)

    def attend(*inputs):
        return dot_product_attention_c(*inputs, tensor(case.mask), **case.params)

    def both(g, *inputs):
        made, pull = vjp(attend, *inputs)
        return made, *pull(g)

    given = [tensor(a) for a in (case.g, *case.inputs)]
    single, compiled = both(*given), jit(both)(*given)
    for a, b, expected in zip(single, compiled, case.reference(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        np.testing.assert_allclose(a.numpy(), expected, rtol=1e-5, atol=2e-5)


def test_a_single_call_is_one_launch(gpu):
    case = Case(SEVERAL)
    q, k, v = map(tensor, case.inputs)
    ops.dot_product_attention(q, k, v)
    with gpu.counted() as found:
        ops.dot_product_attention(q, k, v)
    assert found[0].launches == 1


@pytest.mark.parametrize("bias", ["float32", "int32", "bool"])
def test_biases_have_gradients_too(gpu, bias):
    case = Case(ONE)
    shape = (*ONE[1:2], ONE[2])
    bias = np.random.default_rng(0).integers(0, 2, shape).astype(bias)
    found = []
    for engine in ("cupy", "numpy"):
        keras.set_backend(engine)
        given = [tensor(a) for a in (*case.inputs, bias.astype("float32"))]
        made, pull = vjp(lambda *args: ops.dot_product_attention(*args), *given)
        plain = ops.dot_product_attention(*given[:3], bias=tensor(bias))
        found.append([one.numpy() for one in (made, *pull(tensor(case.g)), plain)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_elements_that_lie_far_apart_are_copied(gpu, compiled, monkeypatch):
    case = Case(ONE)

    def sparse(x, *rest):
        return dot_product_attention_c(lang.slice_(x, (0,) * 4, (2, 5, 2, 4)), *rest, **case.params)

    expected = dot_product_attention_c(*map(tensor, case.inputs), **case.params)
    # As if there were billions between them.
    monkeypatch.setattr(loop, "SHORT", 500)
    large = np.zeros((2, 60, 2, 4), "float32")
    large[:, :5] = case.inputs[0]
    given = [tensor(large), *map(tensor, case.inputs[1:])]
    found = (jit(sparse) if compiled else sparse)(*given)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_what_has_no_room_is_the_body(gpu):
    case = Case((1, 3, 4, 1, 300, 5))
    given = [tensor(a) for a in case.inputs]
    assert not attention.able(300, 5, False)
    with gpu.counted() as counts:
        found = dot_product_attention_c(*given, **case.params)
    assert counts[0].launches > 1
    np.testing.assert_allclose(found.numpy(), case.reference(False)[0], rtol=1e-5, atol=1e-5)

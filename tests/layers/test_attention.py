"""Attention layers against Keras on JAX."""

import numpy as np
import pytest

import kbackend
from kbackend import layers
from tests.layers.harness import check_layer, keras

Q, V, K = (2, 3, 4), (2, 5, 4), (2, 5, 4)
Q_MASK = np.array([[True, True, False], [True, False, True]])
V_MASK = np.array([[True, True, False, True, False], [False, True, True, True, True]])


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
@pytest.mark.parametrize(
    ("kwargs", "inputs", "call"),
    [
        ({}, [Q, V], {}),
        ({"use_scale": True}, [Q, V, K], {"return_attention_scores": True}),
        ({"use_scale": False}, [Q, V, K], {"use_causal_mask": True}),
    ],
)
def test_attention(name, kwargs, inputs, call):
    check_layer(name, kwargs, inputs, call=call)


def test_concatenated_scores():
    check_layer("Attention", {"use_scale": True, "score_mode": "concat"}, [Q, V])


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_masks(name):
    check_layer(
        name, {}, [Q, V], mask=[Q_MASK, V_MASK], symbolic=False,
        call={"return_attention_scores": False, "use_causal_mask": True},
    )  # fmt: skip
    none = np.zeros((2, 5), bool)
    check_layer(name, {}, [Q, V], mask=[None, none], symbolic=False, gradients=False)


MHA = {"num_heads": 2, "key_dim": 3}
GQA = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}


@pytest.mark.parametrize(
    ("kwargs", "call"),
    [
        ({}, {}),
        ({"value_dim": 5, "output_shape": 6, "use_bias": False}, {"return_attention_scores": True}),
        ({"use_gate": True, "kernel_regularizer": "l2"}, {"use_causal_mask": True}),
        ({"sliding_window": 2, "activity_regularizer": "l2"}, {}),
        ({"dropout": 0.3, "seed": 1}, {"use_causal_mask": True}),
        ({"output_shape": (2, 3)}, {}),
    ],
)
def test_multi_head_attention(kwargs, call):
    check_layer(
        "MultiHeadAttention", {**MHA, **kwargs}, Q, extra={"value": V, "key": K}, call=call,
        # Keras infers as many keys as queries for the scores.
        symbolic="return_attention_scores" not in call,
    )  # fmt: skip


@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2)])
def test_attention_axes(axes):
    x = (2, 3, 4, 5)
    call = {"return_attention_scores": True}
    check_layer(
        "MultiHeadAttention",
        {**MHA, "attention_axes": axes},
        x,
        extra={"value": x},
        call=call,
        symbolic=False,  # Keras's inference of the scores' shape knows one axis only
    )


@pytest.mark.parametrize(
    ("kwargs", "call"),
    [
        ({}, {}),
        ({"use_gate": True, "kernel_regularizer": "l2"}, {"return_attention_scores": True}),
        (
            {"sliding_window": 2, "use_bias": False, "activity_regularizer": "l2"},
            {"use_causal_mask": True},
        ),
        ({"dropout": 0.3, "seed": 1}, {}),
    ],
)
def test_grouped_query_attention(kwargs, call):
    check_layer(
        "GroupQueryAttention", {**GQA, **kwargs}, Q, extra={"value": V, "key": K}, call=call,
        symbolic="return_attention_scores" not in call,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kwargs"), [("MultiHeadAttention", MHA), ("GroupQueryAttention", GQA)]
)
@pytest.mark.parametrize("scores", [False, True])
def test_masks_of_heads(name, kwargs, scores):
    rng = np.random.default_rng(0)
    q, v = (rng.normal(size=s).astype("float32") for s in (Q, V))
    ours, theirs = getattr(layers, name)(**kwargs), getattr(keras.layers, name)(**kwargs)
    ours(q, v), theirs(q, v)
    ours.set_weights([np.asarray(w.value) for w in theirs.weights])
    attention = rng.random((2, 3, 5)) < 0.7
    for masks in (
        {"query_mask": Q_MASK},
        {"value_mask": V_MASK},
        {"key_mask": V_MASK},
        {"attention_mask": attention},
        {"query_mask": Q_MASK, "value_mask": V_MASK, "attention_mask": attention},
    ):
        found = ours(q, v, return_attention_scores=scores, **masks)
        wanted = theirs(q, v, return_attention_scores=scores, **masks)
        for a, b in zip(*((x if scores else [x]) for x in (found, wanted)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=str(list(masks)))


@pytest.mark.parametrize(
    ("name", "kwargs"), [("MultiHeadAttention", MHA), ("GroupQueryAttention", GQA)]
)
def test_dropout_and_flash(name, kwargs):
    q = np.random.default_rng(0).normal(size=Q).astype("float32")
    layer = getattr(layers, name)(**kwargs, dropout=0.5, seed=3)
    calm, noisy = layer(q, q), layer(q, q, training=True)
    assert float(np.abs(np.asarray(calm) - np.asarray(noisy)).max()) > 1e-3
    with pytest.raises(ValueError, match="does not drop"):
        getattr(layers, name)(**kwargs, dropout=0.5, flash_attention=True)
    with pytest.raises(ValueError, match="does not make attention scores"):
        getattr(layers, name)(**kwargs, flash_attention=True)(q, q, return_attention_scores=True)


def test_mask_of_the_query_is_handed_on():
    q = kbackend.ops.convert_to_tensor(np.ones(Q, "float32"))
    mask = kbackend.ops.convert_to_tensor(Q_MASK)
    kbackend.core.masks.set_keras_mask(q, mask)
    for layer in (layers.MultiHeadAttention(**MHA), layers.GroupQueryAttention(**GQA)):
        out = layer(q, np.ones(V, "float32"))
        np.testing.assert_array_equal(kbackend.core.masks.get_keras_mask(out), Q_MASK)


def test_errors():
    with pytest.raises(ValueError, match="score_mode"):
        layers.Attention(score_mode="product")
    with pytest.raises(ValueError, match="must be called on a list"):
        layers.Attention()(np.ones(Q))
    with pytest.raises(ValueError, match="'num_heads' must be a positive integer"):
        layers.MultiHeadAttention(0, 3)
    with pytest.raises(ValueError, match="'sliding_window'"):
        layers.MultiHeadAttention(2, 3, sliding_window=0)
    with pytest.raises(ValueError, match="multiple of 'num_key_value_heads'"):
        layers.GroupQueryAttention(3, 4, 3)
    with pytest.raises(ValueError, match="equal dimensions"):
        layers.MultiHeadAttention(2, 3)(np.ones(Q), np.ones((2, 3, 4)), np.ones((2, 5, 4)))

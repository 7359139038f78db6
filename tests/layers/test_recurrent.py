"""Recurrent layers against Keras on JAX."""

import numpy as np
import pytest

import kbackend
from kbackend import layers
from kbackend.base import tree
from tests.layers.harness import check_config, check_layer, keras

X = (2, 5, 3)
MASK = np.array([[True, True, False, True, False], [False, True, True, True, True]])
NAMES = ("SimpleRNN", "LSTM", "GRU")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"return_sequences": True, "return_state": True},
        {"return_sequences": True, "go_backwards": True, "use_bias": False},
        {"return_state": True, "go_backwards": True},
        {"activation": "relu", "return_sequences": True},
        {
            "kernel_regularizer": "l2", "recurrent_regularizer": "l1", "bias_regularizer": "l2",
            "activity_regularizer": "l2", "kernel_constraint": "max_norm", "unroll": True,
        },
    ],
    ids=["last", "sequences+state", "backwards", "state", "relu", "regularized"],
)  # fmt: skip
def test_layers(name, kwargs):
    if name == "SimpleRNN":
        # Keras's SimpleRNN takes an activity regularizer and leaves it out.
        kwargs = {k: v for k, v in kwargs.items() if k != "activity_regularizer"}
    check_layer(name, {"units": 4, **kwargs}, X)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("unroll", [False, True])
def test_masks(name, unroll):
    kwargs = {"units": 3, "return_sequences": True, "return_state": True, "unroll": unroll}
    check_layer(name, kwargs, X, mask=MASK, symbolic=False)
    backwards = {"units": 3, "go_backwards": True}
    check_layer(name, backwards, X, mask=MASK, symbolic=False, gradients=False)


@pytest.mark.parametrize("name", NAMES)
def test_zero_output_for_mask(name):
    kwargs = {"units": 3, "return_sequences": True, "zero_output_for_mask": True}
    check_layer(name, kwargs, X, mask=MASK, symbolic=False, gradients=False)


@pytest.mark.parametrize("name", NAMES)
def test_initial_state(name):
    states = [(2, 4)] * (2 if name == "LSTM" else 1)
    rng = np.random.default_rng(1)
    states = [rng.normal(size=s).astype("float32") for s in states]
    ours, theirs = getattr(layers, name)(4), getattr(keras.layers, name)(4)
    x = rng.normal(size=X).astype("float32")
    ours.build(X), theirs.build(X)
    ours.set_weights([np.asarray(w.value) for w in theirs.weights])
    np.testing.assert_allclose(
        ours(x, initial_state=states), theirs(x, initial_state=states), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ValueError, match="initial_state"):
        ours(x, initial_state=[states[0]] * 3)


@pytest.mark.parametrize(
    "kwargs", [{"reset_after": False}, {"recurrent_activation": "hard_sigmoid"}]
)
def test_gru_variants(kwargs):
    check_layer("GRU", {"units": 4, "return_sequences": True, **kwargs}, X)


def test_lstm_variants():
    check_layer("LSTM", {"units": 3, "use_cudnn": False}, X)
    layer = layers.LSTM(2, unit_forget_bias=True, implementation=1)
    layer.build(X)
    assert layer.cell.bias.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert "unit_forget_bias" in layer.get_config()


@pytest.mark.parametrize("name", NAMES)
def test_fused_and_general_agree_in_half_precision(name):
    layer = getattr(layers, name)(8, return_sequences=True, dtype="mixed_float16")
    x = np.random.default_rng(0).normal(size=X).astype("float32")
    fused = layer(x)
    layer._fused = False
    general = layer(x)
    assert fused.dtype == general.dtype == "float16"
    np.testing.assert_allclose(np.asarray(fused), np.asarray(general), atol=4e-3)  # 4 ulp


@pytest.mark.parametrize("name", ["SimpleRNNCell", "LSTMCell", "GRUCell"])
def test_cells(name):
    ours, theirs = getattr(layers, name)(4), getattr(keras.layers, name)(4)
    x = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    ours.build((2, 3)), theirs.build((2, 3))
    ours.set_weights([np.asarray(w.value) for w in theirs.weights])
    out, states = ours(x, ours.get_initial_state(2))
    expected, wanted = theirs(x, theirs.get_initial_state(2))
    out, states = ours(x, states)
    expected, wanted = theirs(x, wanted)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    assert len(states) == len(wanted)
    check_config(ours, theirs)


def _stack(library):
    of = library.layers
    return {
        "cell": [of.LSTMCell(4, name="a"), of.GRUCell(3, name="b")],
        "return_sequences": True, "return_state": True,
    }  # fmt: skip


def test_stacked_cells():
    check_layer("RNN", _stack, X, symbolic=False)
    check_layer("RNN", lambda library: {"cell": library.layers.LSTMCell(4, name="a")}, X)
    layer = layers.RNN(**_stack(kbackend))
    out = layer(kbackend.KerasTensor((None, None, 3)))
    assert [tuple(x.shape) for x in tree.flatten(out)] == [
        (None, None, 3), (None, 4), (None, 4), (None, 3)
    ]  # fmt: skip


class Sum(layers.Layer):
    """A cell whose output is not its state."""

    state_size = (1, 1)
    output_size = 1

    def call(self, x, states):
        return x * 10.0, [states[0] + x, states[1] + 2.0 * x]


class KerasSum(keras.layers.Layer):
    state_size = (1, 1)
    output_size = 1

    def call(self, x, states):
        return x * 10.0, [states[0] + x, states[1] + 2.0 * x]


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_masked_outputs_of_a_custom_cell(unroll, zero, backwards):
    x = np.arange(1, 5, dtype="float32").reshape(1, 4, 1)
    mask = np.array([[False, True, False, True]])
    start = [np.full((1, 1), 100.0, "float32")] * 2
    kwargs = {
        "return_sequences": True, "return_state": True, "unroll": unroll,
        "zero_output_for_mask": zero, "go_backwards": backwards,
    }  # fmt: skip
    found = layers.RNN(Sum(), **kwargs)(x, initial_state=start, mask=mask)
    wanted = keras.layers.RNN(KerasSum(), **kwargs)(x, initial_state=start, mask=mask)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_stateful(name):
    ours, theirs = (
        getattr(of, name)(4, stateful=True, return_sequences=True)
        for of in (layers, keras.layers)
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=X).astype("float32")
    ours.build(X), theirs.build(X)
    ours.set_weights([np.asarray(w.value) for w in theirs.weights])
    for _ in range(2):
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-6)
    first = ours(x)
    ours.reset_state()
    assert float(np.abs(np.asarray(ours(x)) - np.asarray(first)).max()) > 0
    assert len(ours.weights) == 3
    with pytest.raises(ValueError, match="batch size"):
        layers.LSTM(2, stateful=True)(kbackend.KerasTensor((None, 5, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_dropout(name):
    x = np.ones((4, 6, 8), "float32")
    for kwargs in (
        {"dropout": 0.5},
        {"recurrent_dropout": 0.5},
        {"dropout": 0.5, "activation": "relu"},
    ):
        layer = getattr(layers, name)(5, seed=3, return_sequences=True, **kwargs)
        calm = np.asarray(layer(x))
        noisy = np.asarray(layer(x, training=True))
        assert np.abs(calm - noisy).max() > 1e-3
        # Another draw for every call, the same draws for the same seed.
        assert np.abs(noisy - np.asarray(layer(x, training=True))).max() > 1e-3
        again = getattr(layers, name)(5, seed=3, return_sequences=True, **kwargs)
        again.build(x.shape)
        again.set_weights(layer.get_weights())
        np.testing.assert_array_equal(np.asarray(again(x, training=True)), noisy)


def test_dropout_mask_is_the_same_for_all_steps():
    layer = layers.SimpleRNN(
        1, activation="linear", kernel_initializer="ones", recurrent_initializer="zeros",
        dropout=0.5, return_sequences=True, seed=1,
    )  # fmt: skip
    out = np.asarray(layer(np.ones((3, 6, 9), "float32"), training=True))
    assert (out == out[:, :1]).all()
    assert len(np.unique(out)) > 1


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
def test_bidirectional(mode):
    def make(library, **kwargs):
        return {"layer": library.layers.GRU(3, name="gru", **kwargs), "merge_mode": mode}

    check_layer("Bidirectional", make, X, gradients=mode == "mul")
    check_layer(
        "Bidirectional",
        lambda library: make(library, return_sequences=True, return_state=True),
        X,
        gradients=mode in ("concat", None),
    )


def test_bidirectional_masks_states_and_errors():
    check_layer(
        "Bidirectional",
        lambda library: {"layer": library.layers.LSTM(3, return_sequences=True, name="lstm")},
        X, mask=MASK, symbolic=False,
    )  # fmt: skip
    check_layer(
        "Bidirectional",
        lambda library: {
            "layer": library.layers.SimpleRNN(3, name="a"),
            "backward_layer": library.layers.SimpleRNN(2, go_backwards=True, name="b"),
        },
        X,
        symbolic=False,  # Keras infers layers of equal sizes
    )
    layer = layers.Bidirectional(layers.LSTM(3))
    states = [np.ones((2, 3), "float32")] * 4
    assert layer(np.ones(X), initial_state=states).shape == (2, 6)
    with pytest.raises(ValueError, match="recurrent layer"):
        layers.Bidirectional(layers.Dense(3))
    with pytest.raises(ValueError, match="merge_mode"):
        layers.Bidirectional(layers.GRU(3), merge_mode="max")
    with pytest.raises(ValueError, match="opposite directions"):
        layers.Bidirectional(layers.GRU(3), backward_layer=layers.GRU(3))


def test_time_distributed():
    check_layer("TimeDistributed", lambda library: {"layer": library.layers.Dense(4, name="a")}, X)
    check_layer(
        "TimeDistributed",
        lambda library: {"layer": library.layers.Conv1D(2, 2, name="a")},
        (2, 3, 4, 5),
    )
    with pytest.raises(ValueError, match="at least 3 dimensions"):
        layers.TimeDistributed(layers.Dense(2))(np.ones((3, 4)))


def test_errors():
    with pytest.raises(ValueError, match="'units' must be a positive integer"):
        layers.LSTM(0)
    with pytest.raises(ValueError, match="'dropout'"):
        layers.GRU(2, dropout=2.0)
    with pytest.raises(ValueError, match="'cell' must have 'call'"):
        layers.RNN(3)
    with pytest.raises(ValueError, match="all cells"):
        layers.StackedRNNCells([3])
    with pytest.raises(ValueError, match="ndim=3"):
        layers.LSTM(2)(np.ones((2, 3)))
    with pytest.raises(ValueError, match="at least one time step"):
        layers.LSTM(2)(np.ones((2, 0, 3)))


def test_dynamic_time():
    out = layers.LSTM(4, return_sequences=True)(kbackend.KerasTensor((None, None, 3)))
    assert out.shape == (None, None, 4)

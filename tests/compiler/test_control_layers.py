"""Layers that loop over time: in a trace one equation, with the values of eager loops."""

import numpy as np
import pytest

import kbackend as keras
from kbackend import layers, ops
from kbackend.ir.trace import body_graph, trace

from .control_harness import check, count, data, size, tensors


@keras.saving.register_keras_serializable("control_tests")
class Cell(layers.Layer):
    """A recurrence without a kernel of its own."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, units]

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")
        self.r = self.add_weight(shape=(self.units, self.units), name="r")

    def call(self, inputs, states):
        h, total = states
        h = ops.tanh(inputs @ self.w + h @ self.r)
        return h * 2.0, [h, total + h]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def derived(layer, second=False, **kwargs):
    """The layer's outputs and gradients for inputs and weights, of second order if asked."""

    def fn(x, *args):
        with keras.GradientTape() as outer:
            outer.watch(x)
            with keras.GradientTape() as inner:
                inner.watch(x)
                out = layer(x, *args, **kwargs)
                flat = [y for y in keras.tree.flatten(out)]
                value = sum(ops.sum(y * y) for y in flat)
            sources = [x, *[v for v in layer.trainable_variables]]
            grads = inner.gradient(value, sources)
            total = sum(ops.sum(g * g) for g in grads)
        if not second:
            return out, grads
        return out, grads, outer.gradient(total, sources, unconnected_gradients="zero")

    return fn


MASK = np.array([[True, False, True, True], [False, True, True, False], [True, True, False, False]])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"return_sequences": True, "return_state": True},
        {"go_backwards": True, "return_sequences": True},
        {"zero_output_for_mask": True, "return_sequences": True, "go_backwards": True},
        {"unroll": True, "return_sequences": True},
    ],
)
def test_rnn_with_a_cell_of_its_own(options, masked):
    layer = layers.RNN(Cell(2), **options)
    x = data(3, 4, 5)
    layer(x)
    mask = MASK if masked else None
    fn = derived(layer, second=not options)
    if masked:
        traced = check(lambda x, mask: fn(x, None, mask), x, mask, rtol=1e-4, atol=1e-5)
    else:
        traced = check(fn, x, rtol=1e-4, atol=1e-5)
    assert (count(traced.graph, "scan") > 0) is not options.get("unroll", False)


def test_the_number_of_equations_does_not_depend_on_the_length():
    layer = layers.RNN(Cell(2), return_sequences=True)
    layer(data(1, 2, 5))
    short, long = (
        trace(derived(layer, second=True), tensors(data(2, time, 5))).graph for time in (3, 500)
    )
    assert size(short) == size(long)


def test_a_cell_is_called_once():
    calls = []

    class Counting(Cell):
        def call(self, inputs, states):
            calls.append(1)
            return super().call(inputs, states)

    layer = layers.RNN(Counting(2))
    layer.build((None, None, 5))
    trace(layer, tensors(data(2, 500, 5)))
    assert len(calls) == 1


def test_stacked_cells():
    layer = layers.RNN([Cell(2), layers.LSTMCell(3), layers.GRUCell(2)], return_state=True)
    layer(data(3, 4, 5))
    check(derived(layer), data(3, 4, 5), rtol=1e-4, atol=1e-5)


def test_a_stateful_layer():
    layer = layers.RNN(Cell(2), stateful=True)
    layer(data(3, 4, 5))
    traced = check(lambda x: layer(x), data(3, 4, 5))
    assert len(traced.assigned) == 2


@pytest.mark.parametrize("kind", [layers.SimpleRNN, layers.LSTM, layers.GRU])
def test_built_in_layers_with_a_mask(kind):
    layer = kind(3, return_sequences=True, go_backwards=True)
    layer(data(3, 4, 5))
    fn = derived(layer)
    traced = check(lambda x, m: fn(x, None, m), data(3, 4, 5), MASK, rtol=1e-4, atol=1e-5)
    assert count(traced.graph, "scan") > 0


@pytest.mark.parametrize("kind", [layers.SimpleRNN, layers.LSTM, layers.GRU])
def test_one_dropout_mask_for_all_steps(kind):
    layer = kind(3, dropout=0.4, recurrent_dropout=0.4, seed=5, return_sequences=True)
    layer(data(3, 4, 5))
    fn = derived(layer, training=True)
    traced = check(fn, data(3, 4, 5), rtol=1e-4, atol=1e-5)
    assert count(traced.graph, "scan") > 0
    # The generator's state moves on, outside of the loop.
    assert len(traced.assigned) == 1
    names = [eqn.op.name for eqn in traced.graph.eqns]
    assert names.index("scan") > max(i for i, name in enumerate(names) if "random" in name)


def test_dropout_inside_of_a_cell():
    class Dropping(Cell):
        def __init__(self, units):
            super().__init__(units)
            self.drop = layers.Dropout(0.5, seed=1)

        def call(self, inputs, states, training=False):
            return super().call(self.drop(inputs, training=training), states)

    layer = layers.RNN(Dropping(2), return_sequences=True)
    layer(data(3, 4, 5))
    # Another mask in each step; the generator's state is carried.
    traced = check(derived(layer, training=True), data(3, 4, 5), rtol=1e-4, atol=1e-5)
    assert len(traced.assigned) == 1


def test_statistics_inside_of_a_loop():
    layer = layers.TimeDistributed(layers.BatchNormalization())
    layer(data(3, 4, 5))
    traced = check(derived(layer, training=True), data(3, 4, 5), rtol=1e-4, atol=1e-4)
    assert len(traced.assigned) == 2


def test_time_distributed():
    layer = layers.TimeDistributed(layers.Dense(3, activation="tanh"))
    layer(data(2, 4, 5))
    traced = check(derived(layer, second=True), data(2, 4, 5), rtol=1e-4, atol=1e-4)
    assert count(traced.graph, "scan") > 0


def test_time_distributed_with_a_mask():
    class Masked(layers.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, x, mask=None):
            return x if mask is None else x * ops.cast(mask, x.dtype)[:, None]

    layer = layers.TimeDistributed(Masked())
    layer(data(3, 4, 5))
    check(lambda x, m: layer(x, mask=m), data(3, 4, 5), MASK)


def test_time_distributed_over_a_recurrent_layer():
    layer = layers.TimeDistributed(layers.LSTM(2))
    layer(data(2, 3, 4, 5))
    check(derived(layer), data(2, 3, 4, 5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sequences", [False, True])
def test_conv_lstm(sequences):
    layer = layers.ConvLSTM1D(2, 3, padding="same", return_sequences=sequences, dropout=0.3, seed=1)
    layer(data(2, 3, 5, 2))
    traced = check(derived(layer, training=True), data(2, 3, 5, 2), rtol=1e-4, atol=1e-4)
    assert count(traced.graph, "scan") > 0


def test_bidirectional():
    layer = layers.Bidirectional(layers.RNN(Cell(2), return_sequences=True))
    layer(data(3, 4, 5))
    check(derived(layer), data(3, 4, 5), rtol=1e-4, atol=1e-5)


def test_training_compiled_equals_training_eagerly():
    def losses(**how):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                layers.Input((6, 5)),
                layers.TimeDistributed(layers.Dense(4, activation="relu")),
                layers.RNN(Cell(3), return_sequences=True),
                layers.LSTM(4, recurrent_dropout=0.2),
                layers.Dense(2),
            ]
        )
        model.compile("adam", "mse", **how)
        history = model.fit(data(12, 6, 5), data(12, 2, seed=1), batch_size=4, epochs=3, verbose=0)
        return history.history["loss"]

    compiled = losses(jit_compile=True)
    np.testing.assert_allclose(compiled, losses(run_eagerly=True), rtol=1e-4)


@pytest.mark.parametrize("kind", [layers.SimpleRNN, layers.LSTM, layers.GRU])
@pytest.mark.parametrize("options", [{}, {"return_sequences": True, "go_backwards": True}])
def test_whole_sequences_on_engines_without_a_kernel(kind, options):
    layer = kind(3, **options)
    layer(data(2, 4, 5))
    check(derived(layer, second=True), data(2, 4, 5), rtol=1e-4, atol=1e-4)
    composite = layer.sequence
    avals = [ops.zeros(s).aval for s in ((2, 300, 5), *[v.shape for v in layer.weights])]
    states = [ops.zeros((2, 3)).aval] * len(layer.get_initial_state(2))
    params = {"sequences": True, "backwards": False, "keep": True}
    body = body_graph(composite, (*avals, *states), params).graph
    assert size(body) < 100


def test_ctc_loss():
    labels = np.array([[1, 2, 1], [2, 2, 0]], "int32")

    def fn(x):
        def loss(x):
            return ops.sum(ops.ctc_loss(labels, x, np.array([3, 2]), np.array([7, 5])))

        return loss(x), keras.grad(loss)(x)

    traced = check(fn, data(2, 7, 4), rtol=1e-4, atol=1e-5)
    # The loss, and once more with its gradient.
    assert count(traced.graph, "scan") == 3

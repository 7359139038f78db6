"""Models that are subclasses: state, building, arguments of call, losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kbackend as k

X = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)


class Net(k.Model):
    def __init__(self, units: int = 2) -> None:
        super().__init__()
        self.blocks = [k.layers.Dense(units), k.layers.Dense(units)]
        self.heads = {"top": k.layers.Dense(1)}
        self.drop = k.layers.Dropout(0.5)

    def call(self, x: Any, training: bool = False) -> Any:
        for block in self.blocks:
            x = k.ops.tanh(block(x))
        return self.heads["top"](self.drop(x, training=training))


def test_layers_in_lists_and_dicts_are_found() -> None:
    model = Net()
    assert len(model.layers) == 4 and model.weights == []
    model(X)
    assert [w.shape for w in model.trainable_weights] == [(3, 2), (2,), (2, 2), (2,), (2, 1), (1,)]


def test_build_makes_real_weights() -> None:
    model = Net()
    model.build((None, 3))
    assert model.built and len(model.get_weights()) == 6
    kernels = model.get_weights()[0], model.get_weights()[2]
    assert all(isinstance(w, np.ndarray) and w.std() > 0 for w in kernels)


def test_training_reaches_call() -> None:
    model = Net()
    plain = np.asarray(model(X))
    np.testing.assert_array_equal(np.asarray(model(X, training=False)), plain)
    noisy = [np.asarray(model(X, training=True)) for _ in range(8)]
    assert any(not np.allclose(one, plain) for one in noisy)
    np.testing.assert_array_equal(model.predict(X, verbose=0), plain)


def test_fit_builds() -> None:
    model = Net()
    model.compile("adam", "mse")
    history = model.fit(X, X[:, :1], epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2 and len(model.weights) == 6


def test_several_arguments() -> None:
    class Two(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = k.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            a, b = inputs
            return {"sum": self.dense(a + b), "difference": a - b}

    model = Two()
    out = model.predict([X, X], batch_size=2, verbose=0)
    assert out["sum"].shape == (4, 1)
    np.testing.assert_array_equal(out["difference"], np.zeros_like(X))
    model.compile("sgd", {"sum": "mse", "difference": None})
    with pytest.raises(ValueError, match="no outputs of the model"):
        model.fit([X, X], {"total": X[:, :1]}, verbose=0)
    assert list(model.fit([X, X], {"sum": X[:, :1]}, verbose=0).history) == ["loss"]


def test_losses_and_metrics_of_its_own() -> None:
    class Auto(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = k.layers.Dense(3)
            self.error = k.metrics.Mean(name="error")

        def call(self, x: Any) -> Any:
            y = self.dense(x)
            loss = k.ops.mean(k.ops.square(x - y))
            self.add_loss(loss)
            self.error.update_state(loss)
            return y

    model = Auto()
    model.compile(k.optimizers.Adam(0.1))
    history = model.fit(X, epochs=30, verbose=0).history
    assert sorted(history) == ["error", "loss"]
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    np.testing.assert_allclose(history["error"], history["loss"], rtol=1e-6)


def test_forgotten_pieces_are_named() -> None:
    class NoCall(k.Model):
        pass

    with pytest.raises(NotImplementedError, match=r"\[NoCall\].*must implement call"):
        NoCall()(X)

    class Early(k.Model):
        def __init__(self) -> None:
            self.dense = k.layers.Dense(1)

    with pytest.raises(RuntimeError, match=r"call super\(\).__init__\(\) before setting 'dense'"):
        Early()
    with pytest.raises(AttributeError, match="known only of a model with a graph"):
        Net().input  # noqa: B018


def test_variables_set_by_hand() -> None:
    class Scale(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.factor = k.Variable(2.0, name="factor")

        def call(self, x: Any) -> Any:
            return x * self.factor

    model = Scale()
    model.compile(k.optimizers.SGD(0.1), "mse")
    model.fit(X, 3 * X, epochs=60, verbose=0)
    assert float(model.factor) == pytest.approx(3.0, abs=0.05)


# Keras hands NumPy an array without the `copy` argument.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_same_as_keras() -> None:
    keras = pytest.importorskip("keras")

    def run(lib: Any, weights: Any) -> Any:
        class M(lib.Model):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                super().__init__()
                self.a = lib.layers.Dense(4, activation="relu")
                self.b = lib.layers.Dense(1)

            def call(self, x: Any) -> Any:
                return self.b(self.a(x)) + lib.ops.sum(x, axis=-1, keepdims=True)

        model = M()
        model(X)
        if weights is not None:
            model.set_weights(weights)
        model.compile("sgd", "mse", run_eagerly=True)
        start = model.get_weights()
        history = model.fit(X, X[:, :1], 2, 3, shuffle=False, verbose=0).history
        return start, history["loss"], model.get_weights()

    weights, ours, after = run(k, None)
    _, theirs, their_after = run(keras, weights)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    for a, b in zip(after, their_after, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

"""Training: what compile and fit accept and refuse, print, and leave behind."""

from __future__ import annotations

import gc
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest

import kbackend as k

X = np.linspace(-1, 1, 24, dtype="float32").reshape(12, 2)
Y = X.sum(axis=1, keepdims=True)


def compiled(*args: Any, **kwargs: Any) -> Any:
    model = k.Sequential([k.Input((2,)), k.layers.Dense(3, activation="tanh"), k.layers.Dense(1)])
    model.compile(*(args if args or kwargs else ("sgd", "mse")), **kwargs)
    return model


# ----- errors -----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "sgdd"}, "no optimizer 'sgdd'"),
        ({"loss": "msee"}, "no loss 'msee'"),
        ({"loss": "mse", "metrics": ["maee"]}, "no metric is called 'maee'"),
        ({"loss": "mse", "metrics": "mae"}, "'metrics' must be a list or a dict"),
        ({"loss": "mse", "loss_weights": "a"}, "'loss_weights' must be numbers"),
        ({"loss": "mse", "steps_per_execution": 0}, "'steps_per_execution' must be a positive"),
    ],
)
def test_compile_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compiled(**{"optimizer": "sgd", **arguments})


def test_failed_compile_changes_nothing() -> None:
    model = compiled("sgd", "mse")
    optimizer = model.optimizer
    with pytest.raises(ValueError):
        model.compile("adam", "mse", metrics=["no such metric"])
    assert model.optimizer is optimizer
    model.fit(X, Y, verbose=0)


def test_unknown_keywords() -> None:
    with pytest.raises(TypeError, match="foo"):
        compiled("sgd", "mse", foo=1)
    with pytest.raises(TypeError, match="foo"):
        compiled().fit(X, Y, foo=1)
    with pytest.raises(ValueError, match="unknown arguments: foo"):
        compiled().evaluate(X, Y, foo=1)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (["mse", "mse"], "'loss' has 2 entries for 1 outputs"),
        ({"other": "mse"}, r"names outputs that the model does not have: \['other'\]"),
    ],
)
def test_losses_of_other_outputs(loss: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compiled("sgd", loss).fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": -1}, "'epochs' must be a non-negative integer"),
        ({"verbose": 7}, "'verbose' must be 0, 1, 2"),
        ({"validation_freq": 0}, "'validation_freq' must be a positive integer"),
        ({"batch_size": 0}, "'batch_size' must be a positive integer"),
        ({"steps_per_epoch": 0}, "'steps_per_epoch' must be a positive integer"),
        ({"validation_split": 1.5}, "'validation_split' must lie between"),
        ({"sample_weight": np.ones(3)}, "the same number of samples"),
        ({"class_weight": {0: 1.0}, "sample_weight": np.ones(12)}, "cannot be given together"),
    ],
)
def test_fit_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compiled().fit(X, Y, **{"verbose": 0, **arguments})


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[sequential.*\] call compile\(\) before fit"):
        k.Sequential([k.layers.Dense(1)]).fit(X, Y)
    with pytest.raises(ValueError, match="there is no loss to minimize"):
        compiled("sgd", None).fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="compares outputs with targets, and there are none"):
        compiled().fit(X, verbose=0)
    with pytest.raises(ValueError, match="needs an optimizer"):
        compiled(None, "mse").fit(X, Y, verbose=0)
    assert compiled(None, "mse").evaluate(X, Y, verbose=0) > 0


def test_eager_and_compiled_steps_exclude_each_other() -> None:
    with pytest.warns(UserWarning, match="'jit_compile' is switched off"):
        model = compiled("sgd", "mse", run_eagerly=True, jit_compile=True)
    assert model.jit_compile is False


def test_logs_must_be_a_dict() -> None:
    class Odd(k.Sequential):
        def train_step(self, data: Any) -> Any:
            return 1.0

    model = Odd([k.Input((2,)), k.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must return a dict of metrics. Received: float"):
        model.fit(X, Y, verbose=0)


# ----- state -----


def test_compiling_again_starts_anew() -> None:
    model = compiled("sgd", "mse", metrics=["mae"])
    first = model.evaluate(X, Y, verbose=0, return_dict=True)
    model.compile("adam", "mse")
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(first["loss"])
    assert [metric.name for metric in model.metrics] == ["loss"]


def test_metrics_are_no_weights() -> None:
    model = compiled("sgd", "mse", metrics=["mae"])
    model.fit(X, Y, verbose=0)
    assert len(model.variables) == len(model.weights) == 4
    assert [v.path for v in model.metrics_variables][:2] == ["loss/total", "loss/count"]
    assert len(model.metrics_variables) == 4
    outer = k.Sequential([model])
    outer.compile("sgd", "mse")
    assert list(outer.fit(X, Y, verbose=0).history) == ["loss"]


def test_fit_builds_model_and_optimizer_before_it_begins() -> None:
    built = []
    model = k.Sequential([k.layers.Dense(2), k.layers.Dense(1)])
    model.compile("adam", "mse")
    look = k.callbacks.LambdaCallback(
        on_train_begin=lambda logs: built.append((len(model.weights), model.optimizer.built))
    )
    history = model.fit(
        ((X[i : i + 4], Y[i : i + 4]) for i in (0, 4, 8)), verbose=0, callbacks=[look]
    )
    assert built == [(4, True)]
    # The batch that was looked at is trained on as well.
    assert int(model.optimizer.iterations) == 3 and len(history.epoch) == 1


def test_equal_seeds_give_equal_training() -> None:
    def run() -> tuple[Any, Any]:
        k.utils.set_random_seed(11)
        model = k.Sequential([k.layers.Dense(8, "relu"), k.layers.Dropout(0.5), k.layers.Dense(1)])
        model.compile("adam", "mse")
        history = model.fit(X, Y, 4, epochs=3, verbose=0).history
        return history, model.get_weights()

    (first, a), (second, b) = run(), run()
    assert first == second
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


def test_frozen_weights_stay() -> None:
    model = compiled()
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(X, Y, epochs=2, verbose=0)
    after = model.get_weights()
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [False, False, True, True]


def test_data_that_is_reused_by_a_generator() -> None:
    """Batches are kept apart even if a generator writes the next one into the same array."""
    buffer = np.zeros((4, 2), "float32")

    def batches() -> Any:
        for start in (0, 4, 8):
            buffer[:] = X[start : start + 4]
            yield (buffer,)

    x = k.Input((2,))
    same = k.Model(x, k.layers.Identity()(x))
    np.testing.assert_array_equal(same.predict(batches(), verbose=0), X)


# ----- steps of one's own -----


def test_own_steps() -> None:
    class Own(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = k.layers.Dense(1)
            self.error = k.metrics.MeanAbsoluteError(name="error")

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def train_step(self, data: Any) -> Any:
            x, y = data
            with k.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = k.ops.mean(k.ops.square(y - y_pred))
            weights = self.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            self.error.update_state(y, y_pred)
            return {"my_loss": loss, "error": self.error.result()}

        def test_step(self, data: Any) -> Any:
            x, y = data
            self.error.update_state(y, self(x, training=False))
            return {"error": self.error.result()}

        def predict_step(self, data: Any) -> Any:
            return 10.0 * self(data[0])

    model = Own()
    model.compile(k.optimizers.SGD(0.1))
    history = model.fit(X, Y, 4, epochs=5, verbose=0, validation_data=(X, Y)).history
    assert list(history) == ["error", "my_loss", "val_error"]
    assert history["error"][-1] < history["error"][0]
    errors = np.abs(model.predict(X, verbose=0) / 10.0 - Y)
    assert history["val_error"][-1] == pytest.approx(errors.mean(), rel=1e-4)


def test_loop_by_hand_is_fit() -> None:
    by_fit = compiled(k.optimizers.Adam(0.05), "mse")
    model = k.models.clone_model(by_fit) if hasattr(k.models, "clone_model") else compiled()
    model.set_weights(by_fit.get_weights())
    by_fit.fit(X, Y, 4, epochs=2, shuffle=False, verbose=0)
    optimizer, loss = k.optimizers.Adam(0.05), k.losses.MeanSquaredError()
    for _ in range(2):
        for i in (0, 4, 8):
            with k.GradientTape() as tape:
                value = loss(Y[i : i + 4], model(X[i : i + 4], training=True))
            gradients = tape.gradient(value, model.trainable_weights)
            optimizer.apply(gradients, model.trainable_weights)
    for a, b in zip(by_fit.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_metrics_that_layers_keep() -> None:
    class Watch(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.mean = k.metrics.Mean(name="input_mean")

        def call(self, x: Any) -> Any:
            self.mean.update_state(x)
            return x

    model = k.Sequential([k.Input((2,)), Watch(), k.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(X + 3, Y, 4, verbose=0).history
    assert sorted(history) == ["input_mean", "loss", "mae"]
    assert history["input_mean"][0] == pytest.approx((X + 3).mean(), rel=1e-6)
    values = model.evaluate(X, Y, verbose=0)
    assert values[2] == pytest.approx(X.mean(), abs=1e-6)


# ----- output -----

_TIME = re.compile(r"\d+s \d+[mu]?s/step|\d+s - \d+[mu]?s/step")


def shown(capsys: Any) -> list[str]:
    return [_TIME.sub("TIME", line) for line in capsys.readouterr().out.splitlines()]


def test_output_of_fit(capsys: Any) -> None:
    model = compiled("sgd", "mse", metrics=["mae"])
    history = model.fit(X, Y, 4, epochs=2, verbose=2, validation_data=(X, Y)).history
    values = [" - ".join(f"{name}: {history[name][i]:.4f}" for name in history) for i in range(2)]
    assert list(history) == ["loss", "mae", "val_loss", "val_mae"]
    assert shown(capsys) == [
        "Epoch 1/2", f"3/3 - TIME - {values[0]}", "Epoch 2/2", f"3/3 - TIME - {values[1]}",
    ]  # fmt: skip
    model.fit(X, Y, 4, verbose=0)
    assert shown(capsys) == []


def test_output_with_bars(capsys: Any) -> None:
    model = compiled()
    loss = model.fit(X, Y, 4).history["loss"][0]
    assert shown(capsys) == [f"3/3 ━━━━━━━━━━━━━━━━━━━━ TIME - loss: {loss:.4f}"]
    loss = model.evaluate(X, Y, 4)
    assert shown(capsys) == [f"3/3 ━━━━━━━━━━━━━━━━━━━━ TIME - loss: {loss:.4f}"]
    model.predict(X, 4)
    assert shown(capsys) == ["3/3 ━━━━━━━━━━━━━━━━━━━━ TIME"]
    model.evaluate(X, Y, 4, verbose=2)
    assert shown(capsys) == [f"3/3 - TIME - loss: {loss:.4f}"]


# ----- memory -----


def test_steps_do_not_grow_memory() -> None:
    model = compiled("adam", "mse", metrics=["mae"])
    model.fit(X, Y, 4, epochs=10, verbose=0)
    tracemalloc.start()
    try:
        growth = []
        for _ in range(3):
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            model.fit(X, Y, 4, epochs=100, verbose=0)  # 300 steps
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
            growth.append(after - before)
    finally:
        tracemalloc.stop()
    # The history of 100 epochs is a few kilobytes; one tensor kept per step would be more than
    # 300 * 100 bytes. Caches of Python and NumPy fill up now and then, but not three times.
    assert min(growth) < 20_000


def test_steps_leave_no_cycles() -> None:
    """What a step made is freed when it ends, without the garbage collector."""
    model = compiled("adam", "mse", metrics=["mae"])
    data = (k.ops.convert_to_tensor(X), k.ops.convert_to_tensor(Y))
    for _ in range(3):
        model.train_step(data)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            model.train_step(data)
        assert gc.collect() < 20
    finally:
        gc.enable()

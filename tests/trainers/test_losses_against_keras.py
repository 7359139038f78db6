"""Losses, metrics, weights and several outputs: the numbers and names of real Keras."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from tests.trainers.oracle import assert_same
from tests.trainers.scenarios import C, D, N, Scenarios, classifier, data

keras = pytest.importorskip("keras")

scenario = Scenarios()


def two_outputs(k: Any) -> Any:
    x = k.Input((D,), name="features")
    h = k.layers.Dense(6, activation="tanh")(x)
    a = k.layers.Dense(C, activation="softmax", name="kind")(h)
    b = k.layers.Dense(1, name="size")(h)
    return k.Model(x, [a, b])


def two_targets() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.integers(0, C, N), rng.normal(size=(N, 1)).astype("float32")


@scenario
def class_weights(k, start):
    model = start(classifier(k))
    x, y, w = data()
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        weighted_metrics=["accuracy"],
        metrics=["accuracy"],
        run_eagerly=True,
    )
    return (
        model.fit(x, y, 6, 3, verbose=0, shuffle=False, class_weight={0: 0.5, 1: 2.0}).history,
        model.fit(x, y, 6, 3, verbose=0, shuffle=False, sample_weight=w).history,
        model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True),
    )


@scenario
def one_hot_targets(k, start):
    model = start(classifier(k))
    x, y, w = data()
    y = np.eye(C, dtype="float32")[y]
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy", "mse"], run_eagerly=True)
    return model.fit(x, y, 6, 2, verbose=0, shuffle=False, class_weight={0: 0.5, 1: 2.0}).history


@scenario
def binary_targets(k, start):
    model = start(k.Sequential([k.Input((D,)), k.layers.Dense(1, activation="sigmoid")]))
    x, y, w = data()
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy", "mae"], run_eagerly=True)
    return (
        model.fit(x, y > 0, 6, 2, verbose=0, shuffle=False).history,
        model.fit(x, (y > 0).astype("int64")[:, None], 6, 2, verbose=0, shuffle=False).history,
        model.evaluate(x, (y > 0).astype("float32"), verbose=0),
    )


def _outputs(k, start, loss, metrics=None, fit_y="list", **kwargs):
    model = start(two_outputs(k))
    x, _, w = data()
    y = list(two_targets())
    if fit_y == "dict":
        y = dict(zip(["kind", "size"], y, strict=True))
    model.compile("sgd", loss, metrics=metrics, run_eagerly=True, **kwargs)
    return (
        model.fit(x, y, 6, 3, verbose=0, shuffle=False).history,
        model.evaluate(x, y, verbose=0),
        model.evaluate(x, y, verbose=0, return_dict=True),
        model.train_on_batch(x, y),
        model.test_on_batch(x, y, return_dict=True),
        list(model.metrics_names),
    )


@scenario
def outputs_list(k, start):
    return _outputs(
        k,
        start,
        ["sparse_categorical_crossentropy", "mse"],
        [["accuracy"], ["mae", "mse"]],
        loss_weights=[1.0, 0.3],
    )


@scenario
def outputs_dict(k, start):
    return _outputs(
        k,
        start,
        {"kind": "sparse_categorical_crossentropy", "size": "mse"},
        {"kind": "accuracy", "size": ["mae"]},
        "dict",
        loss_weights={"kind": 0.5, "size": 2.0},
    )


@scenario
def outputs_dict_order(k, start):
    return _outputs(
        k,
        start,
        {"size": "mse", "kind": "sparse_categorical_crossentropy"},
        {"size": ["mae"]},
        "list",
    )


@scenario
def outputs_one_loss_none(k, start):
    warnings.filterwarnings("ignore", ".*no gradient.*")
    return _outputs(k, start, [None, "mse"], [None, ["mae"]])


@scenario
def outputs_weighted_metrics(k, start):
    return _outputs(
        k,
        start,
        ["sparse_categorical_crossentropy", "mse"],
        [["accuracy"], ["mae"]],
        weighted_metrics=[["accuracy"], ["mae"]],
    )


@scenario
def outputs_flat_metrics(k, start):
    return _outputs(
        k,
        start,
        ["sparse_categorical_crossentropy", "mse"],
        [[k.metrics.SparseCategoricalAccuracy(name="hits")], [k.metrics.MeanAbsoluteError()]],
    )


@scenario
def outputs_sample_weight(k, start):
    model = start(two_outputs(k))
    x, _, w = data()
    y = list(two_targets())
    model.compile(
        "sgd",
        ["sparse_categorical_crossentropy", "mse"],
        metrics=[["accuracy"], ["mae"]],
        weighted_metrics=[["accuracy"], ["mae"]],
        run_eagerly=True,
    )
    return (
        model.fit(x, y, 6, 2, verbose=0, shuffle=False, sample_weight=[w, w[::-1].copy()]).history,
        model.evaluate(x, y, sample_weight=[w, w], verbose=0, return_dict=True),
    )


def _dict_model(k):
    x = k.Input((D,), name="features")
    z = k.Input((2,), name="extra")
    h = k.layers.Concatenate()([k.layers.Dense(4, activation="relu")(x), z])
    return k.Model(
        {"features": x, "extra": z}, {"b_out": k.layers.Dense(1)(h), "a_out": k.layers.Dense(2)(h)}
    )


@scenario
def outputs_of_a_dict_model(k, start):
    model = start(_dict_model(k))
    rng = np.random.default_rng(1)
    x = {"features": data()[0], "extra": rng.normal(size=(N, 2)).astype("float32")}
    y = {
        "a_out": rng.normal(size=(N, 2)).astype("float32"),
        "b_out": rng.normal(size=(N, 1)).astype("float32"),
    }
    model.compile(
        "sgd",
        {"a_out": "mse", "b_out": "mae"},
        metrics={"b_out": ["mse"]},
        loss_weights={"a_out": 0.1, "b_out": 3.0},
        run_eagerly=True,
    )
    p = model.predict(x, verbose=0)
    return (
        model.fit(x, y, 6, 2, verbose=0, shuffle=False).history,
        p,
        model.evaluate(x, y, verbose=0),
    )


@scenario
def one_loss_for_all_outputs(k, start):
    model = start(two_outputs(k))
    x, _, w = data()
    rng = np.random.default_rng(1)
    y = [rng.normal(size=(N, C)).astype("float32"), rng.normal(size=(N, 1)).astype("float32")]
    model.compile("sgd", "mse", run_eagerly=True, metrics=["mae", "mae"])
    return model.fit(x, y, 6, 2, verbose=0, shuffle=False).history


@scenario
def regularizers_and_added_losses(k, start):
    class Penalty(k.layers.Layer):
        def call(self, x):
            self.add_loss(0.1 * k.ops.mean(k.ops.square(x)))
            return x

    x = k.Input((D,))
    h = k.layers.Dense(
        4,
        kernel_regularizer=k.regularizers.L2(0.01),
        bias_regularizer="l1",
        activity_regularizer=k.regularizers.L1(0.02),
    )(x)
    model = start(k.Model(x, k.layers.Dense(1)(Penalty()(h))))
    x, y, w = data()
    model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    h = model.fit(
        x,
        y.astype("float32"),
        7,
        3,
        verbose=0,
        shuffle=False,
        validation_data=(x, y.astype("float32")),
    )
    return h.history, model.evaluate(x, y, verbose=0)


@scenario
def only_added_losses(k, start):
    class M(k.Model):
        def __init__(self):
            super().__init__()
            self.d = k.layers.Dense(2)

        def call(self, x):
            y = self.d(x)
            self.add_loss(k.ops.mean(y**2))
            return y

    model = M()
    model(np.zeros((1, D), "float32"))
    start(model)
    model.compile("sgd", run_eagerly=True)
    return model.fit(data()[0], batch_size=6, epochs=2, verbose=0, shuffle=False).history


@scenario
def masks(k, start):
    i = k.Input((4,))
    e = k.layers.Masking()(k.layers.Reshape((4, 1))(i))
    model = start(k.Model(i, k.layers.Dense(2)(e)))
    x = np.array([[1, 2, 0, 0], [3, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 2]], "float32")
    y = np.ones((4, 4, 2), "float32")
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mse"], run_eagerly=True)
    w = np.random.default_rng(2).uniform(0, 2, (4, 4)).astype("float32")
    # Keras on JAX loses the mask on its way to the metrics of fit; only the losses are compared.
    return (
        model.fit(x, y, 2, 2, verbose=0, shuffle=False).history["loss"],
        model.fit(x, y, 2, 2, verbose=0, shuffle=False, sample_weight=w).history["loss"],
        model.evaluate(x, y, 2, verbose=0, return_dict=True),
        model.evaluate(x, y, 2, verbose=0, sample_weight=w, return_dict=True),
    )


@scenario
def function_losses_and_metrics(k, start):
    def my_loss(y_true, y_pred):
        return k.ops.mean(k.ops.abs(y_true - y_pred), axis=-1) ** 2

    def my_metric(y_true, y_pred):
        return k.ops.max(y_pred)

    model = start(k.Sequential([k.Input((D,)), k.layers.Dense(1)]))
    x, y, w = data()
    model.compile(
        "sgd",
        my_loss,
        metrics=[
            my_metric,
            k.losses.mean_squared_error,
            "MSE",
            "mean_absolute_error",
            k.metrics.MeanSquaredError(),
        ],
        run_eagerly=True,
    )
    return model.fit(x, y[:, None].astype("float32"), 6, 2, verbose=0, shuffle=False).history


@pytest.mark.parametrize("name", sorted(scenario))
def test_same_as_keras(name: str) -> None:
    assert_same(keras, scenario[name])

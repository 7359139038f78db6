"""Compiled training steps in the steady state: little is allocated, and nothing that stays."""

import gc
import tracemalloc
from collections import Counter

import numpy as np
import pytest

import kbackend as k

layers = k.layers


def small():
    return k.Sequential([k.Input((48,)), layers.Dense(64, "relu"), layers.Dense(10, "softmax")])


def mlp():
    return k.Sequential(
        [
            k.Input((48,)),
            layers.Dense(64, "relu"),
            layers.Dropout(0.2),
            layers.Dense(64, "relu"),
            layers.Dropout(0.2),
            layers.Dense(10, "softmax"),
        ]
    )


def cnn():
    return k.Sequential(
        [
            k.Input((16, 16, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, "softmax"),
        ]
    )


def lstm():
    return k.Sequential([k.Input((12, 8)), layers.LSTM(24), layers.Dense(10, "softmax")])


def resnet():
    inputs = k.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    for filters, strides in ((8, 1), (16, 2)):
        skip = layers.Conv2D(filters, 1, strides=strides, use_bias=False)(x)
        y = layers.Conv2D(filters, 3, padding="same", strides=strides, use_bias=False)(x)
        y = layers.Activation("relu")(layers.BatchNormalization()(y))
        y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
        x = layers.Activation("relu")(layers.add([skip, layers.BatchNormalization()(y)]))
    x = layers.GlobalAveragePooling2D()(x)
    return k.Model(inputs, layers.Dense(10, "softmax")(x))


def transformer():
    inputs = k.Input((8, 16))
    x = layers.LayerNormalization()(
        layers.add([inputs, layers.MultiHeadAttention(2, 8)(inputs, inputs)])
    )
    y = layers.Dense(16)(layers.Dense(32, "gelu")(x))
    x = layers.LayerNormalization()(layers.add([x, y]))
    return k.Model(inputs, layers.Dense(10, "softmax")(layers.GlobalAveragePooling1D()(x)))


MODELS = {model.__name__: model for model in (small, mlp, cnn, lstm, resnet, transformer)}


def step_of(name, batch=64):
    """A model's compiled training step, a batch for it, and its program."""
    model = MODELS[name]()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *model.input_shape[1:])).astype("float32")
    y = rng.integers(0, 10, batch)
    model.train_on_batch(x, y)
    step = model.step("train_step")
    (executable,) = step.executables()
    data = (k.ops.convert_to_tensor(x), k.ops.convert_to_tensor(y), None)
    return step, data, executable.program


def unprepared(program):
    """Name -> number of the steps that have no prepared kernel."""
    return Counter(step.name for step in program.steps if step.prepared is None)


@pytest.mark.parametrize("name", MODELS)
def test_kernels_are_prepared(name):
    _, _, program = step_of(name)
    found = unprepared(program)
    assert not found, f"without a prepared kernel, which allocates its results: {dict(found)}"


@pytest.mark.parametrize("name", MODELS)
def test_planned_memory_is_less(name):
    _, _, program = step_of(name)
    assert 0 < program.arena < program.naive


@pytest.mark.parametrize("name", MODELS)
def test_steps_allocate_nothing_that_stays(name):
    step, data, program = step_of(name)
    for _ in range(5):
        step(data)
    tracemalloc.start()
    try:
        for _ in range(5):
            step(data)
        growth, peaks = [], []
        for _ in range(3):
            gc.collect()  # empties Python's lists of free objects, which count as allocated
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            for _ in range(10):
                step(data)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            gc.collect()
            growth.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    # Not one array of a step: caches fill up now and then, but not in each of three rounds.
    assert min(growth) < 256
    # What NumPy gathers strided operands in (8,192 elements each, for one or two of them), views of
    # what moves, and the results.
    assert min(peaks) < 80 * 1024 < program.naive

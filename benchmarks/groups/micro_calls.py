"""Primitives and dispatch of one engine of kbackend, in its process."""

from __future__ import annotations

import functools
import gc
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import kbackend as keras
from kbackend import layers, ops
from kbackend.engine.loader import current_engine

from ..peers.base import Peer
from .primitive_cases import PRIMITIVES, QUICK_SIZES, SIZES

Timed = dict[str, list[float]]


def _number(fn: Callable[[], object], budget: float) -> int:
    """How many calls fit in a budget of seconds."""
    fn()
    begin = time.perf_counter()
    fn()
    return max(1, int(budget / max(time.perf_counter() - begin, 1e-7)))


def _alternate(fns: dict[str, Callable[[], object]], repeats: int, budget: float) -> Timed:
    """Seconds per call of each function, in turn, `repeats` times."""
    numbers = {name: _number(fn, budget) for name, fn in fns.items()}
    samples: Timed = {name: [] for name in fns}
    for _ in range(repeats):
        for name, fn in fns.items():
            begin = time.perf_counter()
            for _ in range(numbers[name]):
                fn()
            samples[name].append((time.perf_counter() - begin) / numbers[name])
    return samples


def primitives(peer: Peer, repeats: int, quick: bool) -> list[dict[str, Any]]:
    """Each primitive by size, beside NumPy alone in the same process.

    Returns:
        For each `case`: `ours` and `numpy` (seconds of each repetition), `flops` and `bytes`.
    """
    synchronize = current_engine().synchronize
    rows = []
    for size in QUICK_SIZES if quick else SIZES:
        for name, make in PRIMITIVES.items():
            work = make(size, np.random.default_rng(0))
            tensors = [ops.convert_to_tensor(argument) for argument in work.arguments]

            def ours(work: Any = work, tensors: Any = tensors) -> None:
                work.ours(*tensors)
                synchronize()

            fns: dict[str, Callable[[], object]] = {"ours": ours}
            if work.numpy is not None:
                fns["numpy"] = functools.partial(work.numpy, *work.arguments)
            samples = _alternate(fns, repeats, 0.002 if quick else 0.01)
            facts = {"flops": work.flops, "bytes": work.bytes}
            rows.append({"case": f"{name} {size:,}", **samples, **facts})
    return rows


def dispatch(peer: Peer, repeats: int, quick: bool) -> list[dict[str, Any]]:
    """Simple ops on a (1, 32) tensor beside the NumPy call that they end in: the cost of a call."""
    x = np.ones((1, 32), "float32")
    w = np.ones((32, 32), "float32")
    two, zero = np.float32(2), np.float32(0)
    tx, tw = ops.convert_to_tensor(x), ops.convert_to_tensor(w)
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "add": (lambda: ops.add(tx, tx), lambda: np.add(x, x)),
        "x + x": (lambda: tx + tx, lambda: x + x),
        "x * 2.0": (lambda: tx * 2.0, lambda: x * two),
        "negative": (lambda: ops.negative(tx), lambda: np.negative(x)),
        "exp": (lambda: ops.exp(tx), lambda: np.exp(x)),
        "relu": (lambda: ops.relu(tx), lambda: np.maximum(x, zero)),
        "sum": (lambda: ops.sum(tx, axis=1), lambda: np.sum(x, axis=1)),
        "matmul": (lambda: ops.matmul(tx, tw), lambda: np.matmul(x, w)),
        "reshape": (lambda: ops.reshape(tx, (32, 1)), lambda: np.reshape(x, (32, 1))),
        "equal": (lambda: ops.equal(tx, tx), lambda: np.equal(x, x)),
    }
    budget = 0.005 if quick else 0.02
    return [
        {"case": name, **_alternate({"ours": ours, "numpy": raw}, repeats, budget)}
        for name, (ours, raw) in pairs.items()
    ]


def calls(peer: Peer, repeats: int, quick: bool) -> list[dict[str, Any]]:
    """A net of three Dense layers on one row, called in each of the ways there are."""
    net = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(4),
        ]
    )
    net.compile("sgd", "mse")
    row, target = np.ones((1, 8), "float32"), np.ones((1, 4), "float32")
    tensor = ops.convert_to_tensor(row)
    fns: dict[str, Callable[[], object]] = {
        "model(x)": lambda: net(tensor),
        "predict_on_batch": lambda: net.predict_on_batch(row),
        "train_on_batch": lambda: net.train_on_batch(row, target),
    }
    samples = _alternate(fns, repeats, 0.02 if quick else 0.1)
    samples["fit, a step beside its program"] = _beside_program(net, repeats)
    return [{"case": name, "ours": seconds} for name, seconds in samples.items()]


def _beside_program(net: Any, repeats: int, steps: int = 500) -> list[float]:
    """Seconds of a step of `fit` that are not spent in the compiled program."""
    x, y = np.ones((steps, 8), "float32"), np.ones((steps, 4), "float32")
    net.fit(x, y, batch_size=1, verbose=0)
    executable = net.step("train_step").executables()[-1]
    run, inside = executable._run, 0.0

    def timed(arrays: Any) -> Any:
        nonlocal inside
        begin = time.perf_counter()
        outcome = run(arrays)
        inside += time.perf_counter() - begin
        return outcome

    executable._run = timed
    found = []
    for _ in range(repeats):
        inside, begin = 0.0, time.perf_counter()
        net.fit(x, y, batch_size=1, verbose=0)
        found.append((time.perf_counter() - begin - inside) / steps)
    executable._run = run
    return found


def growth(peer: Peer, steps: int) -> int:
    """Bytes by which Python's memory grew over many training steps, after the first hundred."""
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 8, 8, 1), dtype="float32")
    y = rng.integers(0, 10, 16)
    for _ in range(100):
        net.train_on_batch(x, y)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(steps):
        net.train_on_batch(x, y)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return after - before

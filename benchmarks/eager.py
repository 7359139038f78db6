"""What eager calls cost: ops beside raw NumPy, a small model on one row, memory over many steps.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python -m benchmarks.eager

On some machines the two variables are set and slow a current NumPy, hence `env -u`. Run it on a
quiet machine: microseconds are of interest.
"""

from __future__ import annotations

import argparse
import gc
import json
import pathlib
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import kbackend as keras
from benchmarks.machine import describe, time_call
from kbackend import layers, ops

_MICRO = 1e6


def op_overhead() -> list[dict[str, Any]]:
    """Time of simple ops on a (1, 32) tensor above the NumPy call that they end in."""
    x = np.ones((1, 32), "float32")
    w = np.ones((32, 32), "float32")
    tx, tw = ops.convert_to_tensor(x), ops.convert_to_tensor(w)
    pairs: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        ("add", lambda: np.add(x, x), lambda: ops.add(tx, tx)),
        ("x + x", lambda: x + x, lambda: tx + tx),
        ("x * 2.0", lambda: x * np.float32(2.0), lambda: tx * 2.0),
        ("negative", lambda: np.negative(x), lambda: ops.negative(tx)),
        ("exp", lambda: np.exp(x), lambda: ops.exp(tx)),
        ("tanh", lambda: np.tanh(x), lambda: ops.tanh(tx)),
        ("maximum", lambda: np.maximum(x, x), lambda: ops.maximum(tx, tx)),
        ("relu", lambda: np.maximum(x, np.float32(0)), lambda: ops.relu(tx)),
        ("sum", lambda: np.sum(x, axis=1), lambda: ops.sum(tx, axis=1)),
        ("matmul", lambda: np.matmul(x, w), lambda: ops.matmul(tx, tw)),
        ("reshape", lambda: np.reshape(x, (32, 1)), lambda: ops.reshape(tx, (32, 1))),
        ("equal", lambda: np.equal(x, x), lambda: ops.equal(tx, tx)),
    ]
    rows = []
    for name, raw, ours in pairs:
        base, full = time_call(raw, 20_000), time_call(ours, 20_000)
        rows.append(
            {
                "name": name,
                "numpy_us": base.least * _MICRO,
                "ours_us": full.least * _MICRO,
                "overhead_us": (full.least - base.least) * _MICRO,
                "median_overhead_us": (full.median - base.median) * _MICRO,
            }
        )
    return rows


def model_call() -> dict[str, Any]:
    """`model(x)` of three Dense layers on one row."""
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(4),
        ]
    )
    x = ops.ones((1, 8))
    timing = time_call(lambda: model(x), 3_000)
    return {"least_us": timing.least * _MICRO, "median_us": timing.median * _MICRO}


def memory_over_steps(steps: int = 1_000) -> dict[str, Any]:
    """Growth of traced memory over many training steps, after the first hundred."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 8, 8, 1)).astype("float32")
    y = rng.integers(0, 10, 16)
    for _ in range(100):
        model.train_on_batch(x, y)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(steps):
        model.train_on_batch(x, y)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"steps": steps, "growth_bytes": after - before}


_IMPORT = """
import time
import numpy
begin = time.perf_counter()
import kbackend
print((time.perf_counter() - begin) * 1e3)
"""


def import_time(repeat: int = 7) -> dict[str, Any]:
    """Milliseconds that `import kbackend` adds to `import numpy`, each in a process of its own."""
    times = sorted(
        float(
            subprocess.run(
                [sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(repeat)
    )
    return {"least_ms": times[0], "median_ms": times[len(times) // 2]}


def main(argv: list[str] | None = None) -> int:
    """Runs all of it and prints tables; `--json FILE` writes the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.eager", description=__doc__)
    parser.add_argument("--json", type=pathlib.Path, help="file to write the figures to")
    options = parser.parse_args(argv)
    figures = {
        "machine": describe(),
        "ops": op_overhead(),
        "model_call": model_call(),
        "memory": memory_over_steps(),
        "import": import_time(),
    }
    console = Console()
    console.print(figures["machine"])
    table = Table("op on (1, 32)", "NumPy us", "op us", "overhead us", "median overhead us")
    for row in figures["ops"]:
        table.add_row(row["name"], *(f"{row[key]:.2f}" for key in list(row)[1:]))
    console.print(table)
    for name in ("model_call", "memory", "import"):
        console.print(name, figures[name])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""An engine of one's own: NumPy's kernels, with every call counted.

It is what a third-party engine looks like at its smallest: a table of kernels and a few ways to
move arrays in and out. To publish one, name it in the package's metadata:

    [project.entry-points."kbackend.engines"]
    counting = "my_package.engine:CountingEngine"

Run this file to see what a training step consists of:

    python examples/counting_engine.py
"""

from __future__ import annotations

from collections import Counter

import numpy as np

import kbackend as keras
from kbackend.base import dtypes
from kbackend.engine.interface import Engine, Kernel
from kbackend.engine.loader import register_engine
from kbackend_numpy.table import table


class CountingEngine(Engine):
    """Computes with NumPy and counts how often each primitive runs."""

    name = "counting"

    def __init__(self):
        self.counts = Counter()
        super().__init__(
            {name: Kernel(self._counted(name, kernel.fn)) for name, kernel in table().items()},
            composites={},  # without these, composites run as the primitives they are made of
        )

    def _counted(self, name, fn):
        def kernel(*arrays, **params):
            self.counts[name] += 1
            return fn(*arrays, **params)

        return kernel

    def asarray(self, value, dtype=None, copy=True):
        wanted = None if dtype is None else dtypes.numpy_dtype(dtype)
        array = np.array(value, dtype=wanted) if copy else np.asarray(value, dtype=wanted)
        dtypes.name_of(array.dtype)  # raises for what no tensor can hold
        return array

    def to_numpy(self, array):
        return np.asarray(array)

    def dtype_of(self, array):
        return dtypes.name_of(array.dtype)

    def owns(self, value):
        return isinstance(value, np.ndarray)


def main():
    register_engine("counting", CountingEngine)
    with keras.use_backend("counting") as engine:
        model = keras.Sequential(
            [
                keras.Input((8, 8)),
                keras.layers.Flatten(),
                keras.layers.Dense(32, activation="relu"),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        (x, y), _ = keras.datasets.digits.load_data()
        model.train_on_batch(x[:32] / 16.0, y[:32])  # builds the optimizer and the metrics
        engine.counts.clear()
        model.train_on_batch(x[32:64] / 16.0, y[32:64])
        total = sum(engine.counts.values())
        print(f"One training step runs {total} primitives:")
        for name, count in engine.counts.most_common():
            print(f"  {name:20s} {count}")


if __name__ == "__main__":
    main()

"""Recurrent layers whose kernels' texts are run on the CPU, and what the bodies give for them."""

from __future__ import annotations

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.ops.nn import rnn

# name -> numbers of states, of blocks of weights, of rows of biases
CELLS = {"lstm": (2, 4, 1), "gru": (1, 3, 2), "simple_rnn": (1, 1, 1)}
assert all(f"{cell}_sequence" in vars(rnn) for cell in CELLS)


def arguments(cell, shape, dtype="float32", seed=0):
    """Arguments of a layer, and cotangents of its results.

    Args:
        cell: name of the layer.
        shape: batch, time, features, units.
        dtype: of all of them.
        seed: of the numbers.
    """
    rng, (states, blocks, rows) = np.random.default_rng(seed), CELLS[cell]
    batch, time, features, units = shape

    def array(*dims, scale=1.0):
        return np.asarray(rng.standard_normal(dims) * scale, numpy_dtype(dtype))

    args = [
        array(batch, time, features),
        array(features, blocks * units, scale=features**-0.5),
        array(units, blocks * units, scale=units**-0.5),
        array(rows, blocks * units) if rows > 1 else array(blocks * units),
        *[array(batch, units) for _ in range(states)],
    ]
    return args, [array(batch, units) for _ in range(1 + states)]


class Case:
    """A layer's results and gradients, by whichever way.

    Args:
        cell: name of the layer.
        args: its arguments.
        cotangents: of its results, the first one of the last step or of each.
        mask: if there is one.
        sequences: whether the outputs of all steps are wanted.
        backwards: whether the steps go from the last one to the first.
        wants: which gradients; all by default.
    """

    def __init__(
        self, cell, args, cotangents, mask=None, sequences=False, backwards=False, wants=None
    ):
        self.shown, self.args, self.mask = 1 + CELLS[cell][0], args, [] if mask is None else [mask]
        self.name = f"{'' if mask is None else 'masked_'}{cell}_sequence"
        if sequences:
            steps = 1 + np.arange(args[0].shape[1]) / 8
            first = cotangents[0][:, None] * steps[:, None].astype(cotangents[0].dtype)
            cotangents = [first, *cotangents[1:]]
        self.cotangents = cotangents
        self.params = {"sequences": sequences, "backwards": backwards}
        self.wants = wants or (True,) * len(args)

    def by(self, how, **options):
        """The results that are shown, then the gradients.

        Args:
            how: `run` or `body`.
            **options: its arguments.
        """
        given = [*self.args, *self.mask]
        made = how(self.name, given, **self.params, keep=True, **options)
        kept = made[self.shown :]
        inputs = [*self.cotangents, *self.args, *kept, *self.mask]
        grads = how(f"{self.name}_grad", inputs, **self.params, wants=self.wants, **options)
        return [*made[: self.shown], *grads]

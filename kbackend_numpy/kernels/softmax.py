"""Kernels of softmax, its logarithm and their gradients, over rows of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy.kernels.blocks import Rule, kernel, over_classes, row_maxima, row_sums, spread

Array = Any
Ints = tuple[int, ...]

# Where no element is above the first, and every row's sum of exponentials above the second, these
# are far from overflow, and what underflows is below 1e-33 of its row. Then the row's maximum need
# not be subtracted; to find it costs more than all the rest.
HIGH, LOW = 40.0, 1e-4


def shift_into(out: Array, x: Array, row: Array) -> None:
    """x less its maximum over each row."""
    np.subtract(x, spread(row_maxima(x, row, out), out), out=out)


def exp_into(out: Array, x: Array, sums: Array) -> None:
    """exp(x), times a factor for each row that is at will, and its sums over rows."""
    if np.maximum.reduce(x, None) <= HIGH:
        np.exp(x, out=out)
        if np.minimum.reduce(row_sums(out, sums)) >= LOW:
            return
    shift_into(out, x, sums)
    np.exp(out, out=out)
    row_sums(out, sums)


def log_softmax_into(out: Array, x: Array, work: Array, row: Array) -> None:
    """log(softmax(x))."""
    shift_into(out, x, row)
    np.exp(out, out=work)
    np.log(row_sums(work, row), out=row)
    out -= spread(row, work)


def _softmax(out: Array, x: Array, work: Array, sums: Array) -> None:
    exp_into(work, x, sums)
    np.divide(work, spread(sums, out), out=out)


def _softmax_grad(out: Array, g: Array, result: Array, work: Array, row: Array) -> None:
    np.multiply(g, result, out=work)
    np.subtract(g, spread(row_sums(work, row), work), out=work)
    np.multiply(work, result, out=out)


def _log_softmax(out: Array, x: Array, work: Array, row: Array) -> None:
    log_softmax_into(out, x, work, row)


def _log_softmax_grad(
    out: Array, g: Array, result: Array, work: Array, sums: Array, row: Array
) -> None:
    np.exp(result, out=work)
    work *= spread(row_sums(g, row), sums)
    np.subtract(g, work, out=out)


def _of_rule(rule: Rule) -> Kernel:
    def plan(inputs: Sequence[Spec], *, axes: Ints) -> Prepared:
        return over_classes(rule, inputs, axes)

    return kernel(plan)


COMPOSITES: dict[str, Kernel] = {
    "softmax": _of_rule(Rule(_softmax, ("block", "row"), (0,), 1.3)),
    "softmax_grad": _of_rule(Rule(_softmax_grad, ("block", "row"), (0, 1), 1.2)),
    "log_softmax": _of_rule(Rule(_log_softmax, ("block", "row"), (), 2.5)),
    "log_softmax_grad": _of_rule(Rule(_log_softmax_grad, ("block", "block", "row"), (0, 1), 1.5)),
}

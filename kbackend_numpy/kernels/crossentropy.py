"""Kernels of the cross entropies, by the same means as those of the activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy.kernels.activation import masked, of_rule, sigmoid_into, softplus_into
from kbackend_numpy.kernels.blocks import Rule, elementwise, kernel, over_classes, row_sums, spread
from kbackend_numpy.kernels.softmax import exp_into, log_softmax_into, shift_into

Array = Any
Ints = tuple[int, ...]


def _clip(x: Array, epsilon: float, out: Array) -> Array:
    np.maximum(x, epsilon, out=out)
    return np.minimum(out, 1 - epsilon, out=out)


def _equal(a: Array, b: Array, memory: Array) -> Array:
    """Where a is b, in the memory of an array that is not needed. NaN is not itself."""
    return np.equal(a, b, out=memory.reshape(-1).view(np.bool_)[: a.size].reshape(a.shape))


# ----- dense targets -----


def _softmax_entropy(
    out: Array, target: Array, logits: Array, log: Array, work: Array, row: Array
) -> None:
    log_softmax_into(log, logits, work, row)
    log *= target
    np.negative(row_sums(log, row), out=out)


def _softmax_entropy_grad(
    out: Array, g: Array, target: Array, logits: Array, work: Array, sums: Array, factor: Array
) -> None:
    exp_into(work, logits, sums)
    np.divide(row_sums(target, factor), sums, out=factor)
    work *= spread(factor, out)
    work -= target
    np.multiply(work, spread(g, out), out=out)


def _probability_entropy(epsilon: float) -> Rule:
    def run(out: Array, target: Array, output: Array, q: Array, row: Array) -> None:
        np.divide(output, spread(row_sums(output, row), q), out=q)
        _clip(q, epsilon, q)
        np.log(q, out=q)
        q *= target
        np.negative(row_sums(q, row), out=out)

    return Rule(run, ("block", "row"), cost=2.0)


def _probability_entropy_grad(epsilon: float) -> Rule:
    def run(
        out: Array, g: Array, target: Array, output: Array, q: Array, clipped: Array,
        slope: Array, sums: Array, row: Array,
    ) -> None:  # fmt: skip
        np.divide(output, spread(row_sums(output, sums), q), out=q)
        _clip(q, epsilon, clipped)
        np.multiply(spread(g, slope), target, out=slope)
        slope /= clipped
        np.negative(slope, out=slope)
        # What was clipped has no gradient.
        masked(slope, slope, _equal(clipped, q, out), clipped)
        q *= slope
        slope -= spread(row_sums(q, row), q)
        np.divide(slope, spread(sums, q), out=out)

    return Rule(run, ("block",) * 3 + ("row",) * 2, cost=3.0)


# ----- integer targets -----


@lru_cache(maxsize=64)
def _starts(rows: int, classes: int) -> Array:
    return np.arange(rows) * classes


class _Labels:
    """Where the labels' entries are in a block made flat; labels that name no class count as 0.

    Takes three arrays of integers for scratch.
    """

    def __init__(self, labels: Array, classes: int, memory: tuple[Array, Array, Array]) -> None:
        places, kept, flags = memory
        rows = labels.shape[0]
        self._valid = flags.view(np.bool_)[:rows]
        below = flags.view(np.bool_)[rows : 2 * rows]
        np.copyto(places, labels, casting="unsafe")
        np.greater_equal(places, 0, out=self._valid)
        np.less(places, classes, out=below)
        np.logical_and(self._valid, below, out=self._valid)
        np.copyto(kept, self._valid)
        places *= kept
        places += _starts(rows, classes)
        self._places, self._scratch = places, kept

    def take(self, x: Array, out: Array) -> None:
        """The labels' entries."""
        # Blocks are contiguous, so that nothing is copied; places are in range, whatever the mode.
        x.reshape(-1).take(self._places, out=out, mode="clip")

    def put(self, x: Array, values: Array) -> None:
        """Overwrites the labels' entries."""
        x.reshape(-1)[self._places] = values

    def mask(self, out: Array, values: Array, also: Array | None = None) -> None:
        """The values of rows whose label names a class (and where `also` holds), else zero."""
        valid = self._valid
        if also is not None:
            np.logical_and(valid, also, out=also)
            valid = also
        masked(out, values, valid, self._scratch.view(values.dtype)[: values.size])


def _sparse_softmax_entropy(
    out: Array, labels: Array, logits: Array, work: Array, row: Array, *memory: Array
) -> None:
    chosen = _Labels(labels, logits.shape[1], memory)
    shift_into(work, logits, row)
    chosen.take(work, out)
    np.exp(work, out=work)
    np.log(row_sums(work, row), out=row)
    np.subtract(row, out, out=out)
    chosen.mask(out, out)


def _sparse_softmax_entropy_grad(
    out: Array, g: Array, labels: Array, logits: Array, work: Array, sums: Array, own: Array,
    *memory: Array,
) -> None:  # fmt: skip
    chosen = _Labels(labels, logits.shape[1], memory)
    chosen.mask(own, g)
    exp_into(work, logits, sums)
    np.divide(own, sums, out=sums)
    np.multiply(work, spread(sums, out), out=out)
    chosen.take(out, sums)
    sums -= own
    chosen.put(out, sums)


def _sparse_probability_entropy(epsilon: float) -> Rule:
    def run(out: Array, labels: Array, output: Array, row: Array, *memory: Array) -> None:
        chosen = _Labels(labels, output.shape[1], memory)
        chosen.take(output, out)
        out /= row_sums(output, row)
        _clip(out, epsilon, out)
        np.log(out, out=out)
        np.negative(out, out=out)
        chosen.mask(out, out)

    return Rule(run, ("row", *("index",) * 3), cost=0.3)


def _sparse_probability_entropy_grad(epsilon: float) -> Rule:
    def run(
        out: Array, g: Array, labels: Array, output: Array, sums: Array, q: Array, clipped: Array,
        slope: Array, flags: Array, *memory: Array,
    ) -> None:  # fmt: skip
        chosen = _Labels(labels, output.shape[1], memory)
        row_sums(output, sums)
        chosen.take(output, q)
        q /= sums
        _clip(q, epsilon, clipped)
        np.divide(g, clipped, out=slope)
        np.negative(slope, out=slope)
        # What was clipped has no gradient.
        chosen.mask(slope, slope, _equal(clipped, q, flags))
        slope /= sums
        q *= slope
        np.negative(q, out=q)
        spread(q, out)
        q += slope
        chosen.put(out, q)

    return Rule(run, ("row",) * 5 + ("index",) * 3, (2,), cost=0.8)


# ----- two classes -----


def _sigmoid_entropy(out: Array, target: Array, logits: Array, plus: Array, work: Array) -> None:
    softplus_into(plus, logits, plus, work)
    np.multiply(target, logits, out=work)
    np.subtract(plus, work, out=out)


def _sigmoid_entropy_grad(out: Array, g: Array, target: Array, logits: Array, s: Array) -> None:
    sigmoid_into(s, logits)
    s -= target
    np.multiply(s, g, out=out)


def _binary_entropy(epsilon: float) -> Rule:
    def run(out: Array, target: Array, output: Array, q: Array, log: Array, rest: Array) -> None:
        _clip(output, epsilon, q)
        np.log(q, out=log)
        log *= target
        np.subtract(1, q, out=q)
        np.log(q, out=q)
        np.subtract(1, target, out=rest)
        rest *= q
        log += rest
        np.negative(log, out=out)

    return Rule(run, ("block",) * 3, (0, 1), 2.5)


def _binary_entropy_grad(epsilon: float) -> Rule:
    def run(
        out: Array, g: Array, target: Array, output: Array, q: Array, slope: Array, rest: Array
    ) -> None:
        _clip(output, epsilon, q)
        np.subtract(q, target, out=slope)
        slope *= g
        np.subtract(1, q, out=rest)
        rest *= q
        slope /= rest
        # What was clipped has no gradient.
        masked(out, slope, _equal(q, output, rest), q)

    return Rule(run, ("block",) * 3, (0, 1, 2), 2.0)


# ----- the kernels -----

_LABELS = frozenset({"int32", "int64"})


def _reduced(*shapes: Ints, axes: Ints, **params: Any) -> Ints:
    return tuple([1 if i in axes else d for i, d in enumerate(shapes[-1])])


def _of_labels(*shapes: Ints, **params: Any) -> Ints:
    return shapes[0]


def _dense(rule: Rule) -> Kernel:
    def plan(inputs: Sequence[Spec], *, axes: Ints) -> Prepared:
        return over_classes(rule, inputs, axes, reduced=True)

    return kernel(plan, _reduced)


def _dense_grad(rule: Rule) -> Kernel:
    def plan(inputs: Sequence[Spec], *, axes: Ints) -> Prepared:
        return over_classes(rule, inputs, axes, by_sample=(0,))

    return kernel(plan)


def _clipped(make: Callable[[float], Rule], **places: Any) -> Callable[..., Prepared]:
    """The plan of a rule that clips probabilities, over given axes or the last."""

    def plan(inputs: Sequence[Spec], *, epsilon: float, axes: Ints = (1,)) -> Prepared:
        return over_classes(make(epsilon), inputs, axes, **places)

    return plan


def _pairs(make: Callable[[float], Rule]) -> Kernel:
    def plan(inputs: Sequence[Spec], *, epsilon: float) -> Prepared:
        return elementwise(make(epsilon), inputs)

    return kernel(plan)


def _sparse(inputs: Sequence[Spec]) -> Prepared:
    rule = Rule(_sparse_softmax_entropy, ("block", "row", *("index",) * 3), cost=1.8)
    return over_classes(rule, inputs, (1,), by_sample=(0,), reduced=True)


def _sparse_grad(inputs: Sequence[Spec]) -> Prepared:
    scratch = ("block", "row", "row", *("index",) * 3)
    rule = Rule(_sparse_softmax_entropy_grad, scratch, (2,), 1.3)
    return over_classes(rule, inputs, (1,), by_sample=(0, 1))


COMPOSITES: dict[str, Kernel] = {
    "softmax_cross_entropy": _dense(Rule(_softmax_entropy, ("block", "block", "row"), cost=2.5)),
    "softmax_cross_entropy_grad": _dense_grad(
        Rule(_softmax_entropy_grad, ("block", "row", "row"), (2,), 1.8)
    ),
    "probability_cross_entropy": kernel(_clipped(_probability_entropy, reduced=True), _reduced),
    "probability_cross_entropy_grad": kernel(_clipped(_probability_entropy_grad, by_sample=(0,))),
    "sparse_softmax_cross_entropy": kernel(_sparse, _of_labels, _LABELS),
    "sparse_softmax_cross_entropy_grad": kernel(_sparse_grad),
    "sparse_probability_cross_entropy": kernel(
        _clipped(_sparse_probability_entropy, by_sample=(0,), reduced=True), _of_labels, _LABELS
    ),
    "sparse_probability_cross_entropy_grad": kernel(
        _clipped(_sparse_probability_entropy_grad, by_sample=(0, 1))
    ),
    "sigmoid_cross_entropy": of_rule(Rule(_sigmoid_entropy, ("block",) * 2, (0, 1), 2.0)),
    "sigmoid_cross_entropy_grad": of_rule(Rule(_sigmoid_entropy_grad, ("block",), (0, 1, 2), 1.4)),
    "binary_probability_cross_entropy": _pairs(_binary_entropy),
    "binary_probability_cross_entropy_grad": _pairs(_binary_entropy_grad),
}

"""Cross entropies over rows of classes, and their gradients; see `kbackend.ops.nn.crossentropy`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba.codegen.math import exp_of_negative, log
from kbackend_numba.codegen.row import Place, Row
from kbackend_numba.codegen.value import Value
from kbackend_numba.kernels.rows import Matrix, WriteRow, by_rows, over_axes
from kbackend_numba.kernels.softmax import exponentials, log_sum, shifted
from kbackend_numba.native import Prepare, native

Specs = tuple[Spec, ...]


def _clipped(row: Row, q: Value, epsilon: float) -> Value:
    code = row.code
    return code.minimum(code.maximum(q, epsilon), 1 - epsilon)


def _number(row: Row, array: int, number: Value) -> Value:
    """A row's element of an array with one number for each row."""
    return row.code.load(row.code.array(array), number, row.dtype)


# ----- dense targets -----


def _softmax_entropy(row: Row, number: Value) -> None:
    """Writes `out` from `target, logits`."""
    target, logits = row.start(1, number), row.start(2, number)
    apart = shifted(row, logits)
    rest = log_sum(row, apart)
    (total,) = row.sums(lambda place: (apart(place) - rest) * row.load(target, place))
    row.code.store(-total, row.code.array(0), number)


def _softmax_entropy_grad(row: Row, number: Value) -> None:
    """Writes `out` from `g, target, logits`."""
    out, target, logits = (row.start(i, number) for i in (0, 2, 3))
    g = _number(row, 1, number)
    (weight,) = row.sums(lambda place: row.load(target, place))
    kept, total = exponentials(row, logits, out)
    factor = weight / total
    row.put(out, lambda place: (kept(place) * factor - row.load(target, place)) * g)


def _probability_entropy(epsilon: float) -> WriteRow:
    def write(row: Row, number: Value) -> None:
        """Writes `out` from `target, output`."""
        target, output = row.start(1, number), row.start(2, number)
        (weight,) = row.sums(lambda place: row.load(output, place))

        def term(place: Place) -> Value:
            q = _clipped(row, row.load(output, place) / weight, epsilon)
            return log(row.code, q) * row.load(target, place)

        (total,) = row.sums(term)
        row.code.store(-total, row.code.array(0), number)

    return write


def _probability_entropy_grad(epsilon: float) -> WriteRow:
    def write(row: Row, number: Value) -> None:
        """Writes `out` from `g, target, output`."""
        out, target, output = (row.start(i, number) for i in (0, 2, 3))
        g = _number(row, 1, number)
        (weight,) = row.sums(lambda place: row.load(output, place))

        def share(place: Place) -> Value:
            return row.load(output, place) / weight

        def slope(place: Place) -> Value:
            q = share(place)
            clipped = _clipped(row, q, epsilon)
            found = -(row.load(target, place) * g / clipped)
            # What was clipped has no gradient.
            return row.code.select(clipped.equals(q), found, 0.0)

        (along,) = row.sums(lambda place: share(place) * slope(place))
        row.put(out, lambda place: (slope(place) - along) / weight)

    return write


# ----- integer targets -----


class _Label:
    """A row's label. One that names no class counts as 0, and its row for nothing."""

    def __init__(self, row: Row, array: int, number: Value, dtype: str) -> None:
        code = self._code = row.code
        label = code.load(code.array(array), number, dtype).cast("int64")
        zero = code.number(0)
        self._there = (label >= zero) & (label < row.count)
        self.place = code.select(self._there, label, zero)

    def only(self, value: Value, also: Value | None = None) -> Value:
        """A value if the label names a class (and `also` holds), else 0."""
        there = self._there if also is None else self._there & also
        return self._code.select(there, value, 0.0)


def _sparse_softmax_entropy(dtype: str) -> WriteRow:
    def write(row: Row, number: Value) -> None:
        """Writes `out` from `labels, logits`."""
        label, logits = _Label(row, 1, number, dtype), row.start(2, number)
        largest = row.largest(lambda place: row.load(logits, place))
        (total,) = row.sums(
            lambda place: exp_of_negative(row.code, row.load(logits, place) - largest)
        )
        own = row.code.load(logits, label.place, row.dtype) - largest
        row.code.store(label.only(log(row.code, total) - own), row.code.array(0), number)

    return write


def _sparse_softmax_entropy_grad(dtype: str) -> WriteRow:
    def write(row: Row, number: Value) -> None:
        """Writes `out` from `g, labels, logits`."""
        out, logits, code = row.start(0, number), row.start(3, number), row.code
        label = _Label(row, 2, number, dtype)
        g = label.only(_number(row, 1, number))
        kept, total = exponentials(row, logits, out)
        factor = g / total
        row.put(out, lambda place: kept(place) * factor)
        code.store(code.load(out, label.place, row.dtype) - g, out, label.place)

    return write


def _sparse_probability_entropy(dtype: str, epsilon: float) -> WriteRow:
    def write(row: Row, number: Value) -> None:
        """Writes `out` from `labels, output`."""
        label, output = _Label(row, 1, number, dtype), row.start(2, number)
        (total,) = row.sums(lambda place: row.load(output, place))
        q = _clipped(row, row.code.load(output, label.place, row.dtype) / total, epsilon)
        row.code.store(label.only(-log(row.code, q)), row.code.array(0), number)

    return write


def _sparse_probability_entropy_grad(dtype: str, epsilon: float) -> WriteRow:
    def write(row: Row, number: Value) -> None:
        """Writes `out` from `g, labels, output`."""
        out, output, code = row.start(0, number), row.start(3, number), row.code
        label, g = _Label(row, 2, number, dtype), _number(row, 1, number)
        (total,) = row.sums(lambda place: row.load(output, place))
        q = code.load(output, label.place, row.dtype) / total
        clipped = _clipped(row, q, epsilon)
        # What was clipped has no gradient.
        slope = label.only(-(g / clipped), also=clipped.equals(q)) / total
        rest = -(q * slope)
        row.put(out, lambda place: code.splat(rest, row.lanes))
        code.store(rest + slope, out, label.place)

    return write


# ----- preparing them -----


def _entropy(
    name: str,
    write: Callable[..., WriteRow],
    kinds: str,
    overwrites: Sequence[tuple[int, int]],
    work: float,
) -> Prepare:
    """What prepares an entropy.

    Args:
        name: of the composite.
        write: writes a row; it is given the labels' dtype, if there are labels, and epsilon, if
            there is one.
        kinds: what the output and the inputs are: "w"hole, one "n"umber for each row, or "l"abels.
        overwrites: see `Prepared`.
        work: nanoseconds for a number besides reading and writing it.
    """
    given = kinds[1:]
    whole = tuple([i for i, kind in enumerate(given) if kind == "w"])

    def prepare(
        inputs: Specs, outputs: Specs, axes: Ints = (1,), **params: float
    ) -> Prepared | None:
        key: list[Any] = [inputs[given.index("l")].dtype] if "l" in given else []
        if key and key[0] not in ("int32", "int64"):
            return None
        key += params.values()
        dtypes = {s.dtype for s, kind in zip(inputs, given, strict=True) if kind != "l"}
        if len(dtypes) > 1:
            return None

        def make(matrix: Matrix) -> Prepared:
            arrays = tuple(range(len(kinds)))
            cost = matrix.cost(kinds.count("w"), work)
            call = by_rows(matrix, (name, *key), write(*key), arrays, cost)
            return native([call], overwrites=matrix.in_place(*overwrites))

        return over_axes(make, inputs, outputs, axes, whole, reduced=kinds[0] != "w")

    return prepare


PREPARE: dict[str, Prepare] = {
    name: _entropy(name, write, kinds, overwrites, work)
    for name, write, kinds, overwrites, work in (
        ("softmax_cross_entropy", lambda: _softmax_entropy, "nww", [], 0.2),
        ("softmax_cross_entropy_grad", lambda: _softmax_entropy_grad, "wnww", [(2, 0)], 0.2),
        ("probability_cross_entropy", _probability_entropy, "nww", [], 0.3),
        (
            "probability_cross_entropy_grad",
            _probability_entropy_grad,
            "wnww",
            [(1, 0), (2, 0)],
            0.3,
        ),
        ("sparse_softmax_cross_entropy", _sparse_softmax_entropy, "nlw", [], 0.15),
        ("sparse_softmax_cross_entropy_grad", _sparse_softmax_entropy_grad, "wnlw", [(2, 0)], 0.15),
        ("sparse_probability_cross_entropy", _sparse_probability_entropy, "nlw", [], 0.0),
        (
            "sparse_probability_cross_entropy_grad",
            _sparse_probability_entropy_grad,
            "wnlw",
            [(2, 0)],
            0.0,
        ),
    )
}

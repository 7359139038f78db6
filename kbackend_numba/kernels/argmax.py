"""Where the greatest or least element of a row is; where one is NaN, the first NaN."""

from __future__ import annotations

from kbackend.engine.program import Prepared, Spec
from kbackend_numba.codegen.row import Place, Row
from kbackend_numba.codegen.value import Value
from kbackend_numba.kernels.rows import Matrix, WriteRow, by_rows, over_axes
from kbackend_numba.native import Prepare, native

Specs = tuple[Spec, ...]

# Places are counted in the row's dtype, which holds integers up to here.
_MOST = 1 << 24


def _place(greatest: bool) -> WriteRow:
    def write(row: Row, number: Value) -> None:
        """Writes `out` from `x`."""
        code, x = row.code, row.start(1, number)
        numbers = code.vector(range(row.lanes), row.dtype)

        def signed(place: Place) -> Value:
            value = row.load(x, place)
            return value if greatest else -value

        def nan(place: Place) -> Value:
            value = row.load(x, place)
            return code.select(value.differs(value), code.number(1.0, row.dtype, row.lanes), 0.0)

        largest, has_nan = row.largest(signed), row.largest(nan)

        def candidate(place: Place) -> Value:
            """The number of an element that may be it, made negative."""
            value = signed(place)
            mine = code.select(
                code.splat(has_nan > 0.0, row.lanes), value.differs(value), value.equals(largest)
            )
            at = numbers + place.at.cast(row.dtype)
            return code.select(mine, -at, code.number(-float(2 * _MOST), row.dtype, row.lanes))

        found = -row.largest(candidate)
        code.store(found.cast("int32"), code.array(0), number)

    return write


def _prepare(greatest: bool) -> Prepare:
    def prepare(inputs: Specs, outputs: Specs, axis: int) -> Prepared | None:
        (x,) = inputs
        axis %= len(x.shape)
        if x.shape[axis] > _MOST:
            return None

        def make(matrix: Matrix) -> Prepared:
            key, cost = ("place of an extreme", greatest), matrix.cost(1, 0.05)
            return native([by_rows(matrix, key, _place(greatest), (0, 1), cost)])

        return over_axes(make, inputs, outputs, (axis,), (0,), reduced=True)

    return prepare


PREPARE: dict[str, Prepare] = {"argmax": _prepare(True), "argmin": _prepare(False)}

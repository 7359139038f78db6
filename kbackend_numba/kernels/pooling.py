"""Maxima and sums over windows, channels last.

Vectors run along the channels. A window's elements are taken one after the other, in row-major
order: of equal maxima the first one counts, and where one is NaN, the first NaN.
"""

from __future__ import annotations

from collections.abc import Callable

from kbackend.engine.program import Ints, Prepared, Spec
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import function
from kbackend_numba.codegen.value import Value
from kbackend_numba.kernels import pooling_back
from kbackend_numba.kernels.copying import packed
from kbackend_numba.kernels.windows import First, Form, Pads, Plan, Windows, suits
from kbackend_numba.native import Call, Prepare, native

Specs = tuple[Spec, ...]


def _reduce(dtype: str, greatest: bool, form: Form) -> Callable[[Code], None]:
    """Writes `out, x`: maxima or sums. Items are rows of windows."""

    def write(code: Code) -> None:
        windows = Windows(code, dtype, form)
        out, x = code.array(0), code.array(1)
        start = code.number(-float("inf") if greatest else 0.0, dtype, windows.lanes)

        def row(image: Value, places: list[Value]) -> None:
            source = code.offset(x, image * windows.image, dtype)
            target = code.offset(out, image * windows.out_image, dtype)
            with windows.each(places) as window:
                starts, at = windows.starts(window), windows.result(window)

                def vector(channel: Value, mask: Value | None) -> None:
                    total = code.var(start)

                    def see(place: Value, number: Value) -> None:
                        v = code.load(source, place + channel, dtype, windows.lanes, mask)
                        now = total.value
                        total.set(code.maximum(now, v) if greatest else now + v)

                    windows.visit(starts, see)
                    code.store(total.value, target, at + channel, mask)

                windows.vectors(vector)

        _rows(code, windows, row)

    return write


def _pick(dtype: str, form: Form) -> Callable[[Code], None]:
    """Writes `out, x, t`: of t what stands where x has its maximum. Items are rows of windows."""

    def write(code: Code) -> None:
        windows = Windows(code, dtype, form)
        out, x, t = code.array(0), code.array(1), code.array(2)
        zero = code.number(0.0, dtype, windows.lanes)

        def row(image: Value, places: list[Value]) -> None:
            source, given = (code.offset(a, image * windows.image, dtype) for a in (x, t))
            target = code.offset(out, image * windows.out_image, dtype)
            with windows.each(places) as window:
                starts, at = windows.starts(window), windows.result(window)

                def vector(channel: Value, mask: Value | None) -> None:
                    first, picked = First(windows), code.var(zero)

                    def see(place: Value, number: Value) -> None:
                        v, w = (
                            code.load(a, place + channel, dtype, windows.lanes, mask)
                            for a in (source, given)
                        )
                        picked.set(code.select(first.see(v, number), w, picked.value))

                    windows.visit(starts, see)
                    code.store(picked.value, target, at + channel, mask)

                windows.vectors(vector)

        _rows(code, windows, row)

    return write


def _rows(code: Code, windows: Windows, row: Callable[[Value, list[Value]], None]) -> None:
    with code.loop(code.begin, code.end) as item:
        row(*windows.split(item))


# ----- preparing them -----


def _reduced(greatest: bool) -> Prepare:
    @packed
    def prepare(
        inputs: Specs, outputs: Specs, *, window: Ints, strides: Ints, padding: Pads
    ) -> Prepared | None:
        (x,), (out,) = inputs, outputs
        if not (suits(x) and suits(out)):
            return None
        plan = Plan(x, x.shape[1:-1], out.shape[1:-1], window, strides, padding)
        name = "window_max" if greatest else "window_sum"
        made = function((name, x.dtype, *plan.form), _reduce(x.dtype, greatest, plan.form))
        return native([Call(made, (0, 1), plan.sizes, plan.rows, plan.cost / plan.rows)])

    return prepare


@packed
def _prepare_pick(
    inputs: Specs, outputs: Specs, *, window: Ints, strides: Ints, padding: Pads
) -> Prepared | None:
    (x, t), (out,) = inputs, outputs
    if not (suits(x) and suits(out)) or t.dtype != x.dtype:
        return None
    plan = Plan(x, x.shape[1:-1], out.shape[1:-1], window, strides, padding)
    made = function(("window_pick", x.dtype, *plan.form), _pick(x.dtype, plan.form))
    return native([Call(made, (0, 1, 2), plan.sizes, plan.rows, plan.cost / plan.rows)])


PREPARE: dict[str, Prepare] = {
    "window_max": _reduced(greatest=True),
    "window_sum": _reduced(greatest=False),
    "window_pick": _prepare_pick,
    **pooling_back.PREPARE,
}
EPILOGUES = pooling_back.EPILOGUES

"""`dot` into planned memory: every contraction is a stack of matrix products by BLAS.

BLAS takes matrices whose elements lie side by side along one axis. Operands that are laid out
otherwise are copied into scratch first; NumPy would do that too, but into memory of its own. Large
products are split along one axis of the result, over the pool of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from kbackend.engine.array_module import contract as shared
from kbackend.engine.interface import Kernel
from kbackend.engine.program import Prepared, Spec
from kbackend_numpy import threads

Array = Any
Ints = tuple[int, ...]
Pairs = tuple[Ints, Ints]
Slices = tuple[slice, ...]

# On one thread: floating point operations per nanosecond, elements copied, elements read or
# written. Rough, to tell large products from small ones.
_FLOPS, _COPIES, _TRAFFIC = 120.0, 3.0, 10.0
# Small products of a row-major by a transposed matrix run at half the speed of others. With as many
# rows as this, and less multiplications than that, it pays to copy the second matrix first.
_ROWS_WORTH_COPY, _SMALL = 32, 1 << 20
# A result of as many elements takes longer to clear than `matmul` to begin.
_LARGE = 1 << 14
# Parts of fewer rows or columns than this gain nothing: each reads all of the other matrix.
_NARROW = 64


# ----- layout -----


class _Operand(NamedTuple):
    """How an array becomes a stack of matrices."""

    axes: Ints  # transposition: batch axes, then rows, then columns
    dims: Ints  # its shape after that
    shape: Ints  # (*batch, rows, columns)
    row_major: bool  # whether the elements of a row lie side by side
    copied: bool  # whether it goes through scratch
    packed: bool  # whether matrices have no gaps


def _strides(spec: Spec) -> Ints:
    if spec.strides is not None:
        return spec.strides
    return tuple([prod(spec.shape[i + 1 :]) for i in range(len(spec.shape))])


def _merged(dims: Ints, strides: Ints) -> int | None:
    """Elements from one index to the next of axes taken as one; `None` if they can't be."""
    step, reach = 1, None
    for d, s in zip(dims[::-1], strides[::-1], strict=True):
        if d == 1:
            continue
        if reach is None:
            step = s
        elif s != reach:
            return None
        reach = d * s
    return step


def _operand(spec: Spec, batch: Ints, rows: Ints, columns: Ints) -> _Operand:
    axes = (*batch, *rows, *columns)
    strides = _strides(spec)

    def along(group: Ints) -> tuple[int, int | None]:
        dims = tuple([spec.shape[i] for i in group])
        return prod(dims), _merged(dims, tuple([strides[i] for i in group]))

    (m, down), (n, across) = along(rows), along(columns)
    if down is None or across is None:
        fits = False
    elif m == 1 or n == 1:
        fits = (down if n == 1 else across) > 0 or m == n
    else:
        fits = (across == 1 and down >= n) or (down == 1 and across >= m)
    dims = tuple([spec.shape[i] for i in axes])
    shape = (*dims[: len(batch)], m, n)
    packed = not fits or (across, down) in ((1, n), (m, 1))
    return _Operand(axes, dims, shape, across == 1 or not fits, not fits, packed)


class _Form(NamedTuple):
    """A contraction as a stack of products of matrices."""

    x: _Operand
    y: _Operand
    batch: int  # axes of the stack
    free: Ints  # axes that make up the rows of x, and the columns of y

    @property
    def out(self) -> Ints:
        """The shape of the result."""
        return (*self.x.shape[:-1], self.y.shape[-1])


def _form(x: Spec, y: Spec, contract: Pairs, batch: Pairs) -> _Form:
    free = [
        tuple([i for i in range(len(s.shape)) if i not in c and i not in b])
        for s, c, b in zip((x, y), contract, batch, strict=True)
    ]
    forms = []
    # The order of the summed axes is free. That of either array may let it collapse uncopied.
    for spec, own in zip((x, y), contract, strict=True):
        strides = _strides(spec)
        order = sorted(range(len(own)), key=lambda i: -strides[own[i]])
        x_sum, y_sum = (tuple([axes[i] for i in order]) for axes in contract)
        a = _operand(x, batch[0], free[0], x_sum)
        b = _operand(y, batch[1], y_sum, free[1])
        forms.append(_Form(a, b, len(batch[0]), (len(free[0]), len(free[1]))))
    form = min(forms, key=_copies)
    a, b = form.x, form.y
    m, n, k = *form.out[-2:], a.shape[-1]
    slow = a.row_major and not b.row_major and min(m, n, k) > 1 and prod(form.out[:-2]) > 1
    if slow and m >= _ROWS_WORTH_COPY and m * n * k < _SMALL:
        form = form._replace(y=b._replace(row_major=True, copied=True, packed=True))
    return form


def _copies(form: _Form) -> int:
    """Elements to copy."""
    return sum(prod(o.dims) for o in (form.x, form.y) if o.copied)


# ----- parts -----


class _Cut(NamedTuple):
    """An axis of the result to split along, as (axis, elements per item) of every array.

    `None` stands for arrays that each part needs as a whole. `x` and `y` are the matrices,
    `x_dims` and `y_dims` the arrays that they are copied from.
    """

    items: int
    x: tuple[int, int] | None
    y: tuple[int, int] | None
    out: tuple[int, int]
    x_dims: int
    y_dims: int


def _group(operand: _Operand, start: int, stop: int, size: int) -> tuple[int, int]:
    """The axis to cut rows or columns at, `start` to `stop` of the dimensions, and its length."""
    if not operand.copied:
        return start, size
    axis = next((i for i in range(start, stop) if operand.dims[i] > 1), start)
    return axis, operand.dims[axis]


def _cut(form: _Form, parts: int) -> _Cut | None:
    """The best axis to split along, if there is one."""
    x, y, b = form.x, form.y, form.batch
    m, n = form.out[-2:]
    axis = max(range(b), key=lambda i: x.dims[i], default=0)
    items = x.dims[axis] if b else 1
    stack = _Cut(items, (axis, 1), (axis, 1), (axis, 1), axis, axis) if items > 1 else None
    if stack is not None and items >= 2 * parts:
        return stack
    if max(m, n) >= _NARROW * parts:
        if m >= n:
            at, items = _group(x, b, b + form.free[0], m)
            cut = _Cut(items, (b, m // items), None, (b, m // items), at, 0)
        else:
            ndim = len(y.dims)
            at, items = _group(y, ndim - form.free[1], ndim, n)
            cut = _Cut(items, None, (b + 1, n // items), (b + 1, n // items), 0, at)
        if items >= parts:
            return cut
    return stack


def _at(place: tuple[int, int] | None, start: int, stop: int) -> Slices:
    if place is None:
        return ()
    axis, scale = place
    return (slice(None),) * axis + (slice(start * scale, stop * scale),)


# ----- the kernel -----


def _view(operand: _Operand) -> Callable[[Array], Array]:
    """The stack of matrices of an array that needs no copy."""
    axes, shape = operand.axes, operand.shape
    if axes == tuple(range(len(axes))):
        return (lambda a: a) if shape == operand.dims else (lambda a: a.reshape(shape))
    if axes == (1, 0) and shape == operand.dims:
        return lambda a: a.T
    return lambda a: a.transpose(axes).reshape(shape)


def _serial(form: _Form) -> Callable[..., None]:
    """The product on the calling thread."""
    x, y, shape = form.x, form.y, form.out
    x_view, y_view = _view(x), _view(y)
    product = _product(form)
    if product is np.matmul and len(shape) == 2 and x.packed and y.packed and prod(shape) < _LARGE:
        # The same with less ado; but it clears the result first, and copies matrices with gaps.
        product = np.ndarray.dot

    def run(out: Array, a: Array, b: Array, *scratch: Array) -> None:
        if x.copied:
            np.copyto(scratch[0], a.transpose(x.axes))
            a = scratch[0].reshape(x.shape)
        else:
            a = x_view(a)
        if y.copied:
            np.copyto(scratch[-1], b.transpose(y.axes))
            b = scratch[-1].reshape(y.shape)
        else:
            b = y_view(b)
        product(a, b, out.reshape(shape))

    return run


def _product(form: _Form) -> Callable[..., Any]:
    # Over one summed element there is no sum, and nothing that BLAS could do.
    return np.multiply if form.x.shape[-1] == 1 else np.matmul


def _parallel(form: _Form, cut: _Cut, parts: int) -> Callable[..., None]:
    """The product in parts, where the cores are taken."""
    x, y, shape = form.x, form.y, form.out
    x_view, y_view = _view(x), _view(y)
    product, serial = _product(form), _serial(form)
    shares = [
        (
            _at(cut.x and (cut.x_dims, 1), *share), _at(cut.y and (cut.y_dims, 1), *share),
            _at(cut.x, *share), _at(cut.y, *share), _at(cut.out, *share),
        )
        for share in threads.ranges(cut.items, parts)
    ]  # fmt: skip
    # Copies of what all parts need come before them.
    x_before, y_before = x.copied and not cut.x, y.copied and not cut.y

    def run(out: Array, a: Array, b: Array, *scratch: Array) -> None:
        if not threads.active():
            serial(out, a, b, *scratch)
            return
        x_from, x_to = (a.transpose(x.axes), scratch[0]) if x.copied else (a, a)
        y_from, y_to = (b.transpose(y.axes), scratch[-1]) if y.copied else (b, b)
        if x_before:
            np.copyto(x_to, x_from)
        if y_before:
            np.copyto(y_to, y_from)
        left = x_to.reshape(x.shape) if x.copied else x_view(a)
        right = y_to.reshape(y.shape) if y.copied else y_view(b)
        into = out.reshape(shape)

        def part(index: int, worker: int) -> None:
            x_dims, y_dims, rows, columns, at = shares[index]
            if x.copied and not x_before:
                np.copyto(x_to[x_dims], x_from[x_dims])
            if y.copied and not y_before:
                np.copyto(y_to[y_dims], y_from[y_dims])
            product(left[rows], right[columns], into[at])

        threads.split(part, len(shares))

    return run


def _prepare(
    inputs: tuple[Spec, Spec], outputs: tuple[Spec], *, contract: Pairs, batch: Pairs = ((), ())
) -> Prepared | None:
    x, y = inputs
    if x.dtype not in ("float32", "float64"):
        return None
    if not x.size or not y.size:
        return Prepared(lambda out, x, y: out.fill(0))
    form = _form(x, y, contract, batch)
    scratch = tuple([Spec(o.dims, x.dtype) for o in (form.x, form.y) if o.copied])
    size = prod(form.out)
    work = 2 * size * form.x.shape[-1] / _FLOPS + _copies(form) / _COPIES
    work += (x.size + y.size + size) / _TRAFFIC
    parts = threads.count()
    cut = _cut(form, parts) if parts > 1 and work >= threads.WORTH_SPLITTING else None
    if cut is None:
        return Prepared(_serial(form), scratch)
    # No reason to take the cores: where BLAS has them, it splits products better than the pool.
    return Prepared(_parallel(form, cut, parts), scratch)


KERNELS: dict[str, Kernel] = {"dot": Kernel(shared.kernels(np)["dot"].fn, prepare=_prepare)}

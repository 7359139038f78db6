"""Functions applied along the first dimension: map, scan, and parallel scans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kbackend.base import shapes, tree
from kbackend.core import lang
from kbackend.core.aval import Aval
from kbackend.core.bind import Symbolic
from kbackend.core.convert import to_tensor
from kbackend.core.tensor import Tensor
from kbackend.ir.bodies import structured
from kbackend.ir.control import row
from kbackend.ops.core import traced
from kbackend.ops.define import op
from kbackend.ops.keras_tensor import KerasTensor, any_symbolic

Fn = Callable[..., Any]


def _tensors(structure: Any, name: str, what: str) -> tuple[Any, int | None]:
    """Leaves as tensors, and the length of their common first dimension."""
    structure = tree.map_structure(lambda x: x if x is None else to_tensor(x), structure)
    leaves = [x for x in tree.flatten(structure) if x is not None]
    if not leaves or any(not x.shape for x in leaves):
        raise ValueError(f"[{name}] {what} must be tensors with at least one dimension.")
    lengths = {x.shape[0] for x in leaves} - {None}
    if len(lengths) > 1:
        raise ValueError(
            f"[{name}] {what} must have the same first dimension. Received: {sorted(lengths)}."
        )
    return structure, lengths.pop() if lengths else None


def _row(x: Any, i: int) -> Any:
    """x[i]"""
    return None if x is None else row(x, i)


def _stacked(rows: list[Any]) -> Any:
    """One structure of tensors with a new first dimension."""

    def join(*leaves: Any) -> Any:
        if leaves[0] is None:
            return None
        tensors = [to_tensor(leaf) for leaf in leaves]
        return lang.concatenate([lang.reshape(t, (1, *t.shape)) for t in tensors], 0)

    return tree.map_structure(join, rows[0], *rows[1:])


def _longer(structure: Any, length: int | None) -> Any:
    """Symbolic results of one step as those of `length` steps."""

    def widen(x: Any) -> Any:
        return x if x is None else KerasTensor.of(Aval((length, *x.shape), x.dtype))

    return tree.map_structure(widen, structure)


@op(static=("f",))
def map(f: Fn, xs: Any) -> Any:
    """`f` applied to each slice of `xs` along the first dimension, the results stacked.

    Args:
        f: takes a structure like `xs` without the first dimension, returns a structure.
        xs: tensor or structure of tensors.

    Returns:
        A structure of tensors like `f` returns, with a new first dimension.

    Raises:
        ValueError: the tensors differ in their first dimension, or it is 0.

    Example:
        >>> map(lambda x: x * x, [1, 2, 3]).tolist()
        [1, 4, 9]
    """
    return _map(f, xs, "map")


@op(static=("function",), tensors=("elements",))
def vectorized_map(function: Fn, elements: Any) -> Any:
    """`function` applied to each slice of `elements` along the first dimension, stacked.

    Args:
        function: takes a structure like `elements` without the first dimension.
        elements: tensor or structure of tensors.

    Returns:
        A structure of tensors like `function` returns, with a new first dimension.

    Raises:
        ValueError: the tensors differ in their first dimension, or it is 0.

    Example:
        >>> vectorized_map(lambda x: x[0] + x[1], (np.arange(2), np.arange(2))).tolist()
        [0, 2]
    """
    return _map(function, elements, "vectorized_map")


def _map(f: Fn, xs: Any, name: str) -> Any:
    if isinstance(xs, list):
        # A list of numbers is one tensor, as everywhere; a list of tensors is a structure.
        leaves = tree.flatten(xs)
        if not any(x.__class__ is Tensor or isinstance(x, Symbolic) for x in leaves):
            xs = to_tensor(xs)
    xs, length = _tensors(xs, name, "the elements")
    if any_symbolic(xs):
        return _longer(f(tree.map_structure(lambda x: _row(x, 0), xs)), length)
    if not length:
        raise ValueError(
            f"[{name}] the first dimension must not be 0: there is no result to stack."
        )
    if structured():
        return traced.scan(lambda _, x: (None, f(x)), None, xs, length, name=name)[1]
    return _stacked([f(tree.map_structure(lambda x, i=i: _row(x, i), xs)) for i in range(length)])


@op(static=("f",), tensors=("init", "xs"))
def scan(
    f: Fn,
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> Any:
    """A function with a carried state applied along the first dimension of `xs`.

    Args:
        f: `(carry, x) -> (carry, y)`.
        init: the first carry, a structure of tensors.
        xs: `None`, tensor or structure of tensors, sliced along the first dimension.
        length: number of steps, needed where `xs` is `None`.
        reverse: whether to go from the last slice to the first; the results keep their places.
        unroll: `True` to compile every step by itself in place of a loop; a number is accepted for
            compatibility.

    Returns:
        The last carry, and the y of all steps stacked along a new first dimension.

    Raises:
        TypeError: `f` is no function.
        ValueError: the lengths do not fit; or, where it is compiled: `f` returns a carry of another
            structure or shape, or of a narrower dtype.

    Example:
        >>> total, sums = scan(lambda c, x: (c + x, c + x), 0, np.array([1, 2, 3]))
        >>> total.item(), sums.tolist()
        (6, [1, 3, 6])
    """
    if not callable(f):
        raise TypeError(f"[scan] 'f' must be a function. Received: f={f!r}.")
    init = tree.map_structure(lambda x: x if x is None else to_tensor(x), init)
    if xs is None:
        if length is None:
            raise ValueError("[scan] needs 'length' where 'xs' is None. Received: length=None.")
        size: int | None = int(length)
    else:
        if isinstance(xs, list) and not any_symbolic(xs):
            xs = to_tensor(xs)
        xs, size = _tensors(xs, "scan", "'xs'")
        if length is not None and size not in (None, int(length)):
            raise ValueError(
                f"[scan] 'length' must be the first dimension of 'xs'. Received: length={length}, "
                f"xs has {size}."
            )
        size = int(length) if size is None and length is not None else size

    def step(carry: Any, i: int) -> Any:
        return f(carry, None if xs is None else tree.map_structure(lambda x: _row(x, i), xs))

    if any_symbolic((init, xs)):
        carry, y = step(init, 0)
        return carry, _longer(y, size)
    if not size:
        raise ValueError("[scan] needs at least one step. Received: a first dimension of 0.")
    if structured() and unroll is not True:
        return traced.scan(f, init, xs, size, reverse)
    carry, ys = init, []
    for i in reversed(range(size)) if reverse else range(size):
        carry, y = step(carry, i)
        ys.append(y)
    return carry, _stacked(ys[::-1] if reverse else ys)


# ----- parallel scans -----


def _every_other(x: Any, start: int, stop: int, axis: int) -> Any:
    """x[start:stop:2] along `axis`."""
    begin, end, steps = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
    begin[axis], end[axis], steps[axis] = start, max(stop, start), 2
    return lang.slice_(x, tuple(begin), tuple(end), tuple(steps))


def _first(x: Any, count: int, axis: int, start: int = 0) -> Any:
    """x[start:count] along `axis`."""
    begin, end = [0] * len(x.shape), list(x.shape)
    begin[axis], end[axis] = start, count
    return lang.slice_(x, tuple(begin), tuple(end))


def _interleaved(even: Any, odd: Any, axis: int) -> Any:
    """even[0], odd[0], even[1], ... along `axis`; even may be one longer."""
    m, n = even.shape[axis], odd.shape[axis]
    dims = tuple(even.shape)

    def apart(x: Any) -> Any:
        return lang.reshape(x, (*dims[:axis], n, 1, *dims[axis + 1 :]))

    pairs = lang.concatenate([apart(_first(even, n, axis)), apart(odd)], axis + 1)
    joined = lang.reshape(pairs, (*dims[:axis], 2 * n, *dims[axis + 1 :]))
    return joined if m == n else lang.concatenate([joined, _first(even, m, axis, n)], axis)


def _partial(f: Fn, x: Any, axis: int) -> Any:
    """All partial combinations, in a number of steps that grows with the logarithm of the length.

    Pairs of neighbours are combined first; their partial combinations are every second result.
    """
    size = tree.flatten(x)[0].shape[axis]
    if size < 2:
        return x
    left = tree.map_structure(lambda t: _every_other(t, 0, size - 1, axis), x)
    right = tree.map_structure(lambda t: _every_other(t, 1, size, axis), x)
    odd = _partial(f, f(left, right), axis)
    head = tree.map_structure(lambda t: _first(t, 1, axis), x)
    if size == 2:
        even = head
    else:
        later = tree.map_structure(lambda t: _every_other(t, 2, size, axis), x)
        before = odd
        if size % 2 == 0:
            before = tree.map_structure(lambda t: _first(t, t.shape[axis] - 1, axis), odd)
        tail = f(before, later)
        even = tree.map_structure(lambda a, b: lang.concatenate([a, b], axis), head, tail)
    return tree.map_structure(lambda a, b: _interleaved(a, b, axis), even, odd)


@op(static=("f",), tensors=("elems",))
def associative_scan(f: Fn, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """Running combinations of `elems` along `axis` by an associative function.

    Args:
        f: `(a, b) -> c` on structures like `elems`, associative and working element by element
            along `axis`.
        elems: tensor or structure of tensors of one length along `axis`.
        reverse: whether to start from the end.
        axis: integer.

    Returns:
        A structure like `elems`.

    Raises:
        TypeError: `f` is no function.
        ValueError: the lengths differ or are unknown.

    Example:
        >>> associative_scan(lambda a, b: a + b, np.array([1, 2, 3, 4])).tolist()
        [1, 3, 6, 10]

    Reference:
        G. Blelloch, "Prefix sums and their applications", 1990.
    """
    if not callable(f):
        raise TypeError(f"[associative_scan] 'f' must be a function. Received: f={f!r}.")
    if isinstance(elems, list) and not any_symbolic(elems):
        elems = to_tensor(elems)
    elems = tree.map_structure(to_tensor, elems)
    leaves = tree.flatten(elems)
    at = shapes.canonical_axis(axis, len(leaves[0].shape))
    if any_symbolic(elems):
        return tree.map_structure(lambda x: KerasTensor.of(x.aval), elems)
    if len({x.shape[at] for x in leaves}) != 1:
        raise ValueError(
            "[associative_scan] the elements must have one length along 'axis'. Received: "
            f"{[tuple(x.shape) for x in leaves]}."
        )

    def turn(structure: Any) -> Any:
        return tree.map_structure(lambda x: lang.rev(x, (at,)), structure) if reverse else structure

    return turn(_partial(f, turn(elems), at))

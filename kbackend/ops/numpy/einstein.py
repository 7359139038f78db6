"""Einstein summation, as matrix products, transpositions and sums."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from kbackend.base.dtypes import result_type
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.numpy.common import wide_product
from kbackend.ops.numpy.index import take_diagonal

Ints = tuple[int, ...]
# The labels of a tensor's dimensions: letters, and negative ints for those under an ellipsis.
Labels = tuple[Any, ...]


@lru_cache(maxsize=1024)
def _parse(subscripts: str, ranks: Ints) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of each operand and of the result."""
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ranks):
        raise ValueError(
            f"[einsum] {subscripts!r} describes {len(terms)} operands. Received: {len(ranks)}."
        )
    labels = tuple(_labels(term, rank, subscripts) for term, rank in zip(terms, ranks, strict=True))
    wide = max(sum(label.__class__ is int for label in term) for term in labels)
    dots = tuple(range(-wide, 0))
    if arrow:
        out = _expand(output, dots, subscripts)
        known = {label for term in labels for label in term}
        if len(set(out)) != len(out) or not known.issuperset(out):
            raise ValueError(
                f"[einsum] each label of the result must occur in an operand, and only once in the "
                f"result. Received: {subscripts!r}."
            )
        return labels, out
    letters = [label for term in labels for label in term if label.__class__ is str]
    return labels, dots + tuple(sorted(c for c in letters if letters.count(c) == 1))


def _labels(term: str, rank: int, subscripts: str) -> Labels:
    named = len(term.replace("...", ""))
    if named > rank or ("..." not in term and named != rank):
        raise ValueError(
            f"[einsum] {term!r} names {named} dimensions, but the operand has {rank}. "
            f"Received: {subscripts!r}."
        )
    return _expand(term, tuple(range(named - rank, 0)), subscripts)


def _expand(term: str, dots: Labels, subscripts: str) -> Labels:
    """The labels of a term, with its ellipsis replaced by `dots`."""
    before, found, after = term.partition("...")
    if not all(c.isalpha() for c in before + after):
        raise ValueError(
            "[einsum] subscripts are letters, commas, one '->' and an ellipsis '...' per term. "
            f"Received: {subscripts!r}."
        )
    return (*before, *(dots if found else ()), *after)


class _PairPlan(NamedTuple):
    """How two operands without repeated or lonely labels become one."""

    pairs: tuple[tuple[int, int], ...]  # axes of both that have one label
    swap: bool  # whether the second comes first in the product
    contract: tuple[Ints, Ints]
    batch: tuple[Ints, Ints]
    order: Ints | None  # transposition of the product
    align: tuple[Any, Any] | None  # instead of a product: how to line up dimensions to multiply


def _free(term: Labels, other: Labels) -> Labels:
    return tuple(label for label in term if label not in other)


@lru_cache(maxsize=1024)
def _pair_plan(tx: Labels, ty: Labels, out: Labels) -> _PairPlan:
    shared = [label for label in tx if label in ty]
    pairs = tuple((tx.index(label), ty.index(label)) for label in shared)
    batch = [label for label in out if label in shared]
    summed = [label for label in shared if label not in out]
    if not summed:
        # Nothing to sum over: a product of elements is cheaper than one of matrices.
        return _PairPlan(pairs, False, ((), ()), ((), ()), None, (_align(tx, out), _align(ty, out)))

    def axes(term: Labels, labels: list[Any]) -> Ints:
        return tuple(term.index(label) for label in labels)

    straight = (*batch, *_free(tx, ty), *_free(ty, tx))
    crossed = (*batch, *_free(ty, tx), *_free(tx, ty))
    swap = crossed == out and straight != out
    first, second, made = (ty, tx, crossed) if swap else (tx, ty, straight)
    order = None if made == out else tuple(made.index(label) for label in out)
    return _PairPlan(
        pairs,
        swap,
        (axes(first, summed), axes(second, summed)),
        (axes(first, batch), axes(second, batch)),
        order,
        None,
    )


def _align(term: Labels, out: Labels) -> tuple[Ints | None, tuple[bool, ...] | None]:
    """Transposition, and for each of the result's dimensions whether the term has it."""
    order = tuple(term.index(label) for label in out if label in term)
    present = tuple(label in term for label in out)
    return None if order == tuple(range(len(term))) else order, None if all(present) else present


def _aligned(x: Any, plan: tuple[Ints | None, tuple[bool, ...] | None]) -> Any:
    order, present = plan
    if order is not None:
        x = lang.transpose(x, order)
    if present is None:
        return x
    dims = iter(x.shape)
    return lang.reshape(x, tuple([next(dims) if p else 1 for p in present]))


def _pair(x: Any, tx: Labels, y: Any, ty: Labels, out: Labels) -> Any:
    """Two operands as one with the labels `out`."""
    x, tx = _clean(x, tx, (*ty, *out))
    y, ty = _clean(y, ty, (*tx, *out))
    plan = _pair_plan(tx, ty, out)
    a, b = x.shape, y.shape
    for i, j in plan.pairs:
        if a[i] != b[j] and (a[i] == 1 or b[j] == 1):
            # It broadcasts: without that dimension of size 1, the label belongs to the other.
            if a[i] == 1:
                return _pair(_without(x, i), tx[:i] + tx[i + 1 :], y, ty, out)
            return _pair(x, tx, _without(y, j), ty[:j] + ty[j + 1 :], out)
    if plan.align is not None:
        return lang.mul(_aligned(x, plan.align[0]), _aligned(y, plan.align[1]))
    if plan.swap:
        x, y = y, x
    made = lang.dot(x, y, plan.contract, plan.batch)
    return made if plan.order is None else lang.transpose(made, plan.order)


def _without(x: Any, axis: int) -> Any:
    shape = tuple(x.shape)
    return lang.reshape(x, shape[:axis] + shape[axis + 1 :])


def _clean(x: Any, term: Labels, wanted: Labels) -> tuple[Any, Labels]:
    """`x` without repeated labels (diagonals are taken) and with unwanted ones summed over."""
    while len(set(term)) != len(term):
        label = next(label for label in term if term.count(label) > 1)
        i = term.index(label)
        j = term.index(label, i + 1)
        x = take_diagonal(x, 0, i, j)
        term = (*(c for k, c in enumerate(term) if k not in (i, j)), label)
    lonely = tuple(i for i, label in enumerate(term) if label not in wanted)
    if lonely:
        x = lang.reduce_sum(x, lonely)
        term = tuple(label for label in term if label in wanted)
    return x, term


def _single(x: Any, term: Labels, out: Labels) -> Any:
    """One operand rearranged to the labels `out`."""
    x, term = _clean(x, term, out)
    order = tuple(term.index(label) for label in out)
    return x if order == tuple(range(len(order))) else lang.transpose(x, order)


@lru_cache(maxsize=512)
def _path(
    terms: tuple[Labels, ...], out: Labels, shapes: tuple[tuple[int | None, ...], ...]
) -> tuple[tuple[int, int], ...]:
    """Which two operands to contract in each step: those that leave the least behind.

    The result of a step goes to the end of the list.
    """
    sizes: dict[Any, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, n in zip(term, shape, strict=True):
            # Unknown sizes are taken as large.
            sizes[label] = max(sizes.get(label, 1), 1000 if n is None else n)

    def size(labels: Any) -> int:
        total = 1
        for label in labels:
            total *= sizes[label]
        return total

    left = [frozenset(term) for term in terms]
    steps = []
    while len(left) > 1:
        best = None
        for i in range(len(left)):
            for j in range(i + 1, len(left)):
                kept = _kept(left, i, j, out)
                # What it adds to the memory, then what it costs.
                cost = (size(kept) - size(left[i]) - size(left[j]), size(left[i] | left[j]))
                if best is None or cost < best[0]:
                    best = (cost, i, j, kept)
        if best is None:
            break
        _, i, j, kept = best
        steps.append((i, j))
        left = [term for k, term in enumerate(left) if k not in (i, j)] + [kept]
    return tuple(steps)


def _kept(terms: Any, i: int, j: int, out: Labels) -> frozenset[Any]:
    """Labels of the operands i and j that the result or another operand still needs."""
    needed = set(out).union(*(term for k, term in enumerate(terms) if k not in (i, j)))
    return frozenset(needed.intersection(set(terms[i]).union(terms[j])))


@op()
def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Any:
    """Sum of products of tensors, described by the labels of their dimensions.

    Args:
        subscripts: for example `"bij,bjk->bik"`: one term per operand, then the result. Labels
            that the result lacks are summed over; `...` stands for further dimensions, which
            broadcast. Without `->` the result has the labels that occur once, in alphabetical
            order.
        *operands: tensors.
        **kwargs: `optimize` and others are accepted; the order of the products is always chosen
            by size.

    Returns:
        Tensor of the common dtype; int32 for two of int8.

    Raises:
        ValueError: the subscripts are malformed or do not fit the operands.

    Example:
        >>> einsum("ij,j->i", [[1, 2], [3, 4]], [1, 1]).tolist()
        [3, 7]
    """
    if subscripts.__class__ is not str:
        raise ValueError(
            "[einsum] the first argument is a string such as 'ij,jk->ik'. "
            f"Received: {type(subscripts).__name__}."
        )
    tensors = [to_tensor(x) for x in operands]
    if not tensors:
        raise ValueError("[einsum] needs at least one operand.")
    dtype = tensors[0].dtype
    mixed = any([x.dtype != dtype for x in tensors])
    if mixed:
        dtype = result_type(*(x.dtype for x in tensors))
        tensors = [lang.cast(x, dtype) for x in tensors]
    terms, out = _parse(subscripts, tuple([len(x.shape) for x in tensors]))
    if dtype == "int8" and len(tensors) == 2 and not mixed:
        return wide_product(
            tensors[0], tensors[1], None, lambda x, y: _pair(x, terms[0], y, terms[1], out)
        )
    if len(tensors) == 2:
        return _pair(tensors[0], terms[0], tensors[1], terms[1], out)
    if len(tensors) == 1:
        return _single(tensors[0], terms[0], out)
    left = list(zip(tensors, terms, strict=True))
    for i, j in _path(terms, out, tuple(tuple(x.shape) for x in tensors)):
        (x, tx), (y, ty) = left[i], left[j]
        del left[j], left[i]
        needed = set(out).union(*(term for _, term in left))
        # The result's labels in the order of the operands, unless this is the last step.
        kept = out if not left else tuple(dict.fromkeys(c for c in (*tx, *ty) if c in needed))
        left.append((_pair(x, tx, y, ty, kept), kept))
    return left[0][0]

"""`vectorize`: functions of single elements, made to take tensors."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection
from typing import Any

from kbackend.base.shapes import broadcast
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.numpy.join import stack

_TERM = re.compile(r"\(([^()]*)\)")


def _parse(signature: str) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The dimensions of a function's arguments and results: `"(m,n),(n)->(m)"`."""
    sides = signature.replace(" ", "").split("->")
    found = [[tuple(d for d in t.split(",") if d) for t in _TERM.findall(side)] for side in sides]
    written = "->".join(",".join(f"({','.join(t)})" for t in side) for side in found)
    if len(sides) != 2 or written != signature.replace(" ", ""):
        raise ValueError(
            "[vectorize] 'signature' looks like '(m,n),(n)->(m)'. "
            f"Received: signature={signature!r}."
        )
    return found[0], found[1]


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: Collection[int | str] | None = None,
    signature: str | None = None,
) -> Callable[..., Any]:
    """A function on tensors that applies `pyfunc` to each element (or slice).

    It saves writing a loop; it does not make one faster.

    Args:
        pyfunc: function of scalar tensors, or of tensors with the dimensions in `signature`.
        excluded: positions and names of arguments that are handed through as they are.
        signature: dimensions of one call, such as `"(m,n),(n)->(m)"`. By default arguments and
            results are scalars.

    Returns:
        Function whose tensor arguments broadcast against each other in the other, leading
        dimensions.

    Raises:
        ValueError: the signature is malformed, or the arguments do not fit it.

    Example:
        >>> double = vectorize(lambda x: x * 2)
        >>> double([1, 2]).tolist()
        [2, 4]
    """
    skipped = frozenset(excluded or ())
    terms = _parse(signature) if signature is not None else None

    @functools.wraps(pyfunc)
    def vectorized(*args: Any, **kwargs: Any) -> Any:
        keys = [i for i in range(len(args)) if i not in skipped]
        names = [name for name in kwargs if name not in skipped]
        tensors = [to_tensor(args[i]) for i in keys] + [to_tensor(kwargs[name]) for name in names]
        if not tensors:
            return pyfunc(*args, **kwargs)
        inner = [len(t) for t in terms[0]] if terms else [0] * len(tensors)
        if len(inner) != len(tensors) or any(
            len(x.shape) < n for x, n in zip(tensors, inner, strict=False)
        ):
            raise ValueError(
                f"[vectorize] the arguments do not fit the signature {signature!r}. "
                f"Received shapes: {[tuple(x.shape) for x in tensors]}."
            )
        leads = [tuple(x.shape[: len(x.shape) - n]) for x, n in zip(tensors, inner, strict=True)]
        lead = broadcast(*leads)
        if None in lead:
            raise ValueError(
                "[vectorize] loops over the leading dimensions, which must be known. "
                f"Received: {lead}."
            )
        flat = []
        total = math.prod(lead)  # type: ignore[arg-type]
        for x, n in zip(tensors, inner, strict=True):
            core = tuple(x.shape[len(x.shape) - n :])
            wide = lang.broadcast_to(x, (*lead, *core))
            flat.append(lang.reshape(wide, (total, *core)))
        results = []
        for row in range(total):
            values = [x[row] for x in flat]
            given = list(args)
            for i, value in zip(keys, values, strict=False):
                given[i] = value
            named = dict(zip(names, values[len(keys) :], strict=True))
            results.append(pyfunc(*given, **{**kwargs, **named}))
        if not results:
            raise ValueError(
                f"[vectorize] there is no element to apply the function to. Received: {lead}."
            )
        several = isinstance(results[0], (list, tuple))
        columns = list(zip(*results, strict=True)) if several else [results]
        out = [_gathered(column, lead) for column in columns]
        return tuple(out) if several else out[0]

    return vectorized


def _gathered(column: Any, lead: tuple[Any, ...]) -> Any:
    """One result of every call, in the leading dimensions."""
    stacked = stack([to_tensor(value) for value in column])
    return lang.reshape(stacked, (*lead, *stacked.shape[1:]))

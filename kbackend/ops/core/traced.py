"""Choices and loops in a trace, on structures of tensors: each becomes one equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import kbackend.compiler.control_grads  # noqa: F401 - their gradients
from kbackend.base import dtypes, tree
from kbackend.core import lang
from kbackend.core.bind import Symbolic
from kbackend.core.convert import Readable, to_tensor
from kbackend.core.lang.constants import SCALAR_TYPES
from kbackend.core.masks import get_keras_mask, has_mask, set_keras_mask
from kbackend.core.tensor import Tensor
from kbackend.ir import bodies

Fn = Callable[..., Any]


# ----- structures -----


def _packed(like: Any, tensors: Sequence[Any]) -> Any:
    """A structure like `like`, `None` where that is `None`."""
    found = iter(tensors)
    return tree.map_structure(lambda x: None if x is None else next(found), like)


def _present(structure: Any) -> list[Any]:
    return [leaf for leaf in tree.flatten(structure) if leaf is not None]


def _following(name: str, before: Any, after: Any) -> list[Any]:
    """What is carried out of a step: tensors, in the form of what was carried into it.

    A Python number takes the dtype of what it replaces if that can hold it.
    """
    found: list[Any] = []

    def take(old: Any, new: Any) -> None:
        if (old is None) is not (new is None):
            raise ValueError("One is None.")
        if new is None:
            return
        weak = new.__class__ in SCALAR_TYPES
        found.append(to_tensor(new, dtypes.result_type(old.dtype, new.__class__) if weak else None))

    try:
        tree.assert_same_structure(after, before)
        tree.map_structure(take, before, after)
    except ValueError as error:
        raise ValueError(
            f"[{name}] what is carried must have the same structure before and after a step. "
            f"{error}"
        ) from None
    return found


# ----- branches -----


def cond(pred: Any, true_fn: Fn, false_fn: Fn) -> Any:
    """What `true_fn` or `false_fn` returns, as the symbolic scalar `pred` says."""
    index = lang.cast(lang.cast(lang.reshape(pred, ()), "bool"), "int32")
    return _choose("cond", index, [false_fn, true_fn])


def switch(index: Any, fns: Sequence[Fn], operands: Sequence[Any]) -> Any:
    """What the function whose number is the symbolic scalar `index` returns for the operands."""
    index = lang.cast(lang.reshape(index, ()), "int32")
    return _choose("switch", index, [lambda fn=fn: fn(*operands) for fn in fns])


def _choose(name: str, index: Any, fns: Sequence[Fn]) -> Any:
    traced = [bodies.branch(fn) for fn in fns]
    form = traced[0][1]
    try:
        for _, other in traced[1:]:
            tree.assert_same_structure(form, other)
            tree.assert_same_structure(other, form)
    except ValueError as error:
        raise ValueError(
            f"[{name}] the results of the branches must have the same structure. {error}"
        ) from None
    leaves = list(zip(*[tree.flatten(result) for _, result in traced], strict=True))
    kinds = [_common(name, alike) for alike in leaves]
    masked = [
        kind is not None and all(map(has_mask, alike))
        for kind, alike in zip(kinds, leaves, strict=True)
    ]
    results = []
    for number, (inner, _) in enumerate(traced):
        with inner.open():
            chosen = [
                to_tensor(alike[number], kind)
                for kind, alike in zip(kinds, leaves, strict=True)
                if kind is not None
            ]
            chosen += [
                to_tensor(get_keras_mask(alike[number]))
                for mask, alike in zip(masked, leaves, strict=True)
                if mask
            ]
        results.append(chosen)
    for found in zip(*results, strict=True):
        _check_shapes(name, found)
    rest = iter(bodies.switch(index, [inner for inner, _ in traced], results))
    out = [a[0] if kind is None else next(rest) for kind, a in zip(kinds, leaves, strict=True)]
    for leaf, mask in zip(out, masked, strict=True):
        if mask:
            set_keras_mask(leaf, next(rest))
    return tree.pack_as(form, out)


def _common(name: str, leaves: Sequence[Any]) -> str | None:
    """The dtype of a leaf in all branches; `None` if it is no tensor but the same everywhere."""
    strong = [x.dtype for x in leaves if _is_tensor(x)]
    weak = [x.__class__ for x in leaves if x.__class__ in SCALAR_TYPES]
    if not strong and (len(weak) < len(leaves) or all(x == leaves[0] for x in leaves)):
        if all(x is leaves[0] or x == leaves[0] for x in leaves):
            return None
    elif len(strong) + len(weak) == len(leaves):
        joint = dtypes.result_type(*strong, *weak)
        if all(dtype == joint for dtype in strong):
            return joint
    kinds = ", ".join(x.dtype if _is_tensor(x) else repr(x) for x in leaves)
    raise ValueError(
        f"[{name}] the results of the branches must have the same shapes and dtypes. Received: "
        f"{kinds}. Cast them with ops.cast."
    )


def _is_tensor(leaf: Any) -> bool:
    return (
        leaf.__class__ is Tensor
        or isinstance(leaf, (Symbolic, Readable))
        or hasattr(leaf, "__array__")
    )


def _check_shapes(name: str, tensors: Sequence[Any]) -> None:
    shapes = {tuple(x.shape) for x in tensors}
    if len(shapes) > 1:
        raise ValueError(
            f"[{name}] the results of the branches must have the same shapes and dtypes. "
            f"Received the shapes: {', '.join(map(str, sorted(shapes, key=len)))}."
        )


# ----- loops -----


def while_loop(condition: Fn, body: Fn, values: Any, limit: int | None, name: str) -> Any:
    """`body` applied to a structure of tensors while `condition` holds for it."""
    values = tree.map_structure(lambda x: x if x is None else to_tensor(x), values)
    last = bodies.while_loop(
        name,
        lambda now: condition(_packed(values, now)),
        lambda now: _following(name, values, body(_packed(values, now))),
        _present(values),
        limit,
    )
    return _packed(values, last)


def fori_loop(lower: Any, upper: Any, body: Fn, init: Any) -> Any:
    """`body` applied for each integer; bounds that are known give a scan."""
    init = tree.map_structure(lambda x: x if x is None else to_tensor(x), init)
    if any(isinstance(bound, Symbolic) for bound in (lower, upper)):
        lower, upper = (lang.cast(to_tensor(bound), "int32") for bound in (lower, upper))
        return while_loop(
            lambda state: lang.lt(state[0], upper),
            lambda state: (lang.add(state[0], 1), body(state[0], state[1])),
            (lower, init),
            None,
            "fori_loop",
        )[1]
    start, stop = int(lower), int(upper)
    if stop <= start:
        return init
    numbers = lang.add(lang.iota((stop - start,), 0, "int32"), start)
    return scan(
        lambda value, i: (body(i, value), None), init, numbers, stop - start, name="fori_loop"
    )[0]


def scan(
    f: Fn, init: Any, xs: Any, length: int, reverse: bool = False, name: str = "scan"
) -> tuple[Any, Any]:
    """`f(carry, row) -> (carry, y)` along the first dimension of the xs."""
    form: Any = None

    def step(now: list[Any], rows: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        nonlocal form
        carry, form = f(_packed(init, now), _packed(xs, rows))
        return _following(name, init, carry), [], [to_tensor(y) for y in _present(form)]

    last, _, ys = bodies.scan(name, step, _present(init), _present(xs), length, reverse)
    return _packed(init, last), _packed(form, ys)

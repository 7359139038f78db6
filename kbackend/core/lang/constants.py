"""Python scalars beside tensors: constants of the tensor's dtype, the usual ones made once."""

from __future__ import annotations

from typing import Any

from kbackend.core.tensor import Tensor
from kbackend.engine.interface import Engine
from kbackend.engine.loader import current_engine

_SCALARS: dict[tuple[Any, ...], Tensor] = {}
_SCALARS_LIMIT = 512


def _constant(value: Any, dtype: str, engine: Engine) -> Tensor:
    """A 0-d tensor for a Python scalar; the usual ones are made once."""
    # The class keeps 1, 1.0 and True apart; repr keeps 0.0 and -0.0 apart.
    key = (value.__class__, repr(value), dtype, engine)
    found = _SCALARS.get(key)
    if found is None:
        found = Tensor(engine.asarray(value, dtype), engine)
        if len(_SCALARS) < _SCALARS_LIMIT:
            _SCALARS[key] = found
    return found


SCALAR_TYPES = frozenset((float, int, bool, complex))


def lift(value: Any, like: Any) -> Any:
    """`value` as a tensor beside `like` if it is a Python scalar."""
    if value.__class__ not in SCALAR_TYPES:
        return value
    if like.__class__ is Tensor:
        return _constant(value, like.dtype, like.engine)
    engine = current_engine()
    return _constant(value, like.dtype, engine)

"""Python scalars beside tensors: constants of the tensor's dtype, the usual ones made once."""

from __future__ import annotations

from typing import Any

from kbackend.core.tensor import Tensor
from kbackend.engine.loader import current_engine

SCALAR_TYPES = frozenset((float, int, bool, complex))

_SCALARS: dict[tuple[Any, ...], Tensor] = {}
_SCALARS_LIMIT = 512


def lift_as(value: Any, like: Any, dtype: str) -> Tensor:
    """A Python scalar as a 0-d tensor of `dtype` on the engine of `like`."""
    engine = like.engine if like.__class__ is Tensor else current_engine()
    # The class keeps 1, 1.0 and True apart; repr keeps 0.0 and -0.0 apart.
    key = (value.__class__, value or repr(value), dtype, engine)
    found = _SCALARS.get(key)
    if found is None:
        found = Tensor(engine.asarray(value, dtype), engine)
        if len(_SCALARS) < _SCALARS_LIMIT:
            _SCALARS[key] = found
    return found


def lift(value: Any, like: Any) -> Any:
    """`value` as a tensor of the dtype of `like` if it is a Python scalar."""
    return lift_as(value, like, like.dtype) if value.__class__ in SCALAR_TYPES else value

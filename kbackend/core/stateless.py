"""Which scope, if any, stands between variables and their values.

`StatelessScope` is one; the recomputation for gradients uses others. Such a scope implements
`get_current_value`, `add_update`, `add_loss` and has `collect_losses`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_scope: ContextVar[Any] = ContextVar("kbackend_stateless", default=None)
stateless_scope = _scope.get


@contextmanager
def reading_through(scope: Any) -> Iterator[None]:
    """Lets `scope` answer for the variables that are read and assigned inside."""
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)

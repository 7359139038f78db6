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
# The scope of a trace: it answers for the variables that a scope inside of it doesn't know.
_trace: ContextVar[Any] = ContextVar("kbackend_trace_scope", default=None)
trace_scope = _trace.get


@contextmanager
def tracing_through(scope: Any) -> Iterator[None]:
    """Lets the scope of a trace answer for the variables inside, behind any scope within."""
    token = _trace.set(scope)
    try:
        with reading_through(scope):
            yield
    finally:
        _trace.reset(token)


@contextmanager
def outside_of_scopes() -> Iterator[None]:
    """Variables are read and assigned as they are stored inside, whatever scopes are open."""
    token = _trace.set(None)
    try:
        with reading_through(None):
            yield
    finally:
        _trace.reset(token)


@contextmanager
def reading_through(scope: Any) -> Iterator[None]:
    """Lets `scope` answer for the variables that are read and assigned inside."""
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)

"""Updates that take place under a condition that only the tensors know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kbackend.core import lang
from kbackend.core.tensor import Tensor
from kbackend.state.scopes import StatelessScope, autocast


def update_if(condition: Any, update: Callable[[], Any], variables: Sequence[Any]) -> None:
    """Runs `update` if `condition` holds.

    Args:
        condition: bool scalar tensor. Where it has no value yet (in a trace), `update` is traced
            and every variable keeps its old value by a select.
        update: function without arguments that assigns to variables.
        variables: all variables that it may assign to.
    """
    if condition.__class__ is Tensor:
        if bool(condition):
            update()
        return
    with autocast(None):
        before = [(variable, variable.value) for variable in variables]
        with StatelessScope(before) as scope:
            update()
        for variable, old in before:
            new = scope.get_current_value(variable)
            if new is not old:
                variable.assign(lang.select(condition, new, old))

"""Running a function again as it ran before: the same values of variables, the same random bits."""

from __future__ import annotations

from typing import Any

from kbackend.core.bind import Recorder
from kbackend.core.stateless import stateless_scope


class FirstRun:
    """Watches the first run: which followed tensors enter, and what is read from variables.

    It is a recorder, in place of the tapes around, and a stateless scope at once.
    """

    def __init__(self, tapes: tuple[Recorder, ...]) -> None:
        self._tapes = tapes
        self._scope = stateless_scope()
        # id -> tensor that a tape around follows
        self.captured: dict[int, Any] = {}
        # id of a variable -> (variable, the value it had before the function changed it)
        self.read: dict[int, tuple[Any, Any]] = {}

    # ----- as a recorder -----

    def accessed(self, variable: Any, value: Any) -> None:
        """The tapes around follow the variables that are read."""
        for tape in self._tapes:
            tape.accessed(variable, value)

    def follows(self, value: Any) -> bool:
        """Whether a tape around follows `value`."""
        return any(tape.follows(value) for tape in self._tapes)

    def record(self, op: Any, args: Any, results: Any, params: Any) -> None:
        """Keeps the arguments that come from outside and matter to a tape."""
        for arg in args:
            self.capture(arg)

    def capture(self, value: Any) -> None:
        """Keeps `value` if a tape around follows it."""
        if id(value) not in self.captured and self.follows(value):
            self.captured[id(value)] = value

    # ----- as a stateless scope -----

    @property
    def collect_losses(self) -> bool:
        """As the scope around has it."""
        return self._scope is not None and bool(self._scope.collect_losses)

    def add_loss(self, loss: Any) -> None:
        """Hands a loss to the scope around."""
        self._scope.add_loss(loss)

    def get_current_value(self, variable: Any) -> Any:
        """The variable's value, noted when it is asked for the first time."""
        value = None if self._scope is None else self._scope.get_current_value(variable)
        if value is None:
            value = variable.kept()
        self.read.setdefault(id(variable), (variable, value))
        return value

    def add_update(self, update: tuple[Any, Any]) -> None:
        """Assigns for good: this is the run that counts."""
        variable, value = update
        if self._scope is None:
            variable.store(value)
        else:
            self._scope.add_update(update)


class Rerun:
    """A stateless scope for a later run: variables start as in the first one, and stay untouched.

    Args:
        read: what the first run read.
    """

    collect_losses = True

    def __init__(self, read: dict[int, tuple[Any, Any]]) -> None:
        self._values = dict(read)

    def add_loss(self, loss: Any) -> None:
        """The first run has added it."""

    def get_current_value(self, variable: Any) -> Any:
        """The variable's value in this run, or `None` if the first one did not read it."""
        found = self._values.get(id(variable))
        return None if found is None else found[1]

    def add_update(self, update: tuple[Any, Any]) -> None:
        """Assigns for the rest of this run."""
        variable, value = update
        self._values[id(variable)] = (variable, value)

"""Scopes: names, autocasting, and stateless reading of variables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, Token
from typing import Any

from kbackend.core.stateless import reading_through
from kbackend.core.stateless import stateless_scope as stateless_scope
from kbackend.core.surroundings import depends_on
from kbackend.engine.loader import current_engine

# ----- names -----

_names: ContextVar[tuple[tuple[str, Any], ...]] = ContextVar("kbackend_names", default=())


class name_scope:  # noqa: N801 - Keras's name
    """Puts `name/` before the paths of the variables made inside.

    Args:
        name: a name without "/".
        caller: object that opens the scope; a scope that it opened already is not opened twice.

    Raises:
        ValueError: the name is not a string, or contains "/".

    Example:
        >>> with name_scope("encoder"):
        ...     current_path()
        'encoder'
    """

    def __init__(self, name: str, caller: Any = None, **kwargs: Any) -> None:
        if not isinstance(name, str) or "/" in name:
            raise ValueError(
                f"[name_scope] 'name' must be a string without '/'. Received: name={name!r}."
            )
        self.name = name
        self.caller = caller

    def __enter__(self) -> name_scope:
        names = _names.get()
        again = self.caller is not None and names and names[-1][1] is self.caller
        self._token = None if again else _names.set((*names, (self.name, self.caller)))
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._token is not None:
            _names.reset(self._token)


def current_path() -> str:
    """The names of the open scopes, joined by "/"."""
    return "/".join(name for name, _ in _names.get())


# ----- autocasting: variables read as the compute dtype of the layer that is being called -----

_autocast: ContextVar[str | None] = ContextVar("kbackend_autocast", default=None)
autocast_dtype = _autocast.get
depends_on(autocast_dtype)


def push_autocast(dtype: str | None) -> Token[str | None]:
    """From here on floating variables are read as `dtype` (`None`: as they are)."""
    return _autocast.set(dtype)


def pop_autocast(token: Token[str | None]) -> None:
    """Undoes the `push_autocast` that returned `token`."""
    _autocast.reset(token)


@contextmanager
def autocast(dtype: str | None) -> Iterator[None]:
    """Reads floating variables as `dtype` inside."""
    token = _autocast.set(dtype)
    try:
        yield
    finally:
        _autocast.reset(token)


# ----- stateless reading -----


class StatelessScope:
    """Gives variables other values inside, and keeps what is assigned to them to itself.

    Args:
        state_mapping: pairs of a variable and the tensor to read in its place.
        collect_losses: whether losses added inside are collected in `losses`.
        initialize_variables: accepted for compatibility; variables always have a value here.

    Example:
        >>> import kbackend as keras
        >>> v = keras.Variable(1.0)
        >>> with StatelessScope([(v, keras.ops.convert_to_tensor(5.0))]) as scope:
        ...     v.assign(v + 1.0).item()
        6.0
        >>> float(v), float(scope.get_current_value(v))
        (1.0, 6.0)
    """

    def __init__(
        self,
        state_mapping: Any = None,
        collect_losses: bool = False,
        initialize_variables: bool = True,
    ) -> None:
        self.collect_losses = collect_losses
        self.initialize_variables = initialize_variables
        self.losses: list[Any] = []
        # id -> (variable, value); the variable is kept so that its id stays its own
        self._values: dict[int, tuple[Any, Any]] = {}
        for variable, value in dict_items(state_mapping):
            self.add_update((variable, value))

    @property
    def state_mapping(self) -> dict[int, Any]:
        """id of a variable -> its value inside."""
        return {key: value for key, (_, value) in self._values.items()}

    def add_update(self, update: tuple[Any, Any]) -> None:
        """Sets the value of a variable, given as a pair, inside the scope."""
        variable, value = update
        self._values[id(variable)] = (variable, variable.conform(value))

    def get_current_value(self, variable: Any) -> Any:
        """The variable's value inside, or `None` if the scope doesn't know it."""
        found = self._values.get(id(variable))
        return None if found is None else found[1]

    def add_loss(self, loss: Any) -> None:
        """Collects a loss."""
        self.losses.append(loss)

    def __enter__(self) -> StatelessScope:
        self._reading = reading_through(self)
        self._reading.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._reading.__exit__(None, None, None)


def dict_items(mapping: Any) -> Any:
    """Pairs of a mapping, or of a list of pairs; none for `None`."""
    return (mapping.items() if hasattr(mapping, "items") else mapping) or ()


# ----- devices -----


def device(device_name: str) -> AbstractContextManager[Any]:
    """Makes new tensors on a device of the current engine.

    Args:
        device_name: such as "cpu", "cpu:0" or "gpu:1".

    Returns:
        A context manager.

    Raises:
        EngineError: the engine has no such device.

    Example:
        >>> import kbackend as keras
        >>> with keras.use_backend("numpy"), device("cpu"):
        ...     x = keras.ops.ones(3)
    """
    return current_engine().device_scope(device_name)

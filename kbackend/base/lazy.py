"""Module attributes that are imported when they are first asked for (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from kbackend.base.garbage import uncollected


def attach(
    module_name: str, targets: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a module whose names are imported lazily.

    Args:
        module_name: `__name__` of the module.
        targets: public name -> `module` or `module:attribute` to take it from.

    Returns:
        The pair `(__getattr__, __dir__)`, to be bound in the module's namespace.

    >>> getattribute, listing = attach("kbackend.base.lazy", {"sqrt": "math:sqrt"})
    >>> getattribute("sqrt")(9.0)
    3.0
    """

    def __getattr__(name: str) -> Any:
        target = targets.get(name)
        if target is None:
            raise AttributeError(f"module {module_name!r} has no attribute {name!r}")
        origin, _, attribute = target.partition(":")
        with uncollected():
            value: Any = importlib.import_module(origin)
        if attribute:
            value = getattr(value, attribute)
        # Kept in the module's dictionary, so that the next access does not come here.
        setattr(sys.modules[module_name], name, value)
        return value

    def __dir__() -> list[str]:
        module = vars(sys.modules[module_name])
        special = (name for name in module if name.startswith("__"))
        return sorted({*special, *module.get("__all__", ()), *targets})

    return __getattr__, __dir__

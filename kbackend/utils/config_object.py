"""`Config`: a set of named settings with attributes."""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any


class Config:
    """Named settings, read and written as attributes or as items, which can be frozen.

    Args:
        **kwargs: the settings.

    Example:
        >>> config = Config(units=4)
        >>> config.rate = 0.5
        >>> config["units"], config.as_dict()
        (4, {'units': 4, 'rate': 0.5})
        >>> config.freeze()
        >>> config.units = 5
        Traceback (most recent call last):
        ...
        ValueError: [Config] is frozen, so 'units' cannot be set. Call `unfreeze()` first.
    """

    _config: dict[str, Any]
    _frozen: bool

    def __init__(self, **kwargs: Any):
        object.__setattr__(self, "_config", dict(kwargs))
        object.__setattr__(self, "_frozen", False)

    def _check_open(self, what: str) -> None:
        if self._frozen:
            raise ValueError(f"[Config] is frozen, so {what}. Call `unfreeze()` first.")

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_config"][name]
        except KeyError:
            raise AttributeError(
                f"[Config] has no setting {name!r}. It has: {sorted(self.__dict__['_config'])}."
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._check_open(f"{name!r} cannot be set")
        self._config[name] = value

    def __delattr__(self, name: str) -> None:
        self._check_open(f"{name!r} cannot be deleted")
        if name not in self._config:
            raise AttributeError(f"[Config] has no setting {name!r}.")
        del self._config[name]

    def __getitem__(self, name: str) -> Any:
        return self._config[name]

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def __delitem__(self, name: str) -> None:
        self._check_open(f"{name!r} cannot be deleted")
        del self._config[name]

    def __contains__(self, name: object) -> bool:
        return name in self._config

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._config))

    def __len__(self) -> int:
        return len(self._config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self._config == other._config

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Config {self._config}>"

    def __getstate__(self) -> dict[str, Any]:
        return {"_config": self._config, "_frozen": self._frozen}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def frozen(self) -> bool:
        """Whether the settings are frozen."""
        return self._frozen

    def freeze(self) -> None:
        """Refuses changes from now on."""
        object.__setattr__(self, "_frozen", True)

    def unfreeze(self) -> None:
        """Allows changes again."""
        object.__setattr__(self, "_frozen", False)

    def as_dict(self) -> dict[str, Any]:
        """The settings as a new dict."""
        return dict(self._config)

    def to_json(self) -> str:
        """The settings as JSON text."""
        return json.dumps(self._config)

    def keys(self) -> KeysView[str]:
        """Names of the settings."""
        return self._config.keys()

    def values(self) -> ValuesView[Any]:
        """Values of the settings."""
        return self._config.values()

    def items(self) -> ItemsView[str, Any]:
        """Names with values."""
        return self._config.items()

    def get(self, name: str, default: Any = None) -> Any:
        """The setting `name`, or `default`."""
        return self._config.get(name, default)

    def pop(self, *args: Any) -> Any:
        """Removes a setting and returns it."""
        self._check_open("nothing can be removed")
        return self._config.pop(*args)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Sets several settings."""
        self._check_open("it cannot be updated")
        self._config.update(*args, **kwargs)

"""`Initializer`: what weights start from."""

from __future__ import annotations

from typing import Any, Self


class Initializer:
    """Base of initializers: functions of a shape and a dtype that can be stored in a config.

    A subclass implements `__call__(shape, dtype=None, **kwargs)` and, if its constructor takes
    arguments, `get_config`.

    Example:
        >>> class Threes(Initializer):
        ...     def __call__(self, shape, dtype=None, **kwargs):
        ...         return np.full(shape, 3.0, dtype)
        >>> Threes()((2,)).tolist()
        [3.0, 3.0]
    """

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """The initial value: a tensor of the given shape and dtype."""
        raise NotImplementedError(
            f"[{type(self).__name__}] a subclass of Initializer must implement __call__()."
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """An initializer from `get_config`'s answer."""
        return cls(**config)

    def clone(self) -> Self:
        """An initializer with the same configuration."""
        return type(self).from_config(self.get_config())

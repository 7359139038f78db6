"""Dtype policies: in which dtype a layer keeps its weights, and in which it computes."""

from __future__ import annotations

from typing import Any

from kbackend.base import config
from kbackend.base.dtypes import FLOAT_SET, standardize_dtype
from kbackend.core import lang
from kbackend.core.convert import to_tensor

_MIXED = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


class DTypePolicy:
    """Dtypes of a layer's weights and of its computation.

    Args:
        name: a dtype name (both), or "mixed_float16" or "mixed_bfloat16" (float32 weights, 16-bit
            computation). By default the global policy's name.

    Raises:
        ValueError: the name is not one of these.

    Example:
        >>> policy = DTypePolicy("mixed_bfloat16")
        >>> policy.variable_dtype, policy.compute_dtype
        ('float32', 'bfloat16')
    """

    def __init__(self, name: str | None = None) -> None:
        if name is None:
            name = dtype_policy().name
        if not isinstance(name, str):
            raise ValueError(f"[DTypePolicy] 'name' must be a string. Received: name={name!r}.")
        self._name = name
        if name in _MIXED:
            self._compute_dtype, self._variable_dtype = _MIXED[name], "float32"
            return
        try:
            self._compute_dtype = self._variable_dtype = standardize_dtype(name)
        except ValueError:
            raise ValueError(
                f"[DTypePolicy] no policy is called {name!r}. Use a dtype such as 'float32', or "
                "'mixed_float16' or 'mixed_bfloat16'."
            ) from None

    @property
    def name(self) -> str:
        """Name of the policy."""
        return self._name

    @property
    def compute_dtype(self) -> str:
        """Dtype of the computation and of the outputs."""
        return self._compute_dtype

    @property
    def variable_dtype(self) -> str:
        """Dtype of the weights."""
        return self._variable_dtype

    @property
    def quantization_mode(self) -> None:
        """Always `None`: the policy does not quantize."""
        return None

    def convert_input(self, x: Any, autocast: bool, dtype: str) -> Any:
        """A tensor that a layer receives: floats in `dtype` when `autocast` holds."""
        x = to_tensor(x)
        if autocast and x.dtype != dtype and x.dtype in FLOAT_SET:
            return lang.cast(x, dtype)
        return x

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """A policy from `get_config`'s answer."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._name == self._name  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), self._name))

    def __repr__(self) -> str:
        return f'<{type(self).__name__} "{self.name}">'


# Keras's name for a policy that quantizes nothing; all policies here are of that kind.
FloatDTypePolicy = DTypePolicy

_policy: DTypePolicy | None = None


def dtype_policy() -> DTypePolicy:
    """The policy of layers made without one; that of `floatx` by default."""
    return _policy if _policy is not None else DTypePolicy(config.floatx())


def set_dtype_policy(policy: Any) -> None:
    """Sets the policy of layers made without one.

    Args:
        policy: a DTypePolicy or a name; `None` goes back to `floatx`.

    Raises:
        ValueError: no such policy.
    """
    global _policy
    _policy = None if policy is None else get(policy)


def get(identifier: Any) -> DTypePolicy:
    """A policy given as a policy, a name, a dtype, a config or `None` (the global one).

    Raises:
        ValueError: it is none of these.
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        inner = identifier.get("config", identifier)
        if "name" in inner and set(inner) <= {"name"}:
            return DTypePolicy(inner["name"])
        raise ValueError(f"[DTypePolicy] can't read the config {identifier}.")
    if isinstance(identifier, str):
        return DTypePolicy(identifier)
    return DTypePolicy(standardize_dtype(identifier))

"""Dtype policies by the path of a layer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from kbackend.base import serialization
from kbackend.state import dtype_policy
from kbackend.state.dtype_policy import DTypePolicy


class DTypePolicyMap(DTypePolicy, MutableMapping):  # type: ignore[type-arg]
    """Maps paths of layers, or regular expressions that match them, to dtype policies.

    Where it stands for a policy itself, it is its default policy.

    Args:
        default_policy: the policy of paths that nothing matches, given in any usual way; `None`
            is the global policy at the time of asking.
        policy_map: path or regular expression -> policy.

    Raises:
        TypeError: `policy_map` is not a dict.

    >>> policies = DTypePolicyMap("float32", {"encoder/.*": "mixed_bfloat16"})
    >>> policies["encoder/dense"], policies["decoder/dense"]
    (<DTypePolicy "mixed_bfloat16">, <DTypePolicy "float32">)
    """

    _keras_module = "keras.dtype_policies"

    def __init__(
        self, default_policy: Any = None, policy_map: Mapping[str, Any] | None = None
    ) -> None:
        if policy_map is not None and not isinstance(policy_map, Mapping):
            raise TypeError(
                f"[DTypePolicyMap] 'policy_map' must be a dict. Received: {policy_map!r}."
            )
        if isinstance(default_policy, DTypePolicyMap):
            raise ValueError("[DTypePolicyMap] 'default_policy' can't be a DTypePolicyMap.")
        self._default = None if default_policy is None else _policy(default_policy)
        self._map: dict[str, DTypePolicy] = {}
        for key, policy in (policy_map or {}).items():
            self[key] = policy

    @property
    def default_policy(self) -> DTypePolicy:
        """The policy of paths that nothing matches."""
        return dtype_policy.dtype_policy() if self._default is None else self._default

    @property
    def name(self) -> str:
        """`map_` and the name of the default policy."""
        return f"map_{self.default_policy.name}"

    @property
    def compute_dtype(self) -> str:
        """That of the default policy."""
        return self.default_policy.compute_dtype

    @property
    def variable_dtype(self) -> str:
        """That of the default policy."""
        return self.default_policy.variable_dtype

    def __getitem__(self, key: str) -> DTypePolicy:
        """The policy of a path: its own entry, else the one entry that matches it, else the
        default."""
        if key in self._map:
            return self._map[key]
        matching = [pattern for pattern in self._map if re.search(pattern, key)]
        if len(matching) > 1:
            raise ValueError(
                f"[DTypePolicyMap] the path {key!r} matches several entries: {matching}. Make the "
                "expressions exclude each other, or add the path itself."
            )
        return self._map[matching[0]] if matching else self.default_policy

    def __setitem__(self, key: str, policy: Any) -> None:
        if key in self._map:
            raise ValueError(
                f"[DTypePolicyMap] there is an entry for {key!r} already: {self._map[key]}. "
                "Delete it first."
            )
        self._map[key] = _policy(policy)

    def __delitem__(self, key: str) -> None:
        del self._map[key]

    def __contains__(self, key: object) -> bool:
        return key in self._map

    def __len__(self) -> int:
        return len(self._map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._map)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain data."""
        return {
            "default_policy": None if self._default is None else self._default.name,
            "policy_map": serialization.serialize(self._map),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicyMap:
        """A map from `get_config`'s answer."""
        return cls(
            config.get("default_policy"), serialization.deserialize(config.get("policy_map") or {})
        )

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self)
            and other._default == self._default
            and other._map == self._map
        )

    def __hash__(self) -> int:
        return hash((type(self), self._default, frozenset(self._map.items())))

    def __repr__(self) -> str:
        entries = {key: policy.name for key, policy in self._map.items()}
        return f"<DTypePolicyMap default={self.default_policy.name} map={entries}>"


def _policy(given: Any) -> DTypePolicy:
    try:
        return dtype_policy.get(given)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"[DTypePolicyMap] expected a dtype policy or its name. Received: {given!r}. {error}"
        ) from None

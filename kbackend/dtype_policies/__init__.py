"""Dtype policies: in which dtypes layers keep their weights and compute."""

from __future__ import annotations

from typing import Any

from kbackend.base import serialization
from kbackend.dtype_policies.policy_map import DTypePolicyMap
from kbackend.state import dtype_policy as policies
from kbackend.state.dtype_policy import DTypePolicy, FloatDTypePolicy

__all__ = [
    "DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "deserialize", "get", "serialize",
]  # fmt: skip

_FAMILY = {
    "DTypePolicy": DTypePolicy,
    "DTypePolicyMap": DTypePolicyMap,
    "FloatDTypePolicy": FloatDTypePolicy,
}


def serialize(dtype_policy: DTypePolicy) -> dict[str, Any]:
    """A policy as plain data.

    Args:
        dtype_policy: the policy.

    Returns:
        Its class and config, as Keras writes them.

    >>> serialize(DTypePolicy("mixed_float16"))["config"]
    {'name': 'mixed_float16'}
    """
    data: dict[str, Any] = serialization.serialize(dtype_policy)
    return data


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
    """A policy from what `serialize` returned.

    Args:
        config: the plain data.
        custom_objects: names of classes of your own.

    Returns:
        The policy.

    Raises:
        TypeError: the config names no known class.

    >>> deserialize(serialize(DTypePolicy("float16")))
    <DTypePolicy "float16">
    """
    return serialization.deserialize(config, custom_objects, module_objects=_FAMILY)


def get(identifier: Any) -> DTypePolicy:
    """A policy given in any usual way.

    Args:
        identifier: a policy, a name, a dtype, a config, or `None` for the global policy.

    Returns:
        The policy.

    Raises:
        ValueError: it is none of these.

    >>> get("mixed_bfloat16").compute_dtype
    'bfloat16'
    """
    if isinstance(identifier, dict) and "class_name" in identifier:
        made: DTypePolicy = deserialize(identifier)
        return made
    return policies.get(identifier)

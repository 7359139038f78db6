"""Composites that are done in a few launches of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kbackend.engine.program import Spec
from kbackend_cupy.codegen.region import Plan

Specs = tuple[Spec, ...]
# (specs of the inputs, **parameters) -> those of the outputs
Outputs = Callable[..., Specs]


class Whole(NamedTuple):
    """How a composite is done in a few launches.

    Attributes:
        plan: plans its launches.
        takes: whether it does so for arguments of these specs.
        outputs: the specs of its results.
        single: whether it has one result, not a tuple of them.
    """

    plan: Callable[..., Plan | None]
    takes: Callable[[Specs], bool]
    outputs: Outputs
    single: bool = False

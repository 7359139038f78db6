"""Prepared kernels that are launches of CUDA kernels and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kbackend.engine.program import Prepared
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.modules import Modules


@dataclass(frozen=True)
class PreparedCalls(Prepared):
    """A kernel that is calls on a step's arrays, which a stream can record.

    Attributes:
        calls: (function, arguments before the arrays, which arrays, arguments behind them).
    """

    calls: tuple[tuple[Any, tuple[Any, ...], tuple[int, ...], tuple[Any, ...]], ...] = ()


def prepared(plan: Plan, modules: Modules) -> PreparedCalls:
    """The launches of a plan as a prepared kernel."""
    calls = []
    for launch in plan.launches:
        function = modules.function(launch.text, launch.name)
        run = _launcher(function, launch.grid, launch.block, launch.scalars)
        calls.append((run, (), launch.arrays, ()))
    return from_calls(tuple(calls), plan)


def from_calls(calls: tuple[Any, ...], plan: Plan | None = None) -> PreparedCalls:
    """Calls as a prepared kernel, with the scratch and the overwrites of a plan."""

    def run(*arrays: Any) -> None:
        for function, before, places, behind in calls:
            function(*before, *[arrays[i] for i in places], *behind)

    if plan is None:
        return PreparedCalls(run, calls=calls)
    return PreparedCalls(run, plan.scratch, plan.overwrites, calls=calls)


def _launcher(function: Any, grid: Any, block: Any, scalars: tuple[Any, ...]) -> Any:
    def launch(*arrays: Any) -> None:
        function(grid, block, (*arrays, *scalars))

    return launch

"""Prepared kernels that are launches of CUDA kernels and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kbackend.engine.program import Prepared
from kbackend_cupy.codegen.launch import Launch
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.modules import Modules


@dataclass(frozen=True)
class PreparedCalls(Prepared):
    """A kernel that is calls on a step's arrays, which a stream can record.

    Attributes:
        calls: (function, arguments before the arrays, which arrays, arguments behind them).
        launches: what the calls launch, where they are launches of kernels of ours.
    """

    calls: tuple[tuple[Any, tuple[Any, ...], tuple[int, ...], tuple[Any, ...]], ...] = ()
    launches: tuple[Launch, ...] = ()


def prepared(plan: Plan, modules: Modules) -> PreparedCalls:
    """The launches of a plan as a prepared kernel."""
    calls = [(caller(launch, modules), (), launch.arrays, ()) for launch in plan.launches]
    return from_calls(tuple(calls), plan)


def caller(launch: Launch, modules: Modules) -> Any:
    """What makes a launch; it is called with the arrays."""
    made = modules.function(launch.text, launch.name)
    return _launcher(made, launch.grid, launch.block, launch.scalars)


def from_calls(calls: tuple[Any, ...], plan: Plan | None = None) -> PreparedCalls:
    """Calls as a prepared kernel, with the scratch and the overwrites of a plan."""

    def run(*arrays: Any) -> None:
        for call, before, places, behind in calls:
            call(*before, *[arrays[i] for i in places], *behind)

    if plan is None:
        return PreparedCalls(run, calls=calls)
    return PreparedCalls(run, plan.scratch, plan.overwrites, calls=calls, launches=plan.launches)


def _launcher(function: Any, grid: Any, block: Any, scalars: tuple[Any, ...]) -> Any:
    def launch(*arrays: Any) -> None:
        function(grid, block, (*arrays, *scalars))

    return launch

"""Prepared kernels that are launches of CUDA kernels and nothing else."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.program import Prepared, Spec
from kbackend_cupy.codegen.launch import Launch
from kbackend_cupy.codegen.region import Plan
from kbackend_cupy.modules import Modules


@dataclass(frozen=True)
class PreparedCalls(Prepared):
    """A kernel that is calls on a step's arrays, which a stream can record.

    Attributes:
        calls: (function, arguments before the arrays, which arrays, arguments behind them).
        launches: what the calls launch, where they are launches of kernels of ours.
        joint: a launch that does the same and may be shared, where the calls are no such launch.
        own: arrays that a single launch needs while it runs; they follow the scratch.
        tickets: numbers behind them that are 0 before and after.
    """

    calls: tuple[tuple[Any, tuple[Any, ...], tuple[int, ...], tuple[Any, ...]], ...] = ()
    launches: tuple[Launch, ...] = ()
    joint: tuple[Launch, ...] = ()
    own: tuple[Spec, ...] = ()
    tickets: int = 0


def prepared(plan: Plan, modules: Modules) -> PreparedCalls:
    """The launches of a plan as a prepared kernel."""
    calls = [(caller(launch, modules), (), launch.arrays, ()) for launch in plan.launches]
    return from_calls(tuple(calls), plan)


def caller(launch: Launch, modules: Modules) -> Any:
    """What makes a launch; it is called with the arrays."""
    grid, block, scalars = launch.grid, launch.block, launch.scalars

    @functools.cache
    def kernel() -> Any:
        # Not before it is called: where a launch does more than one step, the step's own is not.
        return modules.function(launch.text, launch.name)

    def call(*arrays: Any) -> None:
        kernel()(grid, block, (*arrays, *scalars))

    return call


def from_calls(calls: tuple[Any, ...], plan: Plan | None = None) -> PreparedCalls:
    """Calls as a prepared kernel, with the scratch and the overwrites of a plan."""

    def run(*arrays: Any) -> None:
        for call, before, places, behind in calls:
            call(*before, *[arrays[i] for i in places], *behind)

    if plan is None:
        return PreparedCalls(run, calls=calls)
    # What a single launch needs is nobody's afterwards, so that it does not keep launches apart.
    scratch, own = ((), plan.scratch) if len(plan.launches) == 1 else (plan.scratch, ())
    return PreparedCalls(
        run, scratch, plan.overwrites, calls=calls, launches=plan.launches, own=own,
        tickets=plan.tickets,
    )  # fmt: skip


def memory(cp: Any, made: Prepared) -> list[Any]:
    """What a prepared kernel's `run` takes behind the outputs and inputs.

    Args:
        cp: the module `cupy`.
        made: the kernel.
    """
    own, tickets = (made.own, made.tickets) if isinstance(made, PreparedCalls) else ((), 0)
    specs = (*made.scratch, *own)
    arrays = [cp.empty(spec.shape, numpy_dtype(spec.dtype)) for spec in specs]
    return [*arrays, cp.zeros(tickets, "uint32")] if tickets else arrays


def joinable(made: PreparedCalls, plan: Plan | None) -> PreparedCalls:
    """Calls that may be replaced by the launch of a plan where it shares a launch with others."""
    if plan is None or len(plan.launches) != 1:
        return made
    own, tickets = plan.scratch, plan.tickets
    return dataclasses.replace(made, joint=plan.launches, own=own, tickets=tickets)

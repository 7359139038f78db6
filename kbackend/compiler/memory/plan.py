"""The memory plan: which values share memory, and where in the arena each of them lies.

A value lives from the step that makes it to the last one that needs it or a view of it. A kernel
that may write over one of its inputs does so where that input is needed no longer. The new value of
a variable is written into the variable's own memory if the old one is not needed any more by then.
"""

from __future__ import annotations

from dataclasses import replace

from kbackend.base import dtypes
from kbackend.compiler.memory.arena import Block, aligned, place
from kbackend.compiler.memory.draft import Draft
from kbackend.engine.program import ARENA, Place, Program, Step


class _Plan:
    """Storage of values: each belongs to one value whose memory it is."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.storage = {i: i for i, v in enumerate(draft.values) if v.base == i}
        self.last = self._last_uses()
        # Values with memory that the arena can't provide.
        self.outside = {*draft.inputs, *draft.constants, *draft.outputs}
        for step in draft.steps:
            if step.prepared is None:
                self.outside.update(step.outputs)

    def _last_uses(self) -> dict[int, int]:
        """Base value -> last step that needs it or a view of it; -1 if none does."""
        last = dict.fromkeys(self.storage, -1)
        for number, step in enumerate(self.draft.steps):
            for value in (*step.inputs, *step.outputs):
                last[self.draft.values[value].base] = number
        end = len(self.draft.steps)
        for _, value in self.draft.updates:
            last[self.draft.values[value].base] = end
        return last

    def overwritable(self, number: int, step: Step) -> list[tuple[int, int]]:
        """Pairs (input, output) of values that may share memory as far as the step goes."""
        if step.prepared is None:
            return []
        values, found = self.draft.values, []
        bases = [values[i].base for i in step.inputs]
        for i, o in step.prepared.overwrites:
            value = step.inputs[i]
            # Wherever else the step takes the memory, it must be ready for the same.
            again = [j for j, base in enumerate(bases) if base == bases[i]]
            if (
                values[value].whole
                and all(step.inputs[j] == value for j in again)
                and all((j, o) in step.prepared.overwrites for j in again)
                and self.last[bases[i]] == number
                and values[bases[i]].layout.shape == values[value].layout.shape
            ):
                found.append((bases[i], step.outputs[o]))
        return found


def assign(draft: Draft) -> Program:
    """The program with a place for each value."""
    late = _place_updates(draft)
    plan = _Plan(draft)
    _take_over(plan, late)
    return _finish(plan)


def _place_updates(draft: Draft) -> dict[int, int]:
    """Value -> variable input in whose memory it is made.

    New values of variables that can't be made there are copied there by steps at the end.
    """
    plan = _Plan(draft)
    maker = {o: n for n, step in enumerate(draft.steps) for o in step.outputs}
    in_place: dict[int, int] = {}
    copied: list[tuple[int, int]] = []
    for variable, value in draft.updates:
        if value == variable:
            continue
        step = maker.get(value)
        direct = (
            step is not None
            and draft.values[value].base == value
            and draft.steps[step].prepared is not None
            and value not in draft.outputs
            and value not in in_place
            and (
                plan.last[variable] < step
                or (variable, value) in plan.overwritable(step, draft.steps[step])
            )
        )
        if direct:
            in_place[value] = variable
        else:
            copied.append((variable, value))
    inputs = set(draft.inputs)
    # First what comes from other variables is saved, before any variable changes.
    saved = [
        (variable, draft.copy(value) if draft.values[value].base in inputs else value)
        for variable, value in copied
    ]
    if saved:
        # A variable that is read at the end can't be written before.
        late = _Plan(draft).last
        for value, variable in list(in_place.items()):
            if late[variable] > maker[value]:
                del in_place[value]
                saved.append((variable, value))
    for variable, value in saved:
        made = draft.new(draft.values[variable].aval)
        draft.step("copy", (value,), (made,), {}, "")
        in_place[made] = variable
    return in_place


def _take_over(plan: _Plan, in_place: dict[int, int]) -> None:
    """Lets outputs take over the memory of inputs that are needed no longer."""
    draft = plan.draft
    for value, variable in in_place.items():
        plan.storage[value] = variable
    for number, step in enumerate(draft.steps):
        for base, output in plan.overwritable(number, step):
            if output in in_place or output in plan.outside:
                continue
            owner = plan.storage[base]
            if owner in plan.outside or draft.values[base].nbytes != draft.values[output].nbytes:
                continue
            if any(plan.storage[o] == owner for o in step.outputs):
                continue
            plan.storage[output] = owner


def _finish(plan: _Plan) -> Program:
    """Offsets for everything in the arena, and the program."""
    draft = plan.draft
    made = {o: n for n, step in enumerate(draft.steps) for o in step.outputs}
    spans: dict[int, list[int]] = {}
    for number, owner in plan.storage.items():
        if owner in plan.outside or number not in made:
            continue
        span = spans.setdefault(owner, [made[number], made[number]])
        span[0] = min(span[0], made[number])
        span[1] = max(span[1], plan.last[number], made[number])
    owners = list(spans)
    rests = draft.engine.rests
    blocks = []
    for owner in owners:
        first, last = spans[owner]
        blocks.append(Block(draft.values[owner].nbytes, first, last + rests))
    scratch = [
        (number, spec.size * dtypes.itemsize(spec.dtype))
        for number, step in enumerate(draft.steps)
        if step.prepared is not None
        for spec in step.prepared.scratch
    ]
    blocks += [Block(size, number, number) for number, size in scratch]
    offsets, arena = place(blocks)
    at = dict(zip(owners, offsets, strict=False))
    extra: dict[int, list[int]] = {}
    for (number, _), offset in zip(scratch, offsets[len(owners) :], strict=True):
        extra.setdefault(number, []).append(offset)
    places = []
    for value in draft.values:
        owner, layout = plan.storage[value.base], value.layout
        item = dtypes.itemsize(value.aval.dtype)
        inside = owner in at
        places.append(
            Place(
                ARENA if inside else owner,
                (at[owner] if inside else 0) + layout.offset * item,
                None if value.spec.contiguous else tuple([s * item for s in layout.strides]),
            )
        )
    naive = sum(aligned(draft.values[o].nbytes) for step in draft.steps for o in step.outputs)
    return Program(
        specs=tuple(value.spec for value in draft.values),
        places=tuple(places),
        constants=draft.constants,
        inputs=tuple(draft.inputs),
        outputs=tuple(draft.outputs),
        updates=tuple(draft.updates),
        steps=tuple(
            replace(step, scratch=tuple(extra.get(number, ())))
            for number, step in enumerate(draft.steps)
        ),
        arena=arena,
        naive=naive + sum(aligned(size) for _, size in scratch),
        name=draft.name,
    )

"""Two runs side by side, with the noise of both."""

from __future__ import annotations

from typing import NamedTuple

from ..records import Record, Results
from .grids import Cell, Grid
from .quantities import quantity

SAME = "within the noise"

# Facts of the machine that make two runs incomparable if they differ.
_MACHINE = ("cpu", "usable_cores", "python", "numpy", "environment")


class Difference(NamedTuple):
    """One measurement in two runs.

    Attributes:
        before: in the first run.
        after: in the second run.
        ratio: least after to least before.
        noise: how far the ratio could be off: the medians' distance from the leasts, of both runs.
        verdict: `faster`, `slower`, `smaller`, `larger`, or that the difference is noise.
    """

    before: Record
    after: Record
    ratio: float
    noise: float
    verdict: str


def difference(before: Record, after: Record) -> Difference:
    """Compares one measurement.

    The change counts only if it is larger than the spread of both runs together.
    """
    ratio = after.least / before.least if before.least else float(after.least != 0) + 1
    noise = before.noise + after.noise
    words = ("faster", "slower") if before.unit == "s" else ("smaller", "larger")
    if abs(ratio - 1) <= noise:
        verdict = SAME
    else:
        verdict = words[ratio > 1]
    return Difference(before, after, ratio, noise, verdict)


def differences(first: Results, second: Results) -> tuple[list[Difference], list[str]]:
    """What both runs have measured, and what only one of them has."""
    before = {record.key: record for record in first.records}
    after = {record.key: record for record in second.records}
    both = [difference(before[key], after[key]) for key in before if key in after]
    alone = [f"only in the first: {' '.join(key)}" for key in before if key not in after]
    alone += [f"only in the second: {' '.join(key)}" for key in after if key not in before]
    return both, alone


def warnings(first: Results, second: Results) -> list[str]:
    """Reasons to doubt the comparison."""
    lines = [
        f"other {name}: {first.machine.get(name)} then, {second.machine.get(name)} now"
        for name in _MACHINE
        if first.machine.get(name) != second.machine.get(name)
    ]
    for name in ("quick", "threads", "repeats"):
        if first.settings.get(name) != second.settings.get(name):
            then, now = first.settings.get(name), second.settings.get(name)
            lines.append(f"other setting '{name}': {then} then, {now} now")
    for name, reached in first.ceilings.items():
        now = second.ceilings.get(name)
        if now and abs(now / reached - 1) > 0.1:
            lines.append(f"the machine itself reached {now / reached:.2f}× in '{name}'")
    return lines


def grid(both: list[Difference]) -> Grid:
    """The comparison as a table; what really changed is marked as best."""
    rows = []
    for each in both:
        group, case, phase, peer = each.before.key
        rows.append(
            [
                Cell(f"{group}: {case}, {phase}"),
                Cell(peer),
                Cell(quantity(each.before.least, each.before.unit)),
                Cell(quantity(each.after.least, each.after.unit)),
                Cell(f"{each.ratio:.3f}×"),
                Cell(f"±{each.noise:.1%}"),
                Cell(each.verdict, each.verdict != SAME),
            ]
        )
    columns = ["measurement", "peer", "first", "second", "ratio", "noise", "verdict"]
    note = "Leasts of the repetitions. The noise is how far the medians lie above, in both runs."
    return Grid("second run to first", note, columns, rows, words=2)

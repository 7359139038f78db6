"""Prints what a training step of each benchmark model costs a GPU, as far as counting tells.

    python -m tests.engines.cupy.counts [--torch PYTHON] [MODEL …]

Launches and bytes of kbackend are counted from the step's plan, and by running the plan's kernels
on the CPU (`traffic.py`); those of PyTorch by an interpreter that has it (`torch_launches.py`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.models import all_models

_ADAMS = ("loop", "foreach", "fused")


def _torch(python: str, names: list[str]) -> dict[str, Any]:
    script = str(Path(__file__).with_name("torch_launches.py"))
    done = subprocess.run([python, script, *names], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _launches(names: list[str], torch: dict[str, Any]) -> str:
    from tests.engines.cupy.planned import launches, planned

    head = ["model", "kbackend", *[f"PyTorch, Adam {adam}" for adam in _ADAMS], "of foreach"]
    rows = [head if torch else head[:2]]
    for name in names:
        own = launches(planned(name).program)
        row = [name, str(own)]
        if torch:
            row += [str(torch[name][adam]["launches"]) for adam in _ADAMS]
            row.append(f"{own / torch[name]['foreach']['launches']:.2f}")
        rows.append(row)
    return _table(rows)


def _bytes(names: list[str], torch: dict[str, Any]) -> str:
    from tests.engines.cupy.planned import planned
    from tests.engines.cupy.traffic import of_program

    head = ["model", "least", "by launch", "ratio", "by block", "ratio", "PyTorch, least"]
    rows = [head if torch else head[:-1]]
    for name in names:
        found = of_program(planned(name).program)
        row = [name, f"{found.least / 1e6:.2f}"]
        for moved in (found.by_launch, found.by_block):
            row += [f"{moved / 1e6:.2f}", f"{moved / found.least:.2f}"]
        if torch:
            row.append(f"{torch[name]['foreach']['bytes'] / 1e6:.2f}")
        rows.append(row)
    return _table(rows)


def main() -> None:
    """Prints both tables."""
    models = list(all_models())
    parser = argparse.ArgumentParser(prog="python -m tests.engines.cupy.counts")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="all, if none is named")
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter that has PyTorch")
    parsed = parser.parse_args()
    names = parsed.models or models
    if set(names) - set(models):
        parser.error(f"There are the models {', '.join(models)}. Received: {', '.join(names)}.")
    torch = _torch(parsed.torch, names) if parsed.torch else {}
    print("Launches a step\n")
    print(_launches(names, torch), flush=True)
    print("\nMegabytes a step\n")
    print(_bytes(names, torch))


if __name__ == "__main__":
    main()

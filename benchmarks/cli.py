"""The command line: a run, a run shown again, two runs compared.

python -m benchmarks [--quick] [--only macro,micro] [--out DIR] …
python -m benchmarks show RUN.json [--out DIR] [--write PAGE]
python -m benchmarks compare BEFORE.json AFTER.json
"""

from __future__ import annotations

import argparse
import pathlib
import shlex
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from . import machine, options, records
from .bench import Bench
from .groups import GROUPS
from .records import Results
from .report import compare, console, grids, markdown, page, plots

# What the suite is called by: in a source tree, and from the wheel.
_NAME = "python -m benchmarks" if __package__ == "benchmarks" else "kbackend bench"


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=pathlib.Path, metavar="DIR", help="folder for results.json, index.html, PNGs"
    )
    parser.add_argument(
        "--write", type=pathlib.Path, metavar="PAGE", help="Markdown page to put the tables into"
    )


def _output(results: Results, parsed: argparse.Namespace, screen: Console, command: str) -> None:
    if parsed.out:
        results.save(parsed.out / "results.json")
    console.show(results, screen)
    if parsed.write:
        markdown.write(parsed.write, results, command)
        screen.print(f"written into {parsed.write}", highlight=False)
    if parsed.out:
        try:
            figures = plots.save(results, parsed.out)
        except ModuleNotFoundError as error:
            # The page is worth having without them.
            screen.print(str(error), markup=False)
            figures = {}
        text = page.page(results, figures)
        (parsed.out / "index.html").write_text(text, encoding="utf-8")
        screen.print(f"written to {parsed.out}", highlight=False)


def _run(arguments: list[str], screen: Console) -> int:
    parser = argparse.ArgumentParser(prog=_NAME, description="Engines of kbackend beside others.")
    options.add_run_arguments(parser, list(GROUPS))
    _add_outputs(parser)
    parsed = parser.parse_args(arguments)
    chosen = options.from_arguments(parsed)
    unknown = [name for name in chosen.groups if name not in GROUPS]
    if unknown:
        parser.error(f"no such group: {', '.join(unknown)}. There are: {', '.join(GROUPS)}")
    if parsed.write:
        # Before the run, not after it, is the time to say that the page can't take it.
        markdown.split(parsed.write)
    begin = time.monotonic()

    def say(text: str) -> None:
        elapsed = f"{time.monotonic() - begin:4.0f} s  "
        screen.print(elapsed + text, markup=False, highlight=False, style="dim")

    bench = Bench(chosen, say)
    bench.chosen_models()
    bench.results.machine = machine.describe()
    for line in grids.busy_lines(bench.results):
        say(line)
    try:
        bench.open()
        for name, run in GROUPS.items():
            if name in (chosen.groups or GROUPS):
                run(bench)
    finally:
        bench.close()
    bench.results.machine["busy_cores_after"] = machine.busy_cores()
    say("done")
    _output(bench.results, parsed, screen, shlex.join([*_NAME.split(), *arguments]))
    return int(not all(check["agrees"] for check in bench.results.checks))


def _show(arguments: list[str], screen: Console) -> int:
    parser = argparse.ArgumentParser(prog=f"{_NAME} show", description="Shows a run again.")
    parser.add_argument("run", type=pathlib.Path, help="results.json of a run")
    _add_outputs(parser)
    parsed = parser.parse_args(arguments)
    command = shlex.join([*_NAME.split(), "show", *arguments])
    _output(records.load(parsed.run), parsed, screen, command)
    return 0


def _compare(arguments: list[str], screen: Console) -> int:
    parser = argparse.ArgumentParser(prog=f"{_NAME} compare", description="Compares two runs.")
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("after", type=pathlib.Path)
    parsed = parser.parse_args(arguments)
    first, second = records.load(parsed.before), records.load(parsed.after)
    both, alone = compare.differences(first, second)
    for line in compare.warnings(first, second):
        screen.print(line, markup=False, style="yellow")
    screen.print(console.table(compare.grid(both)))
    for line in alone:
        screen.print(line, markup=False, style="dim")
    return 0


_COMMANDS = {"show": _show, "compare": _compare}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: the arguments; those of the process if None.

    Returns:
        0; 1 if losses disagree or the arguments name what isn't there.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    screen = Console()
    try:
        if arguments and arguments[0] in _COMMANDS:
            return _COMMANDS[arguments[0]](arguments[1:], screen)
        return _run(arguments, screen)
    except (ValueError, OSError) as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False)
        return 1

"""The tables as Markdown, and their place in a documentation page."""

from __future__ import annotations

import pathlib

from ..records import Results
from .grids import Cell, Grid, check_lines, grids, machine_lines

BEGIN = "<!-- benchmarks: begin (written by the command below; do not edit) -->"
END = "<!-- benchmarks: end -->"


def _cell(cell: Cell) -> str:
    text = cell.text.replace("|", "\\|")
    return f"**{text}**" if cell.best else text


def _rule(grid: Grid) -> str:
    numbers = len(grid.columns) - grid.words
    return "|" + "---|" * grid.words + "---:|" * numbers


def _table(grid: Grid) -> list[str]:
    lines = ["| " + " | ".join(grid.columns) + " |", _rule(grid)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in grid.rows]
    return lines


def section(results: Results, command: str) -> str:
    """The whole run as Markdown, below the command that made it."""
    lines = ["```bash", command, "```", ""]
    lines += [f"- {line}" for line in machine_lines(results) + check_lines(results)]
    for grid in grids(results):
        lines += ["", f"### {grid.title[0].upper()}{grid.title[1:]}", "", *_table(grid)]
        if grid.note:
            lines += ["", grid.note]
    return "\n".join(lines)


def split(path: pathlib.Path) -> tuple[str, str]:
    """What stands before and after the place for the tables in a page.

    Args:
        path: a Markdown file with both markers.

    Raises:
        ValueError: the page has no such markers.
    """
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(
            f"[benchmarks] {path} has no place for the tables. Put these two lines into it:\n"
            f"{BEGIN}\n{END}"
        )
    return head, tail


def write(path: pathlib.Path, results: Results, command: str) -> None:
    """Replaces what stands between the markers of a page.

    Args:
        path: a Markdown file with both markers.
        results: the run.
        command: the command that made it.
    """
    head, tail = split(path)
    text = f"{head}{BEGIN}\n\n{section(results, command)}\n\n{END}{tail}"
    path.write_text(text, encoding="utf-8")

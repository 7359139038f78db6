"""Tables on the console."""

from __future__ import annotations

from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..records import Results
from .grids import Grid, check_lines, grids, machine_lines


def table(grid: Grid) -> Table:
    """A rich table; the best of each row is bold."""
    shown = Table(
        title=grid.title, caption=grid.note or None, title_justify="left", caption_justify="left"
    )
    for position, column in enumerate(grid.columns):
        side: Literal["left", "right"] = "left" if position < grid.words else "right"
        shown.add_column(column, justify=side, overflow="fold")
    for row in grid.rows:
        shown.add_row(*(Text(cell.text, "bold" if cell.best else "") for cell in row))
    return shown


def show(results: Results, console: Console) -> None:
    """Prints the machine, all tables and what was checked."""
    for line in machine_lines(results):
        console.print(line, markup=False, highlight=False)
    for grid in grids(results):
        console.print(table(grid))
    for line in check_lines(results):
        style = "bold red" if line.startswith(("WRONG", "FAILED")) else "green"
        console.print(line, markup=False, highlight=False, style=style)

"""A run as one HTML page that needs no other file."""

from __future__ import annotations

import html

from ..records import Results
from .grids import Cell, Grid, check_lines, grids, machine_lines

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
td { border-bottom: 1px solid #8884; padding: .3rem .8rem; text-align: right }
.word { text-align: left }
.best, .head { font-weight: 700 }
.wrong { color: #c92a2a; font-weight: 700 }
img { max-width: 100%; background: white }
figcaption, .note { color: #868e96 }
"""


def _cell(cell: Cell, word: bool) -> str:
    marks = " ".join(["word"] * word + ["best"] * cell.best)
    return f'<td class="{marks}">{html.escape(cell.text)}</td>'


def _row(row: list[Cell], grid: Grid) -> str:
    return "".join(_cell(cell, at < grid.words) for at, cell in enumerate(row))


def _table(grid: Grid) -> str:
    head = _row([Cell(column) for column in grid.columns], grid)
    rows = "".join(f"<tr>{_row(row, grid)}</tr>\n" for row in grid.rows)
    note = f'<p class="note">{html.escape(grid.note)}</p>' if grid.note else ""
    title = html.escape(grid.title)
    return f'<h2>{title}</h2>\n<table><tr class="head">{head}</tr>\n{rows}</table>{note}\n'


def _line(text: str) -> str:
    mark = ' class="wrong"' if text.startswith(("WRONG", "FAILED")) else ""
    return f"<li{mark}>{html.escape(text)}</li>"


def page(results: Results, figures: dict[str, str]) -> str:
    """The page.

    Args:
        results: the run.
        figures: name -> `data:` address of an image.
    """
    lines = "".join(map(_line, machine_lines(results) + check_lines(results)))
    images = "".join(
        f'<figure><img src="{address}" alt="{name}"></figure>\n'
        for name, address in figures.items()
    )
    tables = "".join(map(_table, grids(results)))
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        f"<title>kbackend benchmarks</title><style>{_STYLE}</style>\n"
        f"<h1>kbackend benchmarks</h1>\n<ul>{lines}</ul>\n{images}{tables}</html>\n"
    )

"""Draws a diagram with matplotlib: boxes in rows, arrows from row to row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kbackend.models.diagram import Box, Diagram

# Sizes in inches.
_LINE = 0.2
_CHARACTER = 0.085
_MARGIN = 0.3
_GAP_ACROSS = 0.35
_GAP_ALONG = 0.45
_SWEEPS = 4
_MOST_INCHES = 200.0

_FILL = {None: "#eef3fb", True: "#e8f6e8", False: "#f3f3f3"}


@dataclass
class _Place:
    """A box, or (`box` is `None`) a point where an arrow passes through a row."""

    box: Box | None
    row: int
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    depth: float = 0.0  # of its row


def draw(diagram: Diagram, path: Path, rankdir: str, dpi: float) -> None:
    """Draws a diagram into a file.

    Args:
        diagram: what to draw.
        path: the file; its suffix says the format.
        rankdir: "TB", "BT", "LR" or "RL".
        dpi: resolution.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the format is unknown.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            "[plot_model] needs pydot with Graphviz (pip install pydot, and the program `dot`), or "
            "matplotlib: pip install matplotlib"
        ) from error
    boxes, arrows = diagram.flattened()
    across = rankdir in ("LR", "RL")
    layout = _Layout(boxes, arrows, across)
    width, height = layout.size(across)
    figure = Figure(figsize=(min(width, _MOST_INCHES), min(height, _MOST_INCHES)), dpi=dpi)
    canvas = FigureCanvasAgg(figure)
    kinds = canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise ValueError(
            f"[plot_model] the format {path.suffix!r} is unknown. Without Graphviz, these can be "
            f"drawn: {', '.join(sorted(kinds))}."
        )
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")

    def at(place: _Place) -> tuple[float, float]:
        """The centre of a place in the picture, whose y axis points up."""
        along, side = place.y, place.x
        if rankdir == "TB":
            return side, height - along
        if rankdir == "BT":
            return side, along
        return (along if rankdir == "LR" else width - along), height - side

    _draw_frames(axes, diagram, layout, at)
    for chain in layout.chains:
        _draw_arrow(axes, [layout.places[key] for key in chain], at, rankdir)
    for place in layout.places.values():
        if place.box is not None:
            _draw_box(axes, place, at(place))
    figure.savefig(path, dpi=dpi)


class _Layout:
    """Where the boxes are: rows by their distance from the inputs, ordered to avoid crossings."""

    def __init__(self, boxes: list[Box], arrows: list[tuple[str, str]], across: bool) -> None:
        self._across = across
        rows = _rows_of([box.key for box in boxes], arrows)
        self.places: dict[str, _Place] = {}
        for box in boxes:
            lines = _lines(box)
            width = max(map(len, lines)) * _CHARACTER + 0.3
            self.places[box.key] = _Place(box, rows[box.key], width, len(lines) * _LINE + 0.16)
        self.chains = [self._chain(a, b) for a, b in arrows]
        self._arrange()

    def _chain(self, a: str, b: str) -> list[str]:
        """Keys from one box to another, with points in the rows between."""
        chain = [a]
        for row in range(self.places[a].row + 1, self.places[b].row):
            key = f"{a}\0{b}\0{row}"
            self.places[key] = _Place(None, row, 0.1, 0.1)
            chain.append(key)
        return [*chain, b]

    def _arrange(self) -> None:
        rows: list[list[str]] = [[] for _ in range(max(p.row for p in self.places.values()) + 1)]
        for key, place in self.places.items():
            rows[place.row].append(key)
        neighbours: dict[str, list[str]] = {key: [] for key in self.places}
        for chain in self.chains:
            for a, b in zip(chain, chain[1:], strict=False):
                neighbours[a].append(b)
                neighbours[b].append(a)
        for sweep in range(_SWEEPS):
            for row in rows if sweep % 2 == 0 else reversed(rows):
                self._spread(row)
                middle = {
                    key: sum(self.places[n].x for n in near) / len(near) if near else place_x
                    for key in row
                    for near, place_x in [(neighbours[key], self.places[key].x)]
                }
                row.sort(key=middle.__getitem__)
                self._spread(row)
        along = _MARGIN
        for row in rows:
            depth = max(self._extent(key)[1] for key in row)
            for key in row:
                self.places[key].y = along + depth / 2
                self.places[key].depth = depth
            along += depth + _GAP_ALONG
        # All rows are centred on the widest.
        widest = max(self._row_width(row) for row in rows)
        for row in rows:
            shift = _MARGIN + (widest - self._row_width(row)) / 2
            self._spread(row, shift)
        self._along, self._sideways = along - _GAP_ALONG + _MARGIN, widest + 2 * _MARGIN

    def _extent(self, key: str) -> tuple[float, float]:
        """Size of a place across and along the rows."""
        place = self.places[key]
        size = (place.width, place.height)
        return size[::-1] if self._across else size

    def _row_width(self, row: list[str]) -> float:
        return sum(self._extent(key)[0] for key in row) + _GAP_ACROSS * (len(row) - 1)

    def _spread(self, row: list[str], start: float | None = None) -> None:
        x = -self._row_width(row) / 2 if start is None else start
        for key in row:
            width = self._extent(key)[0]
            self.places[key].x = x + width / 2
            x += width + _GAP_ACROSS

    def size(self, across: bool) -> tuple[float, float]:
        """Width and height of the picture."""
        return (self._along, self._sideways) if across else (self._sideways, self._along)


def _rows_of(keys: list[str], arrows: list[tuple[str, str]]) -> dict[str, int]:
    """Length of the longest way from an input to each box."""
    parents: dict[str, list[str]] = {key: [] for key in keys}
    for a, b in arrows:
        parents[b].append(a)
    rows: dict[str, int] = {}
    stack = list(reversed(keys))
    while stack:
        key = stack[-1]
        open_ = [parent for parent in parents[key] if parent not in rows]
        if open_:
            stack.extend(open_)
            continue
        stack.pop()
        rows[key] = max((rows[parent] + 1 for parent in parents[key]), default=0)
    return rows


def _lines(box: Box) -> list[str]:
    return [box.title, *box.lines, *(f"{label}: {text}" for label, text in box.fields.items())]


def _draw_box(axes: Any, place: _Place, centre: tuple[float, float]) -> None:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415 - optional

    box = place.box
    if box is None:
        return
    x, y = centre
    left, bottom = x - place.width / 2, y - place.height / 2
    axes.add_patch(
        FancyBboxPatch(
            (left, bottom), place.width, place.height, boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=_FILL[box.trainable], edgecolor="#33425b", linewidth=1.0, zorder=3,
        )
    )  # fmt: skip
    lines = _lines(box)
    for i, line in enumerate(lines):
        axes.text(
            x, bottom + place.height - 0.08 - (i + 0.5) * _LINE, line, ha="center", va="center",
            fontsize=9, family="monospace", weight="bold" if i == 0 else "normal", zorder=4,
            parse_math=False,
        )  # fmt: skip
    if len(lines) > 1:
        level = bottom + place.height - 0.08 - _LINE
        axes.plot([left, left + place.width], [level, level], color="#33425b", lw=0.6, zorder=4)


def _draw_arrow(axes: Any, chain: list[_Place], at: Any, rankdir: str) -> None:
    first, last = chain[0], chain[-1]
    across = rankdir in ("LR", "RL")
    sign = 1 if rankdir in ("BT", "LR") else -1

    def beside(place: _Place, distance: float) -> tuple[float, float]:
        """A point so far before or after the centre of a place, in the direction of the arrow."""
        x, y = at(place)
        return (x + sign * distance, y) if across else (x, y + sign * distance)

    # From the far edge of the first box to the near edge of the last, and straight through rows.
    points = [beside(first, (first.width if across else first.height) / 2)]
    for place in chain[1:-1]:
        points += [beside(place, -place.depth / 2), beside(place, place.depth / 2)]
    points.append(beside(last, -(last.width if across else last.height) / 2))
    if len(points) > 2:
        axes.plot(
            [p[0] for p in points[:-1]], [p[1] for p in points[:-1]], color="#5b6b86", lw=1.0,
            zorder=2,
        )  # fmt: skip
    axes.annotate(
        "", xy=points[-1], xytext=points[-2],
        arrowprops={"arrowstyle": "-|>", "color": "#5b6b86", "lw": 1.0, "shrinkA": 0, "shrinkB": 0},
        zorder=2,
    )  # fmt: skip


def _draw_frames(axes: Any, diagram: Diagram, layout: _Layout, at: Any, depth: int = 0) -> None:
    """Dashed frames around the boxes of nested models."""
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - optional

    for box in diagram.boxes:
        if box.inner is None:
            continue
        inside = [layout.places[inner.key] for inner in box.inner.flattened()[0]]
        corners = [(*at(place), place.width / 2, place.height / 2) for place in inside]
        pad = max(0.16 - 0.04 * depth, 0.04)
        left = min(x - w for x, _, w, _ in corners) - pad
        right = max(x + w for x, _, w, _ in corners) + pad
        bottom = min(y - h for _, y, _, h in corners) - pad
        top = max(y + h for _, y, _, h in corners) + pad
        axes.add_patch(
            Rectangle(
                (left, bottom), right - left, top - bottom, fill=False, linestyle="--",
                edgecolor="#8a97ad", zorder=1,
            )
        )  # fmt: skip
        axes.text(
            left + 0.05, top, box.title, fontsize=7, color="#5b6b86", va="bottom",
            parse_math=False,
        )  # fmt: skip
        _draw_frames(axes, box.inner, layout, at, depth + 1)

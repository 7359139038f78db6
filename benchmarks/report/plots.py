"""Plots: bars for each model, and the place under the roofline."""

from __future__ import annotations

import base64
import io
import math
import pathlib
from typing import Any

from ..records import Record, Results


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise ModuleNotFoundError(
            "[benchmarks] Plots need the package 'matplotlib', which is not installed. "
            "Install it with: pip install 'kbackend[viz]'"
        ) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _colors(results: Results) -> dict[str, Any]:
    """A colour for each peer, the same in all plots: kbackend's warm, the others' cool."""
    warm = ("#d9480f", "#f08c00", "#e03131", "#a61e4d")
    cool = ("#1c7ed6", "#0ca678", "#7048e8", "#495057", "#66a80f", "#1098ad")
    found: dict[str, Any] = {}
    for ours, palette in ((True, warm), (False, cool)):
        names = [peer["name"] for peer in results.running_peers() if peer["ours"] == ours]
        found |= {name: palette[at % len(palette)] for at, name in enumerate(names)}
    return found


def bars(results: Results) -> Any:
    """A figure with a panel for `fit` and one for `predict`; None if no model was measured."""
    records = results.select("macro")
    if not records:
        return None
    pyplot = _pyplot()
    colors = _colors(results)
    titles = {peer["name"]: peer["title"] for peer in results.peers}
    models = list(dict.fromkeys(record.case for record in records))
    figure, panels = pyplot.subplots(
        2, len(models), figsize=(1.2 + 2.2 * len(models), 6.5), squeeze=False
    )
    for line, phase in zip(panels, ("fit", "predict"), strict=True):
        for panel, model in zip(line, models, strict=True):
            own = [r for r in records if (r.case, r.phase) == (model, phase)]
            for at, record in enumerate(own):
                panel.bar(
                    at, record.least * 1e3, color=colors[record.peer], label=titles[record.peer]
                )
                # From the least to the median: the noise.
                panel.plot([at, at], [record.least * 1e3, record.median * 1e3], color="black")
            panel.set_title(f"{model}, {phase}", fontsize=10)
            panel.set_xticks([])
            panel.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel("ms per step")
    found: dict[str, Any] = {}
    for panel in panels.flat:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(found.values(), found, loc="lower center", ncols=len(found), frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    return figure


def _label(record: Record) -> str:
    return record.case if record.group == "macro" else record.case.rpartition(" ")[0]


def _roofline_points(results: Results) -> list[Record]:
    primitives = [r for r in results.select("micro", "primitives") if not r.peer.endswith(":numpy")]
    # Small sizes show the cost of a call, not that of the work.
    largest = {_label(record): record for record in primitives}
    models = [r for r in results.select("macro", "fit") if "flops" in r.extra]
    return [*largest.values(), *models]


def _speed(record: Record) -> float:
    return float(record.extra["flops"] / record.least / 1e9)


def _labels(points: list[Record]) -> dict[str, tuple[float, float]]:
    """Texts and their places: one for all primitives that are near, one for a model's fastest."""
    near: dict[object, list[Record]] = {}
    for record in points:
        if record.group == "macro":
            spot: object = record.case
        else:
            reach = record.extra["flops"] / record.extra["bytes"]
            spot = round(math.log(reach) * 3), round(math.log(_speed(record)) * 3)
        near.setdefault(spot, []).append(record)
    labels = {}
    for group in near.values():
        text = ", ".join(dict.fromkeys(map(_label, group)))
        top = max(group, key=_speed)
        labels[text] = (top.extra["flops"] / top.extra["bytes"], _speed(top))
    return labels


def roofline(results: Results) -> Any:
    """Models and primitives below what the machine reached; None without ceilings or points."""
    points = _roofline_points(results)
    if not results.ceilings or not points:
        return None
    pyplot = _pyplot()
    colors = _colors(results)
    figure, panel = pyplot.subplots(figsize=(9, 6))
    reach = [record.extra["flops"] / record.extra["bytes"] for record in points]
    low, high = min([0.05, *reach]) / 2, max([100.0, *reach]) * 2
    gemm = results.ceilings["gemm"]
    for name, style in (("memory", "-"), ("cache", "--")):
        bandwidth = results.ceilings[name]
        ridge = gemm / bandwidth
        panel.plot(
            [low, ridge, high],
            [low * bandwidth / 1e9, gemm / 1e9, gemm / 1e9],
            color="black",
            linestyle=style,
            linewidth=1,
            label=f"{name} {bandwidth / 1e9:.0f} GB/s, GEMM {gemm / 1e9:.0f} GFLOP/s",
        )
    seen = set()
    for record, intensity in zip(points, reach, strict=True):
        label = None if record.peer in seen else record.peer
        seen.add(record.peer)
        marker = "o" if record.group == "macro" else "."
        panel.plot(intensity, _speed(record), marker, color=colors[record.peer], label=label)
    for text, place in _labels(points).items():
        panel.annotate(text, place, fontsize=7, xytext=(4, 3), textcoords="offset points")
    panel.set(
        xscale="log", yscale="log", xlabel="FLOP per byte", ylabel="GFLOP/s",
        title="models (fit) and primitives under the roof of this machine",
    )  # fmt: skip
    panel.legend(fontsize=8)
    figure.tight_layout()
    return figure


FIGURES = {"bars": bars, "roofline": roofline}


def save(results: Results, folder: pathlib.Path) -> dict[str, str]:
    """Writes a PNG of each figure that the run has.

    Args:
        results: the run.
        folder: where to write, must exist.

    Returns:
        Name of each figure -> its SVG as a `data:` address, for a page that stands alone.

    Raises:
        ModuleNotFoundError: matplotlib is missing.
    """
    addresses = {}
    for name, draw in FIGURES.items():
        figure = draw(results)
        if figure is None:
            continue
        figure.savefig(folder / f"{name}.png", dpi=150)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg")
        _pyplot().close(figure)
        content = base64.b64encode(buffer.getvalue()).decode("ascii")
        addresses[name] = f"data:image/svg+xml;base64,{content}"
    return addresses

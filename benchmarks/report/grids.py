"""The tables of a run as plain data, which console, Markdown and HTML each draw in their way."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..records import Record, Results
from .quantities import least_and_median, number, quantity

MISSING = "–"

# More than this is no idle machine.
BUSY_CORES = 0.2


class Cell(NamedTuple):
    """Text of a cell; `best` if it is the best of its row."""

    text: str
    best: bool = False


class Grid(NamedTuple):
    """One table: `rows` have a cell for each of the `columns`, the first `words` of them text."""

    title: str
    note: str
    columns: list[str]
    rows: list[list[Cell]]
    words: int = 1


def baseline(records: list[Record], results: Results) -> float | None:
    """The least of the peers that are not kbackend; of all, if nobody else took part."""
    ours = {peer["name"] for peer in results.peers if peer["ours"]}
    others = [record.least for record in records if record.peer not in ours]
    return min(others or [record.least for record in records], default=None)


def _show(record: Record, base: float | None) -> str:
    if record.unit == "s":
        text = least_and_median(record.least, record.median, "s")
    else:
        text = quantity(record.least, record.unit)
    return f"{text} {record.least / base:.2f}×" if base else text


def _row(label: str, records: list[Record], results: Results, failed: set[str]) -> list[Cell]:
    # A ratio to itself says nothing.
    base = baseline(records, results) if len(records) > 1 else None
    best = min((record.least for record in records), default=None)
    cells = [Cell(label)]
    for peer in results.running_peers():
        own = next((record for record in records if record.peer == peer["name"]), None)
        if own is None:
            cells.append(Cell("failed" if peer["name"] in failed else MISSING))
        else:
            cells.append(Cell(_show(own, base), own.least == best))
    return cells


def _side_by_side(results: Results, group: str, phase: str | None, head: str) -> tuple[Any, Any]:
    """Columns and rows: a row for each case (and phase, if all are asked for), a peer a column."""
    records = results.select(group, phase)
    rows = []
    for case, each in dict.fromkeys((record.case, record.phase) for record in records):
        own = [record for record in records if (record.case, record.phase) == (case, each)]
        failed = {f["peer"] for f in results.failures if f["group"] == group and f["case"] == case}
        label = f"{case}, {each}" if phase is None else case
        rows.append(_row(label, own, results, failed))
    return [head, *(peer["title"] for peer in results.running_peers())], rows


_TIMES = "Least (median) of the repetitions; × is the ratio to the best peer that is not kbackend."


def _macro(results: Results) -> list[Grid]:
    return [
        Grid(f"{phase}, per step", _TIMES, *_side_by_side(results, "macro", phase, "model"))
        for phase in ("fit", "predict")
    ]


def _cliffs(results: Results) -> list[Grid]:
    return [
        Grid(
            f"cliffs, {phase}, per step", _TIMES, *_side_by_side(results, "cliffs", phase, "model")
        )
        for phase in ("fit", "predict")
    ]


def _layers(results: Results) -> list[Grid]:
    note = f"{_TIMES} A step is forward, backward and plain SGD."
    return [Grid("layers", note, *_side_by_side(results, "layers", None, "layer"))]


def _alone(results: Results, group: str, heads: list[str], note: str) -> list[Grid]:
    """Speeds of kernels alone, as multiples of PyTorch's."""
    records = results.select(group)
    ways = list(dict.fromkeys(record.peer for record in records))
    rows = []
    for case, phase in dict.fromkeys((record.case, record.phase) for record in records):
        own = {r.peer: r for r in records if (r.case, r.phase) == (case, phase)}
        least = min(r.least for r in own.values())
        base = own.get("torch")
        cells = [Cell(case), Cell(phase)]
        for way in ways:
            if way not in own:
                cells.append(Cell(MISSING))
                continue
            record = own[way]
            text = number(record.extra["flops"] / record.least / 1e9)
            if base and way != "torch":
                text += f" {base.least / record.least:.2f}×"
            cells.append(Cell(text, record.least == least))
        rows.append(cells)
    titles = [way.removeprefix("kbackend-").replace(":", ", ") for way in ways]
    return [Grid(group, note, [*heads, *titles], rows, words=2)]


def _convolutions(results: Results) -> list[Grid]:
    note = "GFLOP/s, counted for all methods as the operations of the direct one; × is the speed "
    note += "as a multiple of PyTorch's. The gradients are those in the input and in the filters."
    return _alone(results, "convolutions", ["convolution", "direction"], note)


def _products(results: Results) -> list[Grid]:
    note = "GFLOP/s; × is the speed as a multiple of PyTorch's. An attention is images x rows x "
    note += "heads x size of a head; exponentials are not counted."
    return _alone(results, "products", ["product", "direction"], note)


def _memory(results: Results) -> list[Grid]:
    note = "Peak of the resident memory of a process that trains the model, and its growth over "
    note += "the memory after the import; planned is what a compiler has laid out."
    return [Grid("memory", note, *_side_by_side(results, "memory", None, "model"))]


def _startup(results: Results) -> list[Grid]:
    columns, rows = _side_by_side(results, "startup", None, "start-up")
    for row in rows:
        row[0] = Cell(row[0].text.rpartition(",")[0])
    note = f"{_TIMES} The import comes on top of NumPy's. The first step comes with "
    note += "building the model. Installed is everything that pip brings along."
    return [Grid("start-up", note, columns, rows)]


def attainable(record: Record, ceilings: dict[str, float]) -> float:
    """FLOP/s under the roof for the record's intensity."""
    intensity = record.extra["flops"] / record.extra["bytes"]
    return min(ceilings["gemm"], intensity * ceilings["memory"])


def _beside_numpy(results: Results, engine: str, phase: str) -> list[tuple[Record, Record | None]]:
    records = results.select("micro", phase)
    raw = {record.case: record for record in records if record.peer == f"{engine}:numpy"}
    return [(record, raw.get(record.case)) for record in records if record.peer == engine]


def _primitive_rows(results: Results, engine: str) -> list[list[Cell]]:
    rows = []
    for own, raw in _beside_numpy(results, engine, "primitives"):
        speed = own.extra["flops"] / own.least
        share = speed / attainable(own, results.ceilings)
        against = f"{own.least / raw.least:.2f}×" if raw else MISSING
        size = own.case.rpartition(" ")
        rows.append(
            [
                Cell(size[0]),
                Cell(size[2]),
                Cell(least_and_median(own.least, own.median, "s")),
                Cell(against),
                Cell(number(speed / 1e9)),
                Cell(number(own.extra["bytes"] / own.least / 1e9)),
                Cell(f"{share:.0%}"),
            ]
        )
    return rows


def _micro(results: Results) -> list[Grid]:
    grids = []
    for engine in (peer["name"] for peer in results.running_peers() if peer["ours"]):
        rows = [
            [
                Cell(own.case),
                Cell(quantity(own.least, "s")),
                Cell(quantity(raw.least, "s") if raw else MISSING),
                Cell(quantity(own.least - raw.least, "s") if raw else MISSING),
            ]
            for phase in ("dispatch", "calls")
            for own, raw in _beside_numpy(results, engine, phase)
        ]
        note = "Eager ops on a (1, 32) tensor; a net of three Dense layers on one row."
        grids.append(
            Grid(f"calls, {engine}", note, ["call", "time", "NumPy alone", "difference"], rows)
        )
        columns = ["primitive", "elements", "time", "to NumPy", "GFLOP/s", "GB/s", "of the roof"]
        note = "The roof is the GEMM of this run or its memory bandwidth times the intensity; "
        note += "within caches more than all of it can be reached."
        rows = _primitive_rows(results, engine)
        grids.append(Grid(f"primitives, {engine}", note, columns, rows))
    return grids


def _limits(results: Results) -> list[Grid]:
    gemm, memory = results.ceilings.get("gemm", 0.0), results.ceilings.get("memory", 0.0)
    rows = []
    for record in results.select("limits"):
        products = record.extra["flops"] / gemm
        moved = record.extra["bytes"] / memory
        kernels = list(record.extra["kernels"].items())[:4]
        largest = ", ".join(f"{name} {quantity(seconds, 's')}" for name, seconds in kernels)
        rows.append(
            [
                Cell(record.case),
                Cell(record.peer),
                Cell(quantity(record.least, "s")),
                Cell(quantity(products, "s")),
                Cell(quantity(moved, "s")),
                Cell(f"{record.least / (products + moved):.2f}×"),
                Cell(largest),
            ]
        )
    note = (
        "Operations at the speed of the machine's matrix product, bytes that the kernels read and "
    )
    note += "write at the speed of its memory; a step that keeps to its caches can be faster than "
    note += "both. The largest kernels are timed one by one."
    columns = ["model", "engine", "a step", "operations", "bytes", "to the sum", "largest kernels"]
    return [Grid("distance to the machine's limit, fit", note, columns, rows)]


_BUILDERS = {
    "macro": _macro,
    "cliffs": _cliffs,
    "layers": _layers,
    "convolutions": _convolutions,
    "products": _products,
    "micro": _micro,
    "startup": _startup,
    "memory": _memory,
    "limits": _limits,
}


def peers_grid(results: Results) -> Grid:
    """Who took part with which versions and threads, and who is missing and how to get it."""
    rows = []
    for peer in results.peers:
        if peer["status"] == "ok":
            versions = ", ".join(f"{name} {v}" for name, v in peer["versions"].items())
            rows.append([Cell(peer["name"]), Cell(versions), Cell(peer.get("threads", ""))])
        else:
            reason = f"{peer['status']}: {peer['reason']}"
            rows.append([Cell(peer["name"]), Cell(reason), Cell(peer["install"])])
    return Grid("peers", "", ["peer", "versions", "threads, or how to get it"], rows, words=3)


def grids(results: Results) -> list[Grid]:
    """All tables of a run that have rows, the peers first."""
    found = [grid for build in _BUILDERS.values() for grid in build(results) if grid.rows]
    return [peers_grid(results), *found]


def check_lines(results: Results) -> list[str]:
    """Whether the losses agree, in a line, and a line for each that doesn't; then the failures."""
    lines = []
    wrong = [check for check in results.checks if not check["agrees"]]
    for check in wrong:
        lines.append(
            f"WRONG: the losses of {check['case']} on {check['peer']} differ by "
            f"{check['difference']}: {check['losses']}"
        )
    if results.checks and not wrong:
        most = max(results.checks, key=lambda check: check["difference"])
        lines.append(
            f"The losses of the first {len(most['losses'])} steps agree between all peers; largest "
            f"relative difference {most['difference']:.1e} ({most['case']}, {most['peer']})."
        )
    for failure in results.failures:
        lines.append(
            f"FAILED: {failure['group']} {failure['case']} on {failure['peer']}: {failure['error']}"
        )
    return lines


def busy_lines(results: Results) -> list[str]:
    """A warning, if others were at work before or after the run."""
    busy = max(results.machine.get(name) or 0.0 for name in ("busy_cores", "busy_cores_after"))
    if busy <= BUSY_CORES:
        return []
    cores = results.machine["cores"]
    return [
        f"BUSY: others used {busy:.1f} of {cores} cores before or after this run; its times are "
        "long and its ratios off."
    ]


def machine_lines(results: Results) -> list[str]:
    """The machine, in a few lines."""
    machine, settings = results.machine, results.settings
    load = machine.get("load_average") or [0.0]
    cores = f"{machine['usable_cores']} of {machine['cores']} cores"
    memory = machine.get("memory_bytes")
    lines = [
        f"{machine['cpu']}, {cores}" + (f", {quantity(memory, 'bytes')} memory" if memory else ""),
        *machine.get("gpus", []),
        f"{machine['system']}; load average {load[0]:.2f}; {machine['date']}",
        f"threads: {settings['threads']}; repetitions: {settings['repeats']}"
        + ("; quick" if settings["quick"] else ""),
    ]
    lines += busy_lines(results)
    if machine["environment"]:
        lines.append("; ".join(f"{k}={v}" for k, v in machine["environment"].items()))
    if results.ceilings:
        lines.append(
            "ceilings of this run: GEMM {gemm:.0f} GFLOP/s, memory {memory:.0f} GB/s, "
            "caches {cache:.0f} GB/s".format(**{k: v / 1e9 for k, v in results.ceilings.items()})
        )
    return lines

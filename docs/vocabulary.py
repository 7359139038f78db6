"""Writes the tables of `docs/design/primitives.md` from the code: `python docs/vocabulary.py`.

The text around the tables is written by hand and is left alone.
"""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "design" / "primitives.md"
sys.path.insert(0, str(ROOT))

from kbackend import ops  # noqa: E402 - attaches the rules as well
from kbackend.core import lang  # noqa: E402
from kbackend.core.composite import COMPOSITES, Composite  # noqa: E402
from kbackend.core.primitive import NO_GRADIENT, PRIMITIVES, Primitive  # noqa: E402

# Families in the order of the page, and what each is about.
FAMILIES = {
    "elementwise": "Element by element",
    "reduce": "Reductions",
    "contract": "Contraction",
    "conv": "Convolution, channels last",
    "window": "Windows, channels last",
    "movement": "Movement",
    "index": "Indexing",
    "create": "Creation",
    "scan": "Scans",
    "sort": "Sorting",
    "random": "Random bits",
    "linalg": "Linear algebra, on stacks of matrices",
}


def _first_line(obj: object) -> str:
    text = (inspect.getdoc(obj) or "").split("\n", 1)[0].rstrip(".")
    return text.replace("|", "\\|")


def _binder(name: str) -> object:
    """The function of `kbackend.core.lang`; names that are Python's have an underscore there."""
    return getattr(lang, name, None) or getattr(lang, f"{name}_")


def _arguments(fn: object) -> str:
    names = (name.rstrip("_") for name in inspect.signature(fn).parameters)  # type: ignore[arg-type]
    return ", ".join(names)


def _primitive_rows(primitives: list[Primitive]) -> Iterator[str]:
    yield "| primitive | what it gives | gradient |"
    yield "|---|---|---|"
    for p in sorted(primitives, key=lambda p: p.name):
        binder = _binder(p.name)
        gradient = "none" if p.vjp_rule is NO_GRADIENT else "yes"
        yield f"| `{p.name}({_arguments(binder)})` | {_first_line(binder)} | {gradient} |"


def primitive_tables() -> str:
    """A table for each family of primitives."""
    unknown = {p.kind for p in PRIMITIVES.values()} - set(FAMILIES)
    if unknown:
        raise ValueError(f"[docs/vocabulary.py] add to FAMILIES: {sorted(unknown)}.")
    lines = [f"There are {len(PRIMITIVES)} primitives.", ""]
    for kind, title in FAMILIES.items():
        members = [p for p in PRIMITIVES.values() if p.kind == kind]
        modules = sorted({p.shape_rule.__module__ for p in members if p.shape_rule is not None})
        own = [m for m in modules if m != "kbackend.prim.common"] or modules
        files = ", ".join(f"`{module.replace('.', '/')}.py`" for module in own)
        lines += [f"### {title}", "", f"Kind `{kind}`; rules in {files}.", ""]
        lines += [*_primitive_rows(members), ""]
    return "\n".join(lines)


def _load_composites() -> None:
    """Imports every module that defines a composite."""
    for file in sorted((ROOT / "kbackend").rglob("*.py")):
        if "core.composite import" in file.read_text(encoding="utf-8"):
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def _meaning(composite: Composite) -> str:
    public = getattr(ops, composite.name, None)
    return _first_line(composite.body) or (_first_line(public) if public else "As the name says")


def composite_table() -> str:
    """A table of all composites."""
    _load_composites()
    lines = ["| composite | what it gives | gradient | file |", "|---|---|---|---|"]
    for name, composite in sorted(COMPOSITES.items()):
        file = f"{composite.body.__module__.replace('.', '/')}.py"
        gradient = "the body's" if composite.vjp is None else "its own"
        lines.append(f"| `{name}` | {_meaning(composite)} | {gradient} | `{file}` |")
    return "\n".join([*lines, ""])


def current_text(text: str) -> str:
    """The page with its tables as the code has them now."""
    for key, table in (("primitives", primitive_tables()), ("composites", composite_table())):
        begin, end = f"<!-- begin {key} -->\n", f"<!-- end {key} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"[docs/vocabulary.py] {PAGE} has lost its markers of {key}.")
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def main() -> None:
    """Writes the page."""
    PAGE.write_text(current_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

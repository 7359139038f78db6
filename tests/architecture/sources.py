"""The source files and what their syntax trees say, for the tests of the architecture."""

import ast
import functools
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("kbackend", "kbackend_numpy", "kbackend_numba", "kbackend_cupy")


class Import(NamedTuple):
    """One imported module; `nested` if inside a function, a class or a branch."""

    module: str
    line: int
    nested: bool


@functools.cache
def files(*packages: str) -> tuple[Path, ...]:
    """The Python files of the packages that exist."""
    return tuple(path for package in packages for path in sorted((ROOT / package).rglob("*.py")))


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _walk(node: ast.AST, nested: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        if _is_type_checking(child):
            continue
        yield child, nested
        yield from _walk(child, nested or not isinstance(child, ast.Module))


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, except those for type checkers alone."""
    for node, nested in _walk(tree(path), False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, nested)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_name(path).split(".")
                keep = len(package) - node.level + (path.name == "__init__.py")
                base = ".".join([*package[:keep], *([base] if base else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Import(full if is_module(full) else base, node.lineno, nested)


@functools.cache
def floors() -> dict[str, int]:
    """Name of each module right under `kbackend` -> its floor, the ground being 0."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return {
        name.strip(" ()"): floor
        for floor, line in enumerate(reversed(layers))
        for name in line.split(":")
    }

"""Every CuPy name in the sources exists in the real wheel, and takes the arguments it is given."""

import ast
import importlib.util
import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import cupy_api
from tests.engines.cupy_stand_in import NAMES, signature_of

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    [*(ROOT / "kbackend_cupy").rglob("*.py"), *(ROOT / "kbackend/engine/array_module").glob("*.py")]
)

# How the sources call the modules: `xp` is NumPy or CuPy.
ROOTS = {
    "xp": "cupy", "cp": "cupy", "cupy": "cupy", "cpx": "cupyx", "cupyx": "cupyx",
    "runtime": "cupy.cuda.runtime",
}  # fmt: skip
# Values with attributes of their own.
BEYOND = "cupy.__version__"


def chain(node: ast.expr) -> str | None:
    """The dotted CuPy name that an expression spells, such as "cupy.linalg.qr"."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Name) and node.id == "self" and parts[:1] == ["_cp"]:
        return ".".join(["cupy", *parts[1:]]) if parts[1:] else None
    if isinstance(node, ast.Name) and node.id in ROOTS and parts:
        return ".".join([ROOTS[node.id], *parts])
    return None


def uses(tree: ast.Module) -> Iterator[tuple[int, str, ast.Call | None]]:
    """Line, dotted name and, where it is called there, the call."""
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            name = chain(node)
            if name is not None:
                yield node.lineno, name, calls.get(id(node))


def faults(text: str) -> list[str]:
    """What a source text gets wrong about CuPy."""
    found = []
    for line, name, call in uses(ast.parse(text)):
        if name.startswith(BEYOND):
            continue
        if name not in NAMES:
            found.append(f"line {line}: {name} does not exist")
            continue
        signature = signature_of(name)
        if call is None or signature is None:
            continue
        if any(isinstance(arg, ast.Starred) for arg in call.args):
            continue
        keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg}
        try:
            signature.bind(*call.args, **keywords)
        except TypeError as error:
            found.append(f"line {line}: {name}{signature}: {error}")
    return found


def used_names() -> set[str]:
    return {
        name
        for path in SOURCES
        for _, name, _ in uses(ast.parse(path.read_text(encoding="utf-8")))
        if not name.startswith(BEYOND)
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_and_signatures(path):
    assert not faults(path.read_text(encoding="utf-8"))


def test_the_check_sees_names():
    names = used_names()
    assert {"cupy.linalg.qr", "cupy.lib.stride_tricks.as_strided", "cupy.add.at"} <= names
    assert len(names) > 50


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("xp.unstack(x)", "cupy.unstack does not exist"),
        ("cp.linalg.vector_norm(x)", "cupy.linalg.vector_norm does not exist"),
        ("xp.sum(x, axis=0, initial=1)", "initial"),
        ("xp.add(x, y, where=m)", "where"),
        ("xp.take(x, i, axis=0, mode='clip')", "mode"),
        ("xp.zeros(3, device='gpu')", "device"),
        ("xp.errstate(all='ignore')", "does not exist"),
        ("self._cp.vecdot(x, y)", "cupy.vecdot does not exist"),
    ],
)
def test_the_check_finds(text, fault):
    (found,) = faults(text)
    assert fault in found


def test_the_check_lets_pass():
    assert not faults("xp.sum(x, axis=(0, 1), keepdims=True)\nxp.add(x, y, out=z)\nxp.float32")


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy is not installed")
def test_snapshot_is_that_of_the_wheel():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        current = cupy_api.collect()
    noted = cupy_api.read()
    if current["version"] != noted["version"]:
        # Another version may have more; what the sources use must be the same in it.
        used = used_names()
        assert {name: current["names"].get(name) for name in used} == {
            name: noted["names"][name] for name in used
        }
        return
    assert current["names"] == noted["names"], "run: python tests/engines/cupy_api.py"


def test_signatures_read_back():
    def example(a, /, b, c=1, *args, d, e=2, **rest):
        pass

    noted = cupy_api.parameters(inspect.signature(example))
    assert noted == ["a", "/", "b", "c?", "*args", "d", "e?", "**rest"]

    def keyword_only(a, *, b=1):
        pass

    assert cupy_api.parameters(inspect.signature(keyword_only)) == ["a", "*", "b?"]

"""Imports go down the floors, at the top of the file; engines stay apart; files stay small."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import kbackend
from tests.architecture import sources

# Files that import kbackend modules while they run, with the reason.
LAZY: dict[str, str] = {
    "kbackend/base/lazy.py": "imports the public names when they are first asked for",
    "kbackend/base/serialization.py": "imports the module of a class that a config names",
    "kbackend/engine/loader.py": "imports the engine that was chosen",
    "kbackend/cli.py": "imports the command that was called",
}
# The roof: they hand out what is below.
ROOF = {"kbackend/__init__.py", "kbackend/_api.py", "kbackend/_version.py"}

ENGINE_NAMES = {"numpy", "numba", "cupy"}
# Files in which an engine's name is data, with the reason.
NAMES_AS_DATA = {
    "kbackend/engine/loader.py": "the table of built-in engines",
    "kbackend/cli.py": "packages whose versions are shown",
}

KBACKEND = sources.files("kbackend")
ENGINES = sources.files("kbackend_numpy", "kbackend_numba", "kbackend_cupy")


def relative(path: Path) -> str:
    return path.relative_to(sources.ROOT).as_posix()


def floor_of(module: str) -> int | None:
    parts = module.split(".")
    return sources.floors()[parts[1]] if len(parts) > 1 else None


def test_every_folder_has_a_floor() -> None:
    names = {path.relative_to(sources.ROOT / "kbackend").parts[0] for path in KBACKEND}
    found = {name.removesuffix(".py") for name in names} - {"__init__", "_api", "_version"}
    assert found <= set(sources.floors()), "give it a place in pyproject.toml, tool.importlinter"


@pytest.mark.parametrize("path", KBACKEND, ids=relative)
def test_imports_go_down(path: Path) -> None:
    if relative(path) in ROOF:
        return
    own = floor_of(sources.module_name(path))
    wrong = []
    for found in sources.imports(path):
        if found.module.split(".")[0] != "kbackend":
            continue
        if found.module in ("kbackend", "kbackend._version", "kbackend._api"):
            # The package itself hands out everything, so only the roof may ask it.
            if found.module != "kbackend._version":
                wrong.append(f"line {found.line}: {found.module}")
            continue
        floor = floor_of(found.module)
        assert own is not None and floor is not None
        if floor > own:
            wrong.append(f"line {found.line}: {found.module} is on a higher floor")
    assert not wrong


@pytest.mark.parametrize("path", (*KBACKEND, *ENGINES), ids=relative)
def test_imports_stand_at_the_top(path: Path) -> None:
    nested = [
        f"line {found.line}: {found.module}"
        for found in sources.imports(path)
        if found.nested and found.module.split(".")[0] in sources.PACKAGES
    ]
    assert not nested, "import at the top of the file; turn a cycle around by a hook or a registry"


@pytest.mark.parametrize("path", (*KBACKEND, *ENGINES), ids=relative)
def test_nothing_is_imported_by_a_computed_name(path: Path) -> None:
    if relative(path) in LAZY:
        return
    calls = [
        f"line {node.lineno}"
        for node in ast.walk(sources.tree(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("importlib.import_module", "import_module", "__import__")
        and _imports_kbackend(node)
    ]
    assert not calls


def _imports_kbackend(call: ast.Call) -> bool:
    """Unless the argument is a literal that names somebody else's package."""
    argument = call.args[0] if call.args else None
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value.split(".")[0] in sources.PACKAGES
    return True


@pytest.mark.parametrize("path", KBACKEND, ids=relative)
def test_no_star_imports(path: Path) -> None:
    if path.name == "__init__.py":
        return
    stars = [
        node.lineno
        for node in ast.walk(sources.tree(path))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]
    assert not stars


@pytest.mark.parametrize("path", KBACKEND, ids=relative)
def test_kbackend_imports_no_engine(path: Path) -> None:
    engines = set(sources.PACKAGES[1:])
    assert not [
        f"line {found.line}: {found.module}"
        for found in sources.imports(path)
        if found.module.split(".")[0] in engines
    ]


@pytest.mark.parametrize("path", ENGINES, ids=relative)
def test_engines_see_the_seam_alone(path: Path) -> None:
    allowed = ("kbackend.engine", "kbackend.base")
    wrong = [
        f"line {found.line}: {found.module}"
        for found in sources.imports(path)
        if found.module.split(".")[0] == "kbackend" and not found.module.startswith(allowed)
    ]
    assert not wrong


def _names_an_engine(node: ast.AST) -> bool:
    values = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return any(isinstance(v, ast.Constant) and v.value in ENGINE_NAMES for v in values)


@pytest.mark.parametrize("path", KBACKEND, ids=relative)
def test_no_branch_on_the_name_of_an_engine(path: Path) -> None:
    if relative(path) in NAMES_AS_DATA:
        return
    found = []
    for node in ast.walk(sources.tree(path)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        elif isinstance(node, ast.Dict):
            sides = [key for key in node.keys if key is not None]
        else:
            continue
        if any(_names_an_engine(side) for side in sides):
            found.append(f"line {node.lineno}: {ast.unparse(node)[:80]}")
    assert not found, "ask engine.supports(...) or add a hook to the interface"


@pytest.mark.parametrize("path", (*KBACKEND, *ENGINES), ids=relative)
def test_source_files_stay_small(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 600, "split it by family"


@pytest.mark.parametrize("path", sources.files("tests"), ids=relative)
def test_test_files_stay_small(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 1000, "split it by what is tested"


@pytest.mark.parametrize("path", (*KBACKEND, *ENGINES), ids=relative)
def test_no_assert_no_print_no_bare_not_implemented(path: Path) -> None:
    found = []
    for node in ast.walk(sources.tree(path)):
        if isinstance(node, ast.Assert):
            found.append(f"line {node.lineno}: assert")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "exec", "eval"):
            found.append(f"line {node.lineno}: {ast.unparse(node.func)}()")
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = ast.unparse(node.exc)
            if raised in ("NotImplementedError", "NotImplementedError()"):
                found.append(f"line {node.lineno}: NotImplementedError without a reason")
    assert not found


@pytest.mark.parametrize("name", sorted([*LAZY, *NAMES_AS_DATA]))
def test_exceptions_are_still_there(name: str) -> None:
    assert (sources.ROOT / name).is_file(), "take it off the list"


def _packages() -> list[str]:
    found = pkgutil.walk_packages(kbackend.__path__, "kbackend.")
    # Rules have no public names; their modules are named after the families.
    return [m.name for m in found if m.ispkg and m.name != "kbackend.prim"]


# Namespaces that are meant to be found as attributes of their package.
_NAMESPACES = {
    "kbackend.ops": {"image", "linalg", "nn", "numpy"},
    "kbackend.optimizers": {"legacy", "schedules"},
}


@pytest.mark.parametrize("package", _packages())
def test_no_module_hides_a_public_name(package):
    # Importing `package.name` would set the attribute `name` of the package to the module.
    module = importlib.import_module(package)
    modules = {m.name for m in pkgutil.iter_modules(module.__path__)}
    hidden = modules & set(getattr(module, "__all__", ())) - _NAMESPACES.get(package, set())
    assert not hidden, f"rename these modules of {package}: {sorted(hidden)}"

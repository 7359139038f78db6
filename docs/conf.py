"""The documentation site: `python -m sphinx -W -b html docs docs/_build`."""

import fnmatch
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from kbackend import __version__  # noqa: E402
from kbackend._api import NAMESPACES  # noqa: E402

project = "kbackend"
author = "the kbackend authors"
copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# In docstrings single backticks mark code.
default_role = "code"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Reference", "References", ("Call arguments", "params_style")]
# "Attributes:" of a dataclass would otherwise describe its fields a second time.
napoleon_use_ivar = True
autodoc_typehints = "signature"
# The same object is shown in every namespace that hands it out.
autodoc_default_options = {"members": True, "imported-members": True, "undoc-members": False}


# Public modules inside the namespaces whose names are not all in the namespace itself.
INNER = ("legacy.saving", "optimizers.schedules", "preprocessing.*", "utils.bounding_boxes")


def attributes_of(module: str) -> dict[str, Any]:
    """Public name -> value."""
    loaded = importlib.import_module(module)
    found = {}
    for name in getattr(loaded, "__all__", None) or dir(loaded):
        try:
            if not name.startswith("_"):
                found[name] = getattr(loaded, name)
        except ImportError:  # it needs a package that is not installed here
            continue
    return found


def public_modules() -> dict[str, str]:
    """Public name -> module, of the namespaces that there are and of what is public inside."""
    found = {}
    for name, module in NAMESPACES.items():
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            continue
        found[name] = module
        for value in attributes_of(module).values():
            inner = getattr(value, "__name__", "") if inspect.ismodule(value) else ""
            public = inner.removeprefix("kbackend.")
            listed = any(fnmatch.fnmatch(public, pattern) for pattern in INNER)
            if listed or (name == "datasets" and hasattr(value, "load_data")):
                found[public] = inner
    return found


def classes_of(module: str) -> dict[str, type]:
    """The public classes of a module, under their own names."""
    found = attributes_of(module)
    return {n: c for n, c in found.items() if inspect.isclass(c) and c.__name__ == n}


def homes_of_classes(modules: dict[str, str]) -> dict[type, str]:
    """Class -> the namespace that describes it: the one it is written in, else the first."""
    homes: dict[type, str] = {}
    for name, module in sorted(modules.items()):
        for cls in classes_of(module).values():
            if f"{cls.__module__}.".startswith(f"{module}."):
                homes[cls] = name
            homes.setdefault(cls, name)
    return homes


def page_of(name: str, module: str, homes: dict[type, str]) -> str:
    """The page of a namespace. A class has its description in one namespace only."""
    title = f"kbackend.{name}"
    lines = [title, "=" * len(title), "", f".. automodule:: {module}"]
    if "." in name and not hasattr(importlib.import_module(module), "__all__"):
        lines.append("   :no-imported-members:")
    others = {n: homes[c] for n, c in classes_of(module).items() if homes[c] != name}
    if others:
        lines += [
            f"   :exclude-members: {', '.join(sorted(others))}",
            "",
            "Described elsewhere:",
            "",
        ]
        lines += [f"- :class:`kbackend.{home}.{n}`" for n, home in sorted(others.items())]
    return "\n".join([*lines, ""])


def write_api_pages() -> None:
    """One page for each public namespace, so that the list can't fall behind the code."""
    folder = HERE / "api" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    modules = public_modules()
    homes = homes_of_classes(modules)
    written = set()
    for name, module in modules.items():
        page = folder / f"{name}.rst"
        text = page_of(name, module, homes)
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
        written.add(page)
    for page in set(folder.glob("*.rst")) - written:
        page.unlink()


write_api_pages()

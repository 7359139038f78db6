"""The documentation site: `python -m sphinx -W -b html docs docs/_build`."""

import importlib.util
import sys
from pathlib import Path

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


def write_api_pages() -> None:
    """One page for each public namespace, so that the list can't fall behind the code."""
    folder = HERE / "api" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    written = set()
    for name, module in sorted(NAMESPACES.items()):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            continue
        title = f"kbackend.{name}"
        page = folder / f"{name}.rst"
        text = f"{title}\n{'=' * len(title)}\n\n.. automodule:: {module}\n"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
        written.add(page)
    for page in set(folder.glob("*.rst")) - written:
        page.unlink()


write_api_pages()

"""The example scripts as modules, on kbackend or on real Keras."""

import pathlib
import types

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "examples"
IMPORT = "import kbackend as keras\n"


def load(name, package="kbackend"):
    """The example as a module; for `package="keras"` with that one import changed."""
    path = FOLDER / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    changed = source.replace(IMPORT, f"import {package} as keras\n").replace(
        "from kbackend import ops\n", f"from {package} import ops\n"
    )
    module = types.ModuleType(f"examples_{name}_on_{package}")
    module.__file__ = str(path)
    exec(compile(changed, str(path), "exec"), module.__dict__)  # noqa: S102 - a file of ours
    return module

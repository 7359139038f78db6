"""A snapshot of CuPy's public names and signatures, so that tests need no CuPy to know them.

Write it anew, with the wheel installed (it imports without a driver):

    python tests/engines/cupy_api.py
"""

from __future__ import annotations

import importlib
import inspect
import json
import pathlib
import types
import warnings
from typing import Any

PATH = pathlib.Path(__file__).with_name("cupy_api.json")

# The modules whose names are listed, and the classes whose attributes are.
MODULES = (
    "cupy", "cupy.cuda", "cupy.cuda.compiler", "cupy.cuda.memory", "cupy.cuda.nvrtc",
    "cupy.cuda.runtime", "cupy.fft", "cupy.lib", "cupy.lib.stride_tricks", "cupy.linalg", "cupyx",
)  # fmt: skip
CLASSES = ("cupy.ndarray", "cupy.ElementwiseKernel", "cupy.add", "cupy.cuda.Device")

# Functions compiled without a signature. CuPy's documentation gives these.
COMPILED = {
    "cupy.add.at": "a indices b=None",
    "cupy.ndarray.argmax": "axis=None out=None dtype=None keepdims=False",
    "cupy.ndarray.astype": "dtype order='K' casting=None subok=None copy=True",
    "cupy.ndarray.copy": "order='C'",
    "cupy.ndarray.dot": "b out=None",
    "cupy.ndarray.fill": "value",
    "cupy.ndarray.reshape": "*shape order='C'",
    "cupy.ndarray.transpose": "*axes",
    "cupy.ndarray.swapaxes": "axis1 axis2",
    "cupy.ndarray.view": "dtype=None type=None",
}


def _compiled(text: str) -> list[str]:
    return [word.partition("=")[0] + ("?" if "=" in word else "") for word in text.split()]


def parameters(signature: inspect.Signature) -> list[str]:
    """Names of parameters: `name?` if there is a default, `*name` and `**name` as in Python,
    `/` after those that take no keyword, `*` before those that take nothing else."""
    found: list[str] = []
    kinds = inspect.Parameter
    previous: Any = None
    for parameter in signature.parameters.values():
        kind = parameter.kind
        if previous is kinds.POSITIONAL_ONLY and kind is not kinds.POSITIONAL_ONLY:
            found.append("/")
        if kind is kinds.KEYWORD_ONLY and previous not in (
            kinds.KEYWORD_ONLY,
            kinds.VAR_POSITIONAL,
        ):
            found.append("*")
        stars = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}.get(kind, "")
        optional = "?" if parameter.default is not kinds.empty else ""
        found.append(f"{stars}{parameter.name}{optional}")
        previous = kind
    return [*found, "/"] if previous is kinds.POSITIONAL_ONLY else found


def entry(name: str, value: Any, cupy: Any) -> Any:
    """What is noted about a name: a kind, or the list of its parameters."""
    if isinstance(value, types.ModuleType):
        return "module"
    if isinstance(value, cupy.ufunc):
        # Neither `where=` nor `subok=`.
        inputs = [f"x{i}" for i in range(value.nin)]
        return [*inputs, "/", "out?", "*", "casting?", "dtype?"]
    if type(value).__name__ == "_GUFunc":
        return ["x1", "x2", "/", "out?", "*", "axes?", "axis?", "keepdims?", "casting?", "dtype?"]
    if name in COMPILED:
        return _compiled(COMPILED[name])
    if not callable(value):
        return "value"
    if isinstance(value, type):
        return "class"
    try:
        return parameters(inspect.signature(value))
    except (TypeError, ValueError):
        return "compiled"


def _module(name: str) -> Any:
    """A module; some have another one's name in CuPy."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        parent, _, own = name.rpartition(".")
        return getattr(importlib.import_module(parent), own)


def collect() -> dict[str, Any]:
    """The snapshot of the installed wheel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cupy = importlib.import_module("cupy")
        names: dict[str, Any] = {}
        for module_name in MODULES:
            module = _module(module_name)
            for name in dir(module):
                if not name.startswith("_"):
                    full = f"{module_name}.{name}"
                    names[full] = entry(full, getattr(module, name), cupy)
        for class_name in CLASSES:
            module_name, _, attribute = class_name.rpartition(".")
            cls = getattr(importlib.import_module(module_name), attribute)
            for name in dir(cls):
                if not name.startswith("_"):
                    full = f"{class_name}.{name}"
                    names[full] = entry(full, getattr(cls, name), cupy)
    return {"version": cupy.__version__, "names": dict(sorted(names.items()))}


def read() -> dict[str, Any]:
    """The snapshot in the repository."""
    found: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def dump(snapshot: dict[str, Any]) -> str:
    """The snapshot as text, a line per name."""
    lines = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in snapshot["names"].items()
    )
    version = json.dumps(snapshot["version"])
    return f'{{\n  "version": {version},\n  "names": {{\n{lines}\n  }}\n}}\n'


if __name__ == "__main__":
    PATH.write_text(dump(collect()), encoding="utf-8")
    print(f"wrote {PATH}")

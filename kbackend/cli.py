"""The command line: `python -m kbackend config|info|cache|demo|bench`."""

import argparse
import importlib
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kbackend._version import __version__
from kbackend.base.config import Setting, config_path, settings
from kbackend.base.errors import KBackendError, MissingPackageError
from kbackend.base.flags import limits
from kbackend.base.threads import thread_setting
from kbackend.engine.disk_cache import caches
from kbackend.engine.disk_cache import root as cache_root
from kbackend.engine.loader import configured_backend, installed_backends

# Commands that read their own arguments: name -> (`module:function`, help).
DELEGATED = {
    "demo": ("kbackend.demo:main", "train a small convnet on the digits, save it, load it, use it"),
    "bench": ("kbackend_bench.cli:main", "measure engines beside Keras and PyTorch"),
}
# Packages of the wheel that are folders of another name in the source tree.
FOLDERS = {"kbackend_bench": "benchmarks"}

ENVIRONMENT = (
    "KBACKEND",
    "KERAS_BACKEND",
    "KERAS_HOME",
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KBACKEND_CACHE_DIR",
    "KBACKEND_NUM_THREADS",
    "KBACKEND_MEMORY_LIMIT",
    "KBACKEND_CONVOLUTION",
    "KBACKEND_CPU_LEVEL",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
)
PACKAGES = (
    "numpy",
    "h5py",
    "ml_dtypes",
    "numba",
    "cupy-cuda13x",
    "cupy-cuda12x",
    "nvidia-cudnn-frontend",
    "nvidia-cudnn-cu13",
    "nvidia-cudnn-cu12",
    "keras",
)


def _settings() -> list[Setting]:
    return [configured_backend(), *settings(), *limits(), thread_setting()]


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _blas() -> str:
    built_with: Any = np.show_config(mode="dicts")
    blas = built_with.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _engines() -> list[dict[str, Any]]:
    return [
        {"name": name, "usable": probe.usable, "reason": probe.reason, "mend": probe.mend}
        for name, probe in installed_backends().items()
    ]


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}


def _as_json(content: Any) -> str:
    return json.dumps(content, indent=2, default=str)


def show_config(console: Console, as_json: bool) -> None:
    """Print each setting, its value and where it came from.

    Args:
        console: where to print.
        as_json: print one JSON object instead of a table.
    """
    found = _settings()
    path = config_path()
    exists = os.path.exists(path)
    if as_json:
        content = {
            "file": path,
            "file_exists": exists,
            "settings": [setting._asdict() for setting in found],
        }
        console.out(_as_json(content), highlight=False)
        return
    table = Table(title="kbackend settings", title_justify="left")
    for heading in ("setting", "value", "source"):
        table.add_column(heading, overflow="fold")
    for setting in found:
        table.add_row(setting.name, str(setting.value), escape(setting.source))
    console.print(table)
    state = "read" if exists else "absent, defaults hold"
    console.print(f"settings file: {path} ({state})", highlight=False, markup=False, soft_wrap=True)


def show_info(console: Console, as_json: bool) -> None:
    """Print the engines and whether they can run here, versions, processors and environment.

    Args:
        console: where to print.
        as_json: print one JSON object instead of tables.
    """
    chosen = configured_backend()
    machine = {
        "kbackend": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": _processors(),
        "blas of numpy": _blas(),
        **_versions(),
    }
    if as_json:
        content = {
            "backend": chosen._asdict(),
            "engines": _engines(),
            "machine": machine,
            "environment": _environment(),
        }
        console.out(_as_json(content), highlight=False)
        return
    engines = Table(title="engines", title_justify="left")
    for heading in ("engine", "usable", "why not"):
        engines.add_column(heading, overflow="fold")
    for engine in _engines():
        mark = " (chosen)" if engine["name"] == chosen.value else ""
        why = f"{engine['reason']} {engine['mend']}".strip()
        engines.add_row(engine["name"] + mark, "yes" if engine["usable"] else "no", escape(why))
    console.print(engines)
    for title, rows in (("this machine", machine), ("environment", _environment())):
        table = Table(title=title, title_justify="left", show_header=False)
        for name, value in rows.items():
            table.add_row(name, escape(str(value)))
        if rows:
            console.print(table)


COMMANDS = {
    "config": (show_config, "show each setting and where it came from"),
    "info": (show_info, "show the engines, why one can't run, and the machine"),
}


def show_cache(console: Console, as_json: bool) -> None:
    """Print what compiled kernels the engines keep on disk.

    Args:
        console: where to print.
        as_json: print one JSON object instead of a table.
    """
    found = [cache.info() for cache in caches()]
    if as_json:
        content = {"folder": cache_root(), "caches": [each._asdict() for each in found]}
        console.out(_as_json(content), highlight=False)
        return
    table = Table(title=f"compiled kernels in {escape(str(cache_root()))}", title_justify="left")
    for heading in ("engine", "kernels", "size", "limit"):
        table.add_column(heading, justify="left" if heading == "engine" else "right")
    for each in found:
        table.add_row(each.name, str(each.files), _megabytes(each.size), _megabytes(each.limit))
    console.print(table)


def clear_cache(console: Console, as_json: bool) -> None:
    """Delete the compiled kernels that the engines keep on disk.

    Args:
        console: where to print.
        as_json: print one JSON object instead of a sentence.
    """
    deleted = sum(cache.clear() for cache in caches())
    if as_json:
        console.out(_as_json({"deleted": deleted}), highlight=False)
    else:
        console.print(f"{deleted} compiled kernels deleted from {escape(str(cache_root()))}")


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MB"


CACHE_COMMANDS = {
    "info": (show_cache, "show what is kept"),
    "clear": (clear_cache, "delete all of it"),
}


def _module_of(command: str, name: str) -> ModuleType:
    """Imports the module of a delegated command, in a source tree from its folder there."""
    package, _, rest = name.partition(".")
    root = pathlib.Path(__file__).resolve().parents[1]
    if package in FOLDERS and (root / "pyproject.toml").is_file():
        # First, as other people's projects have a folder of that name, too.
        sys.path.insert(0, str(root))
        name = f"{FOLDERS[package]}.{rest}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingPackageError(command, package, "kbackend") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kbackend", description="The Keras 3 API on pluggable tensor engines."
    )
    parser.add_argument("--version", action="version", version=f"kbackend {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    cache = commands.add_parser("cache", help="compiled kernels on disk: info, clear")
    actions = cache.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_, text) in CACHE_COMMANDS.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--json", action="store_true", help="print JSON instead of tables")
    for name, (_, text) in DELEGATED.items():
        commands.add_parser(name, help=text, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; those of the process if None.

    Returns:
        The exit status: 0, or 1 after an error, which is printed on standard error.

    >>> main(["config", "--json"])
    {...
    0
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in DELEGATED:
            module, _, attribute = DELEGATED[arguments[0]][0].partition(":")
            status = getattr(_module_of(arguments[0], module), attribute)(arguments[1:])
            return int(status or 0)
        parsed = _parser().parse_args(arguments)
        shown = COMMANDS.get(parsed.command) or CACHE_COMMANDS[parsed.action]
        shown[0](Console(), parsed.json)
    except KBackendError as error:
        Console(stderr=True).print(
            f"kbackend: {error}", markup=False, highlight=False, soft_wrap=True
        )
        return 1
    return 0

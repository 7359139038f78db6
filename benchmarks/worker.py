"""A peer's own process: takes calls as lines of JSON, answers each with a line of JSON.

Started by path, with the interpreter of the peer, so that the suite need not be installed there:

    python benchmarks/worker.py MODULE CLASS ATTRIBUTES

A call `{"function": "groups.macro_calls:fit", "arguments": {…}}` runs that function of the suite
with the peer as its first argument. The answer is `{"value": …}` or `{"error": …}`. It ends
with its input.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pathlib
import sys
import traceback
from collections.abc import Callable
from typing import Any, TextIO


def _suite() -> str:
    """Makes the folder of this file importable under its own name, and nothing else with it."""
    folder = pathlib.Path(__file__).resolve().parent
    # Python put the folder itself there, where its `models` would hide other people's.
    sys.path[:] = [entry for entry in sys.path if pathlib.Path(entry or ".").resolve() != folder]
    spec = importlib.util.spec_from_file_location(
        folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is no package.")
    package = importlib.util.module_from_spec(spec)
    sys.modules[folder.name] = package
    spec.loader.exec_module(package)
    return folder.name


def _answers() -> TextIO:
    """The real standard output; whatever libraries print goes to standard error instead."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def serve(peer: Any, lines: Any, answer: Callable[[dict[str, Any]], None], package: str) -> None:
    """Answers calls until they end.

    Args:
        peer: given to each function first.
        lines: the calls.
        answer: sends an answer.
        package: name of the suite's package.
    """
    for line in lines:
        call = json.loads(line)
        module, _, name = call["function"].partition(":")
        try:
            function = getattr(importlib.import_module(f"{package}.{module}"), name)
            answer({"value": function(peer, **call["arguments"])})
        except Exception as error:
            # Whatever a peer does wrong is told, and the process lives on.
            answer({"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()})


def main() -> None:
    """Serves one peer."""
    package = _suite()
    threads = os.environ.get("BENCHMARK_THREADS")
    if threads and hasattr(os, "sched_setaffinity"):
        # Libraries that count cores rather than read a variable see no more than these.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    module, name, attributes = sys.argv[1:]
    kind = getattr(importlib.import_module(f"{package}.{module}"), name)
    # Made from its attributes: looking for all peers here would import what is to be measured.
    peer = kind.__new__(kind)
    vars(peer).update(json.loads(attributes))
    answers = _answers()

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    serve(peer, sys.stdin, answer, package)


if __name__ == "__main__":
    main()

"""The options of a run."""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from dataclasses import dataclass, field
from typing import Any

# Which interpreter runs which peer, as `--python`, for those who set it once.
PYTHON_VARIABLE = "KBACKEND_BENCH_PYTHON"


@dataclass
class Options:
    """What a run does.

    Attributes:
        groups: the groups to run, all if empty.
        models: the models of the macro, cliffs, memory and limits groups, all of each if empty.
        peers: words that select peers, all if empty.
        repeats: repetitions of each measurement.
        threads: cores and threads that each peer may use; None leaves it to the peers.
        pythons: (word, interpreter) pairs; the word selects peers, `""` all but kbackend.
        quick: shorter epochs, fewer sizes and layers.
    """

    groups: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    repeats: int = 7
    threads: int | None = None
    pythons: list[tuple[str, str]] = field(default_factory=list)
    quick: bool = False

    def shown(self) -> dict[str, Any]:
        """What is written beside the results; paths of interpreters are left out."""
        return {
            "groups": self.groups,
            "models": self.models,
            "peers": self.peers,
            "repeats": self.repeats,
            "threads": self.threads or "as each peer chooses",
            "quick": self.quick,
        }


def _words(text: str) -> list[str]:
    return [word for word in text.replace(" ", "").split(",") if word]


def _interpreter(text: str) -> tuple[str, str]:
    word, equals, path = text.partition("=")
    return (word, path) if equals else ("", text)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1. Received: {number}.")
    return number


def add_run_arguments(parser: argparse.ArgumentParser, groups: list[str]) -> None:
    """Adds the options of a run to a parser."""
    add = parser.add_argument
    add("--quick", action="store_true", help="short epochs, few sizes: under two minutes")
    add("--only", type=_words, default=[], metavar="GROUPS", help=f"of {', '.join(groups)}")
    add("--models", type=_words, default=[], help="of the macro, cliffs, memory and limits groups")
    add("--peers", type=_words, default=[], help="as in kbackend,keras-jax,torch")
    add("--repeats", type=_positive, help="repetitions (7, or 2 with --quick)")
    add("--threads", type=_positive, help="cores and threads that each peer may use")
    add(
        "--python",
        type=_interpreter,
        action="append",
        default=[],
        metavar="[PEER=]PATH",
        help="interpreter that has the peers, or one of them; may be given several times "
        f"(or {PYTHON_VARIABLE}, separated by commas)",
    )


def from_arguments(parsed: argparse.Namespace) -> Options:
    """The options that were parsed."""
    inherited = [_interpreter(entry) for entry in _words(os.environ.get(PYTHON_VARIABLE, ""))]
    return Options(
        groups=parsed.only,
        models=parsed.models,
        peers=parsed.peers,
        repeats=parsed.repeats or (2 if parsed.quick else 7),
        threads=parsed.threads,
        pythons=[*inherited, *parsed.python],
        quick=parsed.quick,
    )


def interpreter_exists(path: str) -> bool:
    """Whether there is such an interpreter."""
    return path == sys.executable or pathlib.Path(path).is_file()

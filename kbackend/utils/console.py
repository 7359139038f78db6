"""Messages to the person in front of the terminal."""

from __future__ import annotations

import os
import sys

from kbackend.base import flags

_PLAIN = str.maketrans({"━": "-", "…": "~"})


def write(message: str, line_break: bool = True) -> None:
    """Writes to standard output, or to the log where interactive logging is switched off."""
    if not flags.is_interactive_logging_enabled():
        import logging  # noqa: PLC0415 - slow to import, and seldom wanted

        logging.getLogger("kbackend").info(message.strip("\r\n"))
        return
    text = message + "\n" if line_break else message
    stream = sys.stdout
    try:
        stream.write(text)
    except UnicodeEncodeError:  # a terminal that knows no more than ASCII
        encoding = stream.encoding or "ascii"
        stream.write(text.translate(_PLAIN).encode(encoding, "replace").decode(encoding))
    stream.flush()


def is_dynamic() -> bool:
    """Whether standard output can redraw a line: a terminal, a notebook or PyCharm's console."""
    if not flags.is_interactive_logging_enabled():
        return False
    terminal = getattr(sys.stdout, "isatty", None)
    if terminal is not None and terminal():
        return True
    return "ipykernel" in sys.modules or "PYCHARM_HOSTED" in os.environ

"""The progress bar of `fit`."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from kbackend.utils import console

_BOLD, _GREEN, _WHITE, _RESET = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"
_CODES = re.compile(r"\x1b\[\d+m")


class Progbar:
    """Shows how far a loop has come, how long it takes, and the values it reports.

    On a terminal the line is redrawn in place, at most once in `interval` seconds. Elsewhere (a
    file, a pipe) only the finished line is written, without control codes.

    Args:
        target: number of steps expected, or `None` if unknown.
        width: width of the bar, in characters.
        verbose: 0 is silent, 1 shows the bar, 2 writes one line at the end.
        interval: seconds between two drawings.
        stateful_metrics: names of values that are shown as they come. Others are averaged over
            the steps.
        stateless_metrics: names of values to be averaged; given, all others are shown as they come.
        unit_name: what a step is called.

    Example:
        >>> bar = Progbar(3, verbose=0)
        >>> for step in range(3):
        ...     bar.update(step + 1, values=[("loss", 0.5)])
        >>> bar.average("loss")
        0.5
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ):
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "[Progbar] give 'stateful_metrics' or 'stateless_metrics', not both. Received: "
                f"stateful_metrics={list(stateful_metrics)}, "
                f"stateless_metrics={list(stateless_metrics)}."
            )
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self._stateful = set(stateful_metrics or ())
        self._stateless = None if stateless_metrics is None else set(stateless_metrics)
        self._values: dict[str, tuple[Any, int]] = {}  # name -> (sum, steps)
        self._seen = 0
        self._start = time.time()
        self._first: tuple[int, float] | None = None  # steps done at the first update, and when
        self._drawn_at = 0.0
        self._drawn_width = 0
        self._dynamic = console.is_dynamic() if verbose == 1 else False

    def update(
        self,
        current: int,
        values: Iterable[tuple[str, Any]] | None = None,
        finalize: bool | None = None,
    ) -> None:
        """Notes that `current` steps are done, and redraws the line if it is time to.

        Args:
            current: steps done.
            values: `(name, value)` pairs for the steps since the last call.
            finalize: whether this is the last call; by default when `current` reaches `target`.
                The values of the last call are shown as they are.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        steps = max(current - self._seen, 1)
        for name, value in values or ():
            if finalize or self._is_stateful(name) or value is None:
                self._values[name] = (value, 1)
            else:
                total, count = self._values.get(name, (0, 0))
                self._values[name] = (total + value * steps, count + steps)
        self._seen = current
        if self.verbose == 0:
            return
        now = time.time()
        if self._first is None and current >= 1:
            self._first = (current, now)
        if finalize:
            self._draw_last(now)
        elif self._dynamic and now - self._drawn_at >= self.interval:
            self._draw(now, finished=False)

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """Notes that `n` more steps are done."""
        self.update(self._seen + n, values)

    def average(self, name: str) -> float:
        """The value of `name` as it would be shown now."""
        total, count = self._values[name]
        return float(np.mean(_host(total))) / count

    def _is_stateful(self, name: str) -> bool:
        if self._stateless is not None:
            return name not in self._stateless
        return name in self._stateful

    def _draw_last(self, now: float) -> None:
        if self._dynamic:
            self._draw(now, finished=True)
            return
        steps = self._count()
        if self.verbose == 1:
            bar = "" if self.target is None else " " + "━" * self.width
            console.write(f"{steps}{bar} {now - self._start:.0f}s {self._pace(now)}{self._shown()}")
        else:
            head = f"{steps} - {now - self._start:.0f}s - {self._pace(now)}"
            console.write(head + self._shown())

    def _draw(self, now: float, finished: bool) -> None:
        bar = self._bar() if self.target is not None else ""
        head = f"{_BOLD}{self._count()}{_RESET} " + bar
        line = f"{head}{_BOLD}{self._clock(now, finished)}{_RESET} {self._pace(now)}"
        shown = self._shown()
        width = _visible(line) + len(shown)
        room = shutil.get_terminal_size().columns - 1
        if not finished and width > room:  # a wrapped line could not be redrawn
            shown = shown[: max(len(shown) - (width - room) - 1, 0)] + "…"
            width = _visible(line) + len(shown)
        padding = " " * max(self._drawn_width - width, 0)
        console.write(f"\r{line}{shown}{padding}", line_break=finished)
        self._drawn_at, self._drawn_width = now, width

    def _count(self) -> str:
        if self.target is None:
            return f"{self._seen:>7}/Unknown"
        return f"{self._seen:>{len(str(self.target))}}/{self.target}"

    def _bar(self) -> str:
        done = int(self.width * min(self._seen / self.target, 1.0)) if self.target else self.width
        rest = self.width - done
        return f"{_GREEN}{'━' * done}{_RESET}{_WHITE}{'━' * rest}{_RESET} "

    def _per_step(self, now: float) -> float:
        # The first step builds and compiles, so it would spoil the estimate for the others.
        if self._first is not None and self._seen > self._first[0]:
            return (now - self._first[1]) / (self._seen - self._first[0])
        return (now - self._start) / max(self._seen, 1)

    def _clock(self, now: float, finished: bool) -> str:
        if finished or self.target is None:
            return f"{now - self._start:.0f}s"
        left = int(self._per_step(now) * (self.target - self._seen))
        if left > 3600:
            return f"{left // 3600}:{left % 3600 // 60:02d}:{left % 60:02d}"
        return f"{left // 60}:{left % 60:02d}" if left > 60 else f"{left}s"

    def _pace(self, now: float) -> str:
        pace = self._per_step(now)
        if pace >= 1 or pace == 0:
            return f"{pace:.0f}s/{self.unit_name}"
        if pace >= 1e-3:
            return f"{pace * 1e3:.0f}ms/{self.unit_name}"
        return f"{pace * 1e6:.0f}us/{self.unit_name}"

    def _shown(self) -> str:
        return "".join(f" - {name}: {self._text(name)}" for name in self._values)

    def _text(self, name: str) -> str:
        if self._values[name][0] is None:
            return "None"
        average = self.average(name)
        return f"{average:.4f}" if abs(average) > 1e-3 else f"{average:.4e}"


def _host(value: Any) -> np.ndarray:
    # Only here do values that still live on a device come to the host.
    on_device = hasattr(value, "__cuda_array_interface__") and hasattr(value, "get")
    return np.asarray(value.get() if on_device else value)


def _visible(text: str) -> int:
    return len(_CODES.sub("", text))

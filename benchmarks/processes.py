"""The parent's side of a peer's process."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
from typing import Any

from .peers.base import Peer

# The first two are set on some machines to mend an older OpenBLAS; they slow a current one. Without
# the third a source tree keeps its byte code as installed packages do; else Python would compile
# all of it anew in each process, which takes longer than anything else of a start.
DROPPED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")

# Where a number of threads is read from by one library or another.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)

_WORKER = pathlib.Path(__file__).with_name("worker.py")


def environment_of(
    peer: Peer, threads: int | None = None, variables: dict[str, str] | None = None
) -> dict[str, str]:
    """The environment of a peer's process: ours, less what harms, and what the peer asks for."""
    environment = {k: v for k, v in os.environ.items() if k not in DROPPED}
    if threads is not None:
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        environment["BENCHMARK_THREADS"] = str(threads)
    return environment | peer.environment() | (variables or {})


class CallError(RuntimeError):
    """A call failed in the peer's process, or the process ended or did not answer in time."""


class Process:
    """A peer's process; starting it does not wait for it."""

    def __init__(
        self,
        peer: Peer,
        python: str = sys.executable,
        threads: int | None = None,
        variables: dict[str, str] | None = None,
    ) -> None:
        self.peer = peer
        # Errors may be long; a pipe that nobody reads would fill up and stop the process.
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [python, str(_WORKER), *peer.to_arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env=environment_of(peer, threads, variables),
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        stdout = self._process.stdout
        for line in stdout or ():
            self._lines.put(line)
        self._lines.put("")

    def send(self, function: str, /, **arguments: Any) -> None:
        """Starts a call, whose answer `receive` waits for.

        Args:
            function: `module:name` within the suite; the function is given the peer first.
            **arguments: what JSON can carry.
        """
        call = json.dumps({"function": function, "arguments": arguments})
        stdin = self._process.stdin
        if stdin is None:
            return
        try:
            stdin.write(call + "\n")
            stdin.flush()
        except (OSError, ValueError):
            # It has ended, which `receive` will tell.
            return

    def receive(self, timeout: float = 300.0) -> Any:
        """What the function returned.

        Args:
            timeout: seconds to wait.

        Raises:
            CallError: it raised, the process ended, or the time was up (which ends the process).
        """
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise CallError(f"no answer within {timeout:.0f} s.") from None
        if not line:
            raise CallError(f"the process of {self.peer.name} ended: {self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise CallError(answer["error"])
        return answer["value"]

    def call(self, function: str, /, **arguments: Any) -> Any:
        """Runs a function of the suite there and returns what it returns; see `send`, `receive`."""
        self.send(function, **arguments)
        return self.receive()

    def _last_words(self) -> str:
        self._process.wait(timeout=10)
        if self._errors.closed:
            return f"status {self._process.returncode}"
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return lines[-1] if lines else f"status {self._process.returncode}"

    @property
    def alive(self) -> bool:
        """Whether it can take calls."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the process."""
        # Nothing that it could still do is wanted, and some libraries take seconds to end.
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if not self._errors.closed:
            self._errors.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

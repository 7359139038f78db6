"""A run in progress: the peers' processes, and the measurements taken from them in turn."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from . import peers as peer_package
from .models import all_models, every_model
from .models.base import Model
from .options import Options, interpreter_exists
from .peers.base import Peer
from .processes import CallError, Process
from .records import Record, Results

# OpenBLAS and OpenMP keep threads spinning for up to 25 ms after their last work; the
# next peer shall not pay for them.
SETTLE_SECONDS = 0.03


class Bench:
    """Processes of all peers that run, and the results so far.

    Args:
        options: what to run.
        say: told what is going on, in a few words.
    """

    def __init__(self, options: Options, say: Callable[[str], None] = lambda text: None) -> None:
        self.options = options
        self.say = say
        self.results = Results(settings=options.shown())
        self.peers: dict[str, Peer] = {}
        self.pythons: dict[str, str] = {}
        self._processes: dict[str, Process] = {}

    # ----- peers and models -----

    def open(self) -> None:
        """Starts a process for every chosen peer; one that is missing is noted as that."""
        known = peer_package.all_peers()
        chosen = known
        if self.options.peers:
            words = [peer_package.select(word, known) for word in self.options.peers]
            chosen = [peer for peer in known if any(peer in some for some in words)]
        for word, path in self.options.pythons:
            some = peer_package.select(word, known) if word else [p for p in known if not p.ours]
            self.pythons |= dict.fromkeys((peer.name for peer in some), path)
        started = {}
        for peer in chosen:
            python = self.pythons.setdefault(peer.name, sys.executable)
            if not peer.missing and interpreter_exists(python):
                # All start at once, as imports take seconds.
                started[peer.name] = self.process(peer)
        for peer in chosen:
            self._greet(peer, started.get(peer.name))

    def process(self, peer: Peer, variables: dict[str, str] | None = None) -> Process:
        """A new process of a peer, for the caller to close."""
        return Process(peer, self.pythons[peer.name], self.options.threads, variables)

    def _greet(self, peer: Peer, process: Process | None) -> None:
        entry: dict[str, Any] = {"name": peer.name, "title": peer.title, "ours": peer.ours}
        self.results.peers.append(entry)
        if process is None:
            reason = peer.missing or f"there is no interpreter {self.pythons[peer.name]}"
            entry |= {"status": "missing", "reason": reason, "install": peer.install}
            return
        try:
            greeting = process.call("peers.greeting:greet")
        except CallError as error:
            process.close()
            entry |= {"status": "failed", "reason": str(error), "install": peer.install}
            return
        if greeting["absent"]:
            process.close()
            reason = f"not installed: {', '.join(greeting['absent'])}"
            entry |= {"status": "missing", "reason": reason, "install": peer.install}
            return
        entry |= {"status": "ok", "versions": greeting["versions"]}
        self.peers[peer.name] = peer
        self._processes[peer.name] = process

    def chosen_models(self, models: dict[str, Model] | None = None) -> list[Model]:
        """The models of this run.

        Args:
            models: those that a group has; if None, it can take all that are asked for, and those
                of the macro group if none are.

        Raises:
            ValueError: a name is not one of a model.
        """
        known = every_model()
        unknown = [name for name in self.options.models if name not in known]
        if unknown:
            raise ValueError(
                f"[benchmarks] No such model. Received: {', '.join(unknown)}. Known models: "
                f"{', '.join(known)}."
            )
        asked = self.options.models
        own = models or (known if asked else all_models())
        return [model for name, model in own.items() if name in (asked or own)]

    def close(self) -> None:
        """Notes the threads of each peer and ends all processes."""
        for entry in self.results.running_peers():
            process = self._processes.get(entry["name"])
            if process is not None and process.alive:
                try:
                    entry["threads"] = process.call("peers.greeting:threads")
                except CallError as error:
                    entry["threads"] = f"unknown ({error})"
        for process in self._processes.values():
            process.close()

    # ----- measuring -----

    def fail(self, group: str, case: str, peer: str, error: Exception) -> None:
        """Notes a failure, which tables show."""
        self.say(f"{group} {case} on {peer} failed: {error}")
        failure = {"group": group, "case": case, "peer": peer, "error": str(error)}
        self.results.failures.append(failure)

    def _process(self, peer: str) -> Process:
        """The peer's process; a new one if the last has ended."""
        process = self._processes[peer]
        if not process.alive:
            process.close()
            process = self._processes[peer] = self.process(self.peers[peer])
        return process

    def _receive(self, group: str, case: str, peer: str) -> Any:
        try:
            return self._processes[peer].receive()
        except CallError as error:
            self.fail(group, case, peer, error)
            return None

    def call(self, group: str, case: str, peer: str, function: str, /, **arguments: Any) -> Any:
        """Calls a function in a peer's process; None and a noted failure if it did not work."""
        self._process(peer).send(function, **arguments)
        return self._receive(group, case, peer)

    def call_each(
        self, group: str, case: str, peers: list[str], function: str, /, **arguments: Any
    ) -> dict[str, Any]:
        """Calls a function in each of the peers' processes, at once: nothing that is timed.

        Returns:
            Peer -> answer; those that failed are left out.
        """
        for peer in peers:
            self._process(peer).send(function, **arguments)
        answers = {peer: self._receive(group, case, peer) for peer in peers}
        return {peer: answer for peer, answer in answers.items() if answer is not None}

    def interleave(
        self,
        group: str,
        case: str,
        phase: str,
        peers: list[str],
        function: str,
        /,
        extra: dict[str, dict[str, Any]] | None = None,
        **arguments: Any,
    ) -> None:
        """Repetition 1 of every peer, then repetition 2, …: a disturbance hits all of them alike.

        Args:
            group: group of the records.
            case: case of the records.
            phase: phase of the records.
            peers: who takes part; a peer that fails drops out.
            function: returns the seconds of one repetition.
            extra: further facts for a peer's record.
            **arguments: given to the function.
        """
        samples: dict[str, list[float]] = {peer: [] for peer in peers}
        for turn in range(self.options.repeats):
            order = list(samples)
            # Everybody is first, and behind everybody else, in turn.
            for peer in order[turn % len(order) :] + order[: turn % len(order)] if order else ():
                time.sleep(SETTLE_SECONDS)
                seconds = self.call(group, case, peer, function, **arguments)
                if seconds is None:
                    del samples[peer]
                else:
                    samples[peer].append(seconds)
        for peer, values in samples.items():
            facts = (extra or {}).get(peer, {})
            self.results.records.append(Record(group, case, phase, peer, "s", tuple(values), facts))

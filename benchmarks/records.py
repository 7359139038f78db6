"""What a run leaves: records of repeated measurements, as JSON and back."""

from __future__ import annotations

import json
import pathlib
import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """One thing measured on one peer.

    Attributes:
        group: `macro`, `cliffs`, `layers`, `convolutions`, `products`, `micro`, `startup`,
            `memory` or `limits`.
        case: model, layer, primitive with its size, …
        phase: `fit`, `predict`, `forward`, …
        peer: name of the peer.
        unit: `s` or `bytes`.
        samples: every repetition, in order.
        extra: further facts, such as `flops` and `bytes` of one call.
    """

    group: str
    case: str
    phase: str
    peer: str
    unit: str
    samples: tuple[float, ...]
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it the same measurement in two runs."""
        return self.group, self.case, self.phase, self.peer

    @property
    def least(self) -> float:
        """The least of the repetitions, which disturbances touch least."""
        return min(self.samples)

    @property
    def median(self) -> float:
        """The median of the repetitions."""
        return statistics.median(self.samples)

    @property
    def noise(self) -> float:
        """How far the median lies above the least, as a share of the least."""
        return (self.median - self.least) / self.least if self.least else 0.0


@dataclass
class Results:
    """A whole run.

    Attributes:
        machine: processor, versions, environment, load and date.
        settings: the options of the run.
        peers: every peer asked for: `name`, `title`, `ours`, `status` (`ok`, `missing`, `failed`),
            and its versions and threads, or the reason and the command that installs it.
        ceilings: what this machine reached in the same run, `gemm` (FLOP/s), `memory` and `cache`
            (bytes/s).
        records: the measurements.
        checks: for each model and peer the losses of the first steps and whether they agree.
        failures: what went wrong: `group`, `case`, `peer`, `error`.
    """

    machine: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    peers: list[dict[str, Any]] = field(default_factory=list)
    ceilings: dict[str, float] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)

    def to_json(self) -> str:
        """The run as JSON text."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1)

    def save(self, path: pathlib.Path) -> None:
        """Writes the JSON file, and the folders on the way to it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json() + "\n", encoding="utf-8")

    def select(self, group: str, phase: str | None = None) -> list[Record]:
        """The records of a group, or of one phase of it, in order."""
        return [r for r in self.records if r.group == group and phase in (None, r.phase)]

    def running_peers(self) -> list[dict[str, Any]]:
        """The peers that were measured."""
        return [peer for peer in self.peers if peer["status"] == "ok"]


def load(path: pathlib.Path) -> Results:
    """Reads a run.

    Args:
        path: a file written by `Results.save`.

    Raises:
        ValueError: the file holds no run, or one of another schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = content.pop("schema")
        if schema == SCHEMA:
            records = [Record(**r) for r in content.pop("records")]
            records = [Record(**{**asdict(r), "samples": tuple(r.samples)}) for r in records]
            return Results(records=records, **content)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"[benchmarks] {path} holds no benchmark run: {error!r}.") from error
    raise ValueError(
        f"[benchmarks] {path} was written in another form. Received: schema={schema!r}, this "
        f"version reads {SCHEMA}. Make the run again."
    )

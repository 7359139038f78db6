"""The progress bar: what is written, when, and with which numbers."""

import io
import logging
import re
import types

import numpy as np
import pytest

from kbackend.base import flags
from kbackend.utils import console, progress
from kbackend.utils.progress import Progbar


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 1000.0

    def time(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress.time, "time", clock.time)
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: _size(200))
    monkeypatch.delenv("PYCHARM_HOSTED", raising=False)
    return clock


def _redirect(monkeypatch, stream):
    # Not `sys.stdout` itself, which pytest sets anew between a fixture and its test.
    monkeypatch.setattr(console, "sys", types.SimpleNamespace(stdout=stream, modules={}))
    return stream


def _size(columns):
    return type("Size", (), {"columns": columns})


@pytest.fixture
def terminal(monkeypatch):
    return _redirect(monkeypatch, Terminal())


@pytest.fixture
def pipe(monkeypatch):
    return _redirect(monkeypatch, io.StringIO())


def run(clock, target, steps=3, pace=0.06, finalize_last=False, **options):
    bar = Progbar(target, **options)
    for i in range(1, steps + 1):
        clock.now += pace
        last = True if finalize_last and i == steps else None
        bar.update(i, values=[("loss", 0.5 * i), ("acc", 1e-5 * i)], finalize=last)
    return bar


def plain(text):
    return [re.sub(r"\x1b\[\d+m", "", line).rstrip() for line in text.split("\r")]


def test_line_on_a_terminal(clock, terminal):
    run(clock, 3)
    bar = "━" * 20
    assert plain(terminal.getvalue()) == [
        "",
        f"1/3 {bar} 0s 60ms/step - loss: 0.5000 - acc: 1.0000e-05",
        f"2/3 {bar} 0s 60ms/step - loss: 0.7500 - acc: 1.5000e-05",
        f"3/3 {bar} 0s 60ms/step - loss: 1.5000 - acc: 3.0000e-05",
    ]
    assert terminal.getvalue().endswith("\n")
    assert "\x1b[32m" + "━" * 6 + "\x1b[0m\x1b[37m" + "━" * 14 in terminal.getvalue()


def test_line_in_a_file_is_written_once_and_plain(clock, pipe):
    run(clock, 3)
    line = f"3/3 {'━' * 20} 0s 60ms/step - loss: 1.5000 - acc: 3.0000e-05\n"
    assert pipe.getvalue() == line


def test_verbose_two_and_zero(clock, terminal):
    run(clock, 3, verbose=2)
    assert terminal.getvalue() == "3/3 - 0s - 60ms/step - loss: 1.5000 - acc: 3.0000e-05\n"
    terminal.truncate(0)
    terminal.seek(0)
    run(clock, 3, verbose=0)
    assert terminal.getvalue() == ""


def test_unknown_target(clock, terminal):
    run(clock, None, finalize_last=True)
    assert plain(terminal.getvalue())[-1] == (
        "      3/Unknown 0s 60ms/step - loss: 1.5000 - acc: 3.0000e-05"
    )


def test_stateful_values_are_shown_as_they_come(clock, terminal):
    run(clock, 10, stateful_metrics=["acc"])
    assert "loss: 1.0000 - acc: 3.0000e-05" in plain(terminal.getvalue())[-1]
    terminal.truncate(0)
    run(clock, 10, stateless_metrics=["acc"])
    assert "loss: 1.5000 - acc: 2.0000e-05" in plain(terminal.getvalue())[-1]


def test_averages_weigh_by_steps(clock, pipe):
    bar = Progbar(100)
    bar.update(1, [("loss", 4.0)])
    bar.update(4, [("loss", 0.0)])
    assert bar.average("loss") == 1.0
    bar.add(1, [("loss", 6.0)])
    assert bar.average("loss") == 2.0


def test_drawing_is_limited(clock, terminal):
    bar = Progbar(1000, interval=0.1)
    for i in range(999):
        clock.now += 0.001
        bar.update(i + 1)
    # 0.999 s at one drawing in 0.1 s.
    assert terminal.getvalue().count("\r") <= 10


def test_time_left(clock, terminal):
    for pace, expected in [(0.5, "49s"), (5.0, "8:15"), (60.0, "1:39:00")]:
        bar = Progbar(100)
        clock.now += pace
        bar.update(1)
        assert f"{expected} " in plain(terminal.getvalue())[-1]


@pytest.mark.parametrize(
    ("pace", "text"), [(2.0, "2s/step"), (0.02, "20ms/step"), (3e-5, "30us/step")]
)
def test_pace_leaves_out_the_first_step(clock, pipe, pace, text):
    bar = Progbar(3)
    clock.now += 50
    bar.update(1)
    clock.now += 2 * pace
    bar.update(3)
    assert f" {text}" in pipe.getvalue()


def test_shorter_line_covers_the_longer_one(clock, terminal):
    bar = Progbar(3, stateful_metrics=["loss"])
    clock.now += 1
    bar.update(1, [("loss", 1e-9)])
    clock.now += 1
    bar.update(2, [("loss", 1.0)])
    _, first, second = (re.sub(r"\x1b\[\d+m", "", t) for t in terminal.getvalue().split("\r"))
    assert len(second) == len(first)


def test_line_is_cut_to_the_terminal(clock, terminal, monkeypatch):
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: _size(60))
    bar = Progbar(3)
    clock.now += 1
    bar.update(1, [(f"metric_{i}", 1.0) for i in range(5)])
    line = plain(terminal.getvalue())[-1]
    assert len(line) == 59
    assert line.endswith("…")


def test_arrays_and_none_as_values(clock, pipe):
    bar = Progbar(1)
    bar.update(1, [("loss", np.array([1.0, 3.0])), ("lr", np.float32(0.25)), ("x", None)])
    assert pipe.getvalue().endswith("loss: 2.0000 - lr: 0.2500 - x: None\n")


def test_zero_target(clock, pipe):
    Progbar(0).update(0)
    assert pipe.getvalue().startswith("0/0 ")


def test_both_kinds_of_metrics_are_refused():
    with pytest.raises(ValueError, match="not both"):
        Progbar(1, stateful_metrics=["a"], stateless_metrics=["b"])


def test_log_instead_of_terminal(clock, terminal, caplog):
    flags.disable_interactive_logging()
    try:
        with caplog.at_level(logging.INFO, logger="kbackend"):
            run(clock, 3)
    finally:
        flags.enable_interactive_logging()
    assert terminal.getvalue() == ""
    assert [record.message for record in caplog.records] == [
        f"3/3 {'━' * 20} 0s 60ms/step - loss: 1.5000 - acc: 3.0000e-05"
    ]


def test_ascii_terminal(clock, monkeypatch):
    raw = io.BytesIO()
    _redirect(monkeypatch, io.TextIOWrapper(raw, encoding="ascii"))
    Progbar(1).update(1)
    assert raw.getvalue().decode().startswith("1/1 " + "-" * 20)


def test_pace_when_all_steps_are_told_at_once(clock, pipe):
    bar = Progbar(4, verbose=2)
    clock.now += 0.2
    bar.update(4, values=[("loss", 0.5)], finalize=True)
    assert "4/4 - 0s - 50ms/step - loss: 0.5000" in pipe.getvalue()

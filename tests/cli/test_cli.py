"""`python -m kbackend`."""

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from kbackend import __version__, cli
from kbackend.base import config, threads
from kbackend.engine import loader
from tests.config.toy import ToyEngine, UnusableEngine


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("KBACKEND", "KERAS_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    # Rich folds its tables to the width of the terminal.
    monkeypatch.setenv("COLUMNS", "200")
    config.reset()
    loader.reset()
    return tmp_path


def test_config_shows_values_and_sources(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "keras.json"
    path.write_text('{\n "floatx": "float64",\n "kbackend": "numpy"\n}')
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "3")
    monkeypatch.setenv("KBACKEND_NUM_THREADS", "1")
    monkeypatch.delenv("KBACKEND_FLOAT32_MATMUL_PRECISION", raising=False)
    monkeypatch.delenv("KBACKEND_MEMORY_LIMIT", raising=False)
    monkeypatch.setattr(threads, "_found", None)
    config.set_epsilon(1e-3)
    assert cli.main(["config", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["file"] == str(path) and shown["file_exists"]
    rows = {row["name"]: (row["value"], row["source"]) for row in shown["settings"]}
    assert rows == {
        "backend": ("numpy", f"{path}, line 3 (key 'kbackend')"),
        "floatx": ("float64", f"{path}, line 2"),
        "epsilon": (1e-3, "set at run time"),
        "image_data_format": ("channels_last", "default"),
        "memory_limit": (1.0, "default"),
        "float32_matmul_precision": ("highest", "default"),
        "max_epochs": (3, "environment variable KERAS_MAX_EPOCHS"),
        "max_steps_per_epoch": (None, "default"),
        "num_threads": (1, "environment variable KBACKEND_NUM_THREADS"),
    }
    assert cli.main(["config"]) == 0
    table = capsys.readouterr().out
    assert "float64" in table and "set at run time" in table and "(read)" in table


def test_config_without_a_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config"]) == 0
    assert "(absent, defaults hold)" in capsys.readouterr().out


def test_broken_file_is_told_on_standard_error(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "keras.json").write_text('{"floatx" "float64"}')
    assert cli.main(["config"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("kbackend: [config] ") and "line 1, column 11" in captured.err


def test_info_says_why_an_engine_cannot_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loader.register_engine("toy", ToyEngine)
    loader.register_engine("unusable", UnusableEngine)
    monkeypatch.setenv("KBACKEND", "toy")
    assert cli.main(["info", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    engines = {engine["name"]: engine for engine in shown["engines"]}
    assert engines["toy"]["usable"]
    assert engines["unusable"]["reason"] == "No device was found."
    assert shown["backend"]["value"] == "toy"
    assert shown["machine"]["kbackend"] == __version__
    assert shown["machine"]["processors"] >= 1
    assert shown["environment"]["KBACKEND"] == "toy"
    assert cli.main(["info"]) == 0
    table = capsys.readouterr().out
    assert "toy (chosen)" in table and "No device was found. Plug one in." in table


def test_brackets_in_messages_are_not_markup(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "kbackend_numba.engine", None)
    assert cli.main(["info"]) == 0
    assert "kbackend[numba]" in capsys.readouterr().out


def test_demo_gets_its_own_arguments(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[list[str]] = []
    demo = types.ModuleType("kbackend.demo")
    demo.main = lambda arguments: received.append(arguments)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kbackend.demo", demo)
    assert cli.main(["demo", "--epochs", "3"]) == 0
    assert received == [["--epochs", "3"]]


def test_bench_is_the_folder_of_the_source_tree(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as caught:
        cli.main(["bench", "--help"])
    assert caught.value.code == 0
    assert "python -m benchmarks" in capsys.readouterr().out


def test_bench_says_when_it_is_not_installed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "FOLDERS", {})
    # Where the wheel is installed, the package is there.
    monkeypatch.setitem(cli.DELEGATED, "bench", ("no_such_package.cli:main", ""))
    assert cli.main(["bench"]) == 1
    assert "[bench] needs the package 'no_such_package'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["config", "--nonsense"]])
def test_wrong_arguments_exit_with_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: kbackend" in capsys.readouterr().err


def test_module_runs(home: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "kbackend", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout.strip() == f"kbackend {__version__}"

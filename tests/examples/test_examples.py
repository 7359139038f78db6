"""Each example runs, offline and quickly, and shows what it says it shows."""

import ast
import subprocess
import sys

import numpy as np
import pytest

from tests.examples.loading import FOLDER, IMPORT, load

SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
EXAMPLES = [name for name in SCRIPTS if name != "counting_engine"]


def run(name, **options):
    return load(name).main(quick=True, **options)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("An example opened a connection.")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setenv("MPLBACKEND", "Agg")


# The thresholds leave room below what a run with another seed reaches.


def test_mlp_classifier(capsys):
    assert run("mlp_classifier")["accuracy"] > 0.93
    assert "I see a" in capsys.readouterr().out


def test_housing_regression():
    shown = run("housing_regression")
    assert shown["error"] < 0.5 * shown["naive_error"]


def test_text_classification(capsys):
    assert run("text_classification")["accuracy"] >= 0.85
    assert "100% friendly: What a lovely" in capsys.readouterr().out


def test_convnet():
    assert run("convnet")["accuracy"] > 0.94


def test_stacked_lstm_alphabet(tmp_path, capsys):
    shown = run("stacked_lstm_alphabet", logs=tmp_path / "logs")
    assert shown["accuracy"] > 0.9
    assert "ABC -> D" in capsys.readouterr().out
    (events,) = (tmp_path / "logs" / "train").iterdir()
    assert "tfevents" in events.name and events.stat().st_size > 1000


def test_cnn_lstm():
    shown = run("cnn_lstm")
    assert shown["accuracy"] > 0.7
    # Four directions, so a guess is right in a quarter of the cases.
    assert abs(shown["still_accuracy"] - 0.25) < 0.1


def test_seq2seq_lstm(capsys):
    assert run("seq2seq_lstm")["accuracy"] > 0.95
    assert "backwards is" in capsys.readouterr().out


def test_bidirectional_lstm():
    shown = run("bidirectional_lstm")
    assert shown["bidirectional"] > 0.95
    assert shown["forward"] < shown["bidirectional"] - 0.1


def test_checkpointing(tmp_path):
    shown = run("checkpointing", folder=tmp_path)
    assert shown["path"] == tmp_path / "best.keras" and shown["path"].is_file()
    assert shown["losses"][-1] > min(shown["losses"]), "it stopped at the best epoch"
    assert shown["loaded_loss"] == pytest.approx(min(shown["losses"]), rel=1e-5)
    assert shown["accuracy"] > 0.9


def test_plot_model(tmp_path):
    path = run("plot_model", file=tmp_path / "model.png")["path"]
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_custom_training_loop():
    shown = run("custom_training_loop")
    for losses in (shown["losses"], shown["fit_losses"]):
        assert losses[-1] < 0.3 * losses[0]
    assert shown["accuracy"] > 0.92
    assert shown["fit_accuracy"] > 0.92


def test_autoencoder():
    shown = run("autoencoder")
    assert shown["losses"][-1] < 0.5 * shown["losses"][0]
    assert shown["error"] < shown["linear_error"]


def test_vae():
    shown = run("vae")
    assert shown["losses"][-1] < 0.8 * shown["losses"][0]
    assert shown["divergence"] > 0.5, "the code carries nothing"
    assert np.ptp(shown["dreams"], axis=0).max() > 0.3, "it always dreams the same"


def test_counting_engine(capsys):
    load("counting_engine").main()
    assert "One training step runs" in capsys.readouterr().out


def test_every_example_is_tested():
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert set(SCRIPTS) <= tests


@pytest.mark.parametrize("name", EXAMPLES)
def test_script_is_self_explanatory_and_portable(name):
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    module = ast.parse(source)
    explanation = ast.get_docstring(module) or ""
    assert "Teaches" in explanation and f"python examples/{name}.py" in explanation
    assert source.count(IMPORT) == 1
    # Beside that one import, nothing but Keras's names; the digits ship with kbackend alone.
    others = {
        (node.module, alias.name)
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kbackend")
        for alias in node.names
    }
    assert others <= {("kbackend", "ops"), ("kbackend.datasets", "digits")}


def test_scripts_run_from_anywhere(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / "mlp_classifier.py"), "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(FOLDER.parent), "PATH": "", "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "--quick" in done.stdout

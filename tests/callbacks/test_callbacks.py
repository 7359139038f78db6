"""Callbacks: what they do to training, and what they write."""

from __future__ import annotations

import csv
import http.server
import json
import pathlib
import threading
import urllib.parse
from typing import Any

import numpy as np
import pytest

import kbackend as k
from kbackend import callbacks as c

X = np.linspace(-1, 1, 24, dtype="float32").reshape(12, 2)
Y = X.sum(axis=1, keepdims=True)


def compiled(optimizer: Any = "sgd", **kwargs: Any) -> Any:
    model = k.Sequential([k.Input((2,)), k.layers.Dense(3, activation="tanh"), k.layers.Dense(1)])
    model.compile(optimizer, "mse", **kwargs)
    return model


def fit(model: Any, *cbs: Any, epochs: int = 3, **kwargs: Any) -> Any:
    return model.fit(X, Y, 4, epochs, verbose=0, callbacks=list(cbs), **kwargs)


def test_names_resolve() -> None:
    keras = pytest.importorskip("keras")
    theirs = {name for name in dir(keras.callbacks) if not name.startswith("_")}
    assert theirs - set(dir(c)) == {"OrbaxCheckpoint"}
    for name in c.__all__:
        assert getattr(c, name).__name__ == name


# ----- monitors -----


@pytest.mark.parametrize(
    ("metric", "name", "direction"),
    [
        ("accuracy", "val_accuracy", "max"),
        ("mae", "mae", "min"),
        (k.losses.mean_squared_error, "mean_squared_error", "min"),
    ],
)
def test_direction_comes_from_the_metric(metric: Any, name: str, direction: str) -> None:
    model = compiled(metrics=[metric])
    fit(model, epochs=1)
    callback = c.MonitorCallback(name)
    callback.set_model(model)
    assert callback._find_direction() == direction


def test_unknown_direction_is_an_error() -> None:
    model = compiled(metrics=[lambda y, p: y])
    with pytest.raises(ValueError, match=r"\[EarlyStopping\].*mode='max'"):
        fit(model, c.EarlyStopping("<lambda>"))


def test_wrong_mode_warns() -> None:
    with pytest.warns(UserWarning, match="'mode' must be"):
        c.EarlyStopping(mode="least")


def test_missing_metric_warns() -> None:
    with pytest.warns(UserWarning, match="'val_loss' is not among the metrics: loss"):
        fit(compiled(), c.EarlyStopping(), epochs=1)
    with pytest.warns(UserWarning, match="'val_loss' is not among the metrics"):
        fit(compiled(), c.ReduceLROnPlateau(), epochs=1)


def test_early_stopping_restores_the_best_weights() -> None:
    seen = []
    # The learning rate makes the model worse from the third epoch on.
    rates = c.LearningRateScheduler(lambda epoch: 0.1 if epoch < 2 else 3.0)
    watch = c.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()))
    stop = c.EarlyStopping("loss", patience=3, restore_best_weights=True)
    model = compiled()
    history = fit(model, rates, watch, stop, epochs=20)
    best = int(np.argmin(history.history["loss"]))
    assert stop.best_epoch == best and len(history.epoch) == best + 4 < 20
    for weight, kept in zip(model.get_weights(), seen[best], strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_early_stopping_tells(capsys: Any) -> None:
    stop = c.EarlyStopping("loss", min_delta=9, verbose=1, restore_best_weights=True)
    fit(compiled(), stop)
    assert capsys.readouterr().out == (
        "Epoch 2: early stopping\nRestoring model weights from the end of the best epoch: 1.\n"
    )


def test_plateau_arguments() -> None:
    with pytest.raises(ValueError, match="'factor' must be below 1"):
        c.ReduceLROnPlateau(factor=1.0)
    with pytest.raises(ValueError, match="unknown arguments: epsilon"):
        c.ReduceLROnPlateau(epsilon=1)


# ----- saving -----


def test_checkpoints_by_epoch(tmp_path: pathlib.Path) -> None:
    model = compiled()
    fit(model, c.ModelCheckpoint(tmp_path / "in" / "m-{epoch:02d}-{loss:.1f}.keras"))
    names = sorted(p.name for p in (tmp_path / "in").iterdir())
    assert [name[:4] for name in names] == ["m-01", "m-02", "m-03"]
    loaded = k.models.load_model(tmp_path / "in" / names[-1])
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_checkpoints_by_batch(tmp_path: pathlib.Path) -> None:
    callback = c.ModelCheckpoint(
        tmp_path / "{epoch}-{batch}.weights.h5", save_freq=2, save_weights_only=True
    )
    fit(compiled(), callback)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "1-2.weights.h5", "2-1.weights.h5", "2-3.weights.h5", "3-2.weights.h5",
    ]  # fmt: skip


def test_checkpoint_of_the_best_only(tmp_path: pathlib.Path, capsys: Any) -> None:
    path = tmp_path / "best.keras"
    callback = c.ModelCheckpoint(
        path, "loss", save_best_only=True, verbose=1, initial_value_threshold=1e9
    )
    rates = c.LearningRateScheduler(lambda epoch: 0.1 if epoch < 1 else 0.0)
    fit(compiled(), rates, callback, shuffle=False)
    out = capsys.readouterr().out
    assert "Epoch 1: loss improved from 1000000000.00000 to" in out
    assert "Epoch 3: loss did not improve from" in out
    with pytest.warns(UserWarning, match="saved without comparing"):
        fit(compiled(), c.ModelCheckpoint(path, save_best_only=True), epochs=1)


def test_checkpoint_errors(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="must end in '.keras'"):
        c.ModelCheckpoint("model")
    with pytest.raises(ValueError, match="must end in '.weights.h5'"):
        c.ModelCheckpoint("model.keras", save_weights_only=True)
    with pytest.raises(ValueError, match="'save_freq' must be"):
        c.ModelCheckpoint("model.keras", save_freq="batch")
    with pytest.raises(KeyError, match="has a place for 'acc'"):
        fit(compiled(), c.ModelCheckpoint(tmp_path / "{acc}.keras"))


class Crash(c.Callback):
    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise RuntimeError("power failure")


@pytest.mark.parametrize("double", [False, True])
def test_interrupted_training_goes_on(tmp_path: pathlib.Path, double: bool) -> None:
    """Adam's moments, the order of the samples and the numbers of the epochs are as without."""

    def start() -> Any:
        k.utils.set_random_seed(3)
        return compiled("adam")

    whole = start()
    expected = fit(whole, epochs=5)
    folder = tmp_path / "backup"
    backup = lambda: c.BackupAndRestore(folder, double_checkpoint=double)  # noqa: E731
    with pytest.raises(RuntimeError, match="power failure"):
        fit(start(), backup(), Crash(3), epochs=5)
    assert (folder / "latest").exists() and (folder / "previous").exists() == double
    model = start()
    history = fit(model, backup(), epochs=5)
    assert history.epoch == [3, 4]
    np.testing.assert_allclose(
        history.history["loss"], expected.history["loss"][3:], rtol=1e-6, atol=0
    )
    assert not folder.exists()
    assert int(model.optimizer.iterations) == int(whole.optimizer.iterations)


def test_backup_by_batches_of_a_model_built_by_fit(tmp_path: pathlib.Path) -> None:
    def start() -> Any:
        model = k.Sequential([k.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    first = start()
    with pytest.raises(RuntimeError):
        fit(first, c.BackupAndRestore(tmp_path / "b", save_freq=2), Crash(2), epochs=5)
    weights = []
    take = c.LambdaCallback(on_epoch_begin=lambda epoch, logs: weights.append(model.get_weights()))
    model = start()
    assert fit(model, c.BackupAndRestore(tmp_path / "b", save_freq=2), take).epoch == [1, 2]
    # The backup is that after the sixth and last batch before the crash.
    for weight, kept in zip(weights[0], first.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_backup_arguments(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        c.BackupAndRestore("")
    with pytest.raises(ValueError, match="'save_freq' must be"):
        c.BackupAndRestore(tmp_path, save_freq="batch")
    keep = c.BackupAndRestore(tmp_path / "kept", save_freq=False, delete_checkpoint=False)
    fit(compiled(), keep, epochs=1)
    assert (tmp_path / "kept" / "latest" / "state.weights.h5").exists()


# ----- schedules and guards -----


def test_schedule(capsys: Any) -> None:
    model = compiled()
    history = fit(model, c.LearningRateScheduler(lambda epoch, rate: 0.5**epoch, verbose=1))
    assert history.history["learning_rate"] == [1.0, 0.5, 0.25]
    assert "Epoch 2: LearningRateScheduler setting learning rate to 0.5." in capsys.readouterr().out
    with pytest.raises(ValueError, match="must return a float. Received: 1 of type int"):
        fit(model, c.LearningRateScheduler(lambda epoch: 1))

    def broken(epoch: int) -> float:
        return epoch + "no number"  # type: ignore[operator]

    with pytest.raises(TypeError, match="unsupported operand"):
        fit(model, c.LearningRateScheduler(broken))


def test_nan_ends_training(capsys: Any) -> None:
    model = compiled()
    bad = X * np.nan
    history = model.fit(bad, Y, 4, epochs=3, verbose=0, callbacks=[c.TerminateOnNaN()])
    assert len(history.epoch) == 1
    assert capsys.readouterr().out == "Batch 0: Invalid loss, terminating training\n"
    with pytest.raises(RuntimeError, match="the loss of batch 0 is nan"):
        model.fit(bad, Y, epochs=1, verbose=0, callbacks=[c.TerminateOnNaN(raise_error=True)])


def test_swapping_needs_averages() -> None:
    with pytest.raises(ValueError, match="use_ema=True"):
        fit(compiled(), c.SwapEMAWeights(True))


def test_swap_is_undone_around_evaluations() -> None:
    model = compiled(k.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9))
    x, y = X[:4], Y[:4]
    model.train_on_batch(x, y)
    model.train_on_batch(x, y)
    weights = model.get_weights()
    plain = model.evaluate(x, y, verbose=0)
    averaged = model.evaluate(x, y, verbose=0, callbacks=[c.SwapEMAWeights()])
    assert plain != averaged
    for now, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, before)


# ----- reports -----


def test_table(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log.csv"
    model = compiled(metrics=["mae"])
    history = fit(model, c.CSVLogger(path), validation_data=(X, Y), validation_freq=2)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [float(row["loss"]) for row in rows] == history.history["loss"]
    assert [row["val_mae"] for row in rows] == ["NA", str(history.history["val_mae"][0]), "NA"]
    fit(model, c.CSVLogger(path, append=True), epochs=1)
    assert path.read_text().count("epoch") == 1 and len(path.read_text().splitlines()) == 5
    fit(model, c.CSVLogger(path, separator=";"), epochs=1)
    assert path.read_text().startswith("epoch;loss;mae")


def test_lambda_takes_every_method() -> None:
    seen: list[str] = []
    callback = c.LambdaCallback(
        on_train_begin=lambda logs: seen.append("begin"),
        on_train_batch_end=lambda batch, logs: seen.append(f"{batch} {sorted(logs)}"),
        on_test_end=lambda logs: seen.append("test"),
        on_train_end=lambda logs: seen.append("end"),
    )
    fit(compiled(), callback, epochs=1, validation_data=(X, Y))
    assert seen == ["begin", "0 ['loss']", "1 ['loss']", "2 ['loss']", "test", "end"]


def test_batch_logs_are_floats() -> None:
    seen: list[Any] = []
    fit(compiled(), c.LambdaCallback(on_train_batch_end=lambda b, logs: seen.append(logs["loss"])))
    assert {type(value) for value in seen} == {float} and len(seen) == 9


def test_what_is_no_callback() -> None:
    with pytest.raises(ValueError, match="must be instances of Callback. Received: 'stop'"):
        fit(compiled(), "stop")


class _Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.received.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


def test_remote_monitor() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Server)
    server.received = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    root = f"http://127.0.0.1:{server.server_port}"
    try:
        as_json = c.RemoteMonitor(root, headers={"X-Run": "7"}, send_as_json=True)
        history = fit(compiled(), c.RemoteMonitor(root, path="/p"), as_json, epochs=1)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    (path, _, form), (_, headers, text) = server.received  # type: ignore[attr-defined]
    expected = {"epoch": 0, "loss": history.history["loss"][0]}
    assert path == "/p" and json.loads(urllib.parse.parse_qs(form)["data"][0]) == expected
    assert json.loads(text) == expected and headers["X-Run"] == "7"
    with pytest.warns(UserWarning, match="could not be reached"):
        fit(compiled(), c.RemoteMonitor(root), epochs=1)
    with pytest.raises(ValueError, match="must begin with http"):
        c.RemoteMonitor("file:///etc")


# ----- TensorBoard -----


def read_events(folder: pathlib.Path) -> dict[str, list[tuple[int, Any]]]:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util import tensor_util

    found: dict[str, list[tuple[int, Any]]] = {}
    for path in sorted(folder.iterdir()):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                array = tensor_util.make_ndarray(value.tensor)
                found.setdefault(value.tag, []).append((event.step, array))
    return found


def test_tensorboard(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tensorboard")
    model = compiled(k.optimizers.SGD(0.25), metrics=["mae"])
    board = c.TensorBoard(
        tmp_path, histogram_freq=2, write_images=True, write_steps_per_second=True, update_freq=2
    )
    history = fit(model, board, validation_data=(X, Y)).history
    train, validation = read_events(tmp_path / "train"), read_events(tmp_path / "validation")
    np.testing.assert_allclose([v for _, v in train["epoch_loss"]], history["loss"], rtol=1e-6)
    np.testing.assert_allclose([v for _, v in validation["epoch_mae"]], history["val_mae"], 1e-6)
    assert [float(v) for _, v in train["epoch_learning_rate"]] == [0.25] * 3
    assert [step for step, _ in train["batch_loss"]] == [2, 4, 6, 8]
    assert {"epoch_steps_per_second", "batch_steps_per_second", "keras"} <= set(train)
    assert "evaluation_loss_vs_iterations" in validation
    kernel = model.layers[0].kernel
    rows = train[f"{kernel.path}/histogram"]
    assert [step for step, _ in rows] == [0, 2]
    last = rows[-1][1]
    assert last.shape == (30, 3) and last[:, 2].sum() == kernel.size
    assert last[0, 0] == pytest.approx(kernel.numpy().min())
    width, height, png = train[f"{kernel.path}/image"][0][1]
    assert (int(width), int(height)) == (3, 2) and png.startswith(b"\x89PNG")


def test_tensorboard_arguments(tmp_path: pathlib.Path) -> None:
    with pytest.warns(UserWarning, match="'profile_batch' is ignored"):
        c.TensorBoard(tmp_path, profile_batch=2)
    with pytest.warns(UserWarning, match="'embeddings_freq' is ignored"):
        c.TensorBoard(tmp_path, embeddings_freq=2)
    with pytest.raises(ValueError, match="'update_freq' must be"):
        c.TensorBoard(tmp_path, update_freq="step")

"""KerasFileEditor."""

import numpy as np
import pytest

import kbackend as keras
from kbackend import layers, saving


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(2)])


@pytest.fixture
def editor(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return saving.KerasFileEditor(tmp_path / "model.keras")


def test_what_is_in_the_file(editor, model, capsys):
    weights = editor.weights_dict["layers"]
    np.testing.assert_array_equal(weights["dense_1"]["0"], model.get_weights()[2])
    editor.summary()
    assert "layers/dense_1\n    0: shape=(4, 2), dtype=float32" in capsys.readouterr().out
    assert editor.compare(model) == {"status": "success", "error_count": 0, "match_count": 4}


def test_edited_weights_load(editor, model, tmp_path, capsys):
    editor.rename_object("layers/dense_1", "other")
    other = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    assert editor.compare(other)["error_count"] == 1
    assert "the model has no object 'layers/other'" in capsys.readouterr().out
    editor.delete_object("other")
    editor.add_weights("dense", {"1": np.full(4, 7.0, "float32")})
    editor.save(tmp_path / "new.weights.h5")
    other.load_weights(tmp_path / "new.weights.h5")
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    assert other.get_weights()[1].tolist() == [7.0] * 4
    editor.delete_weight("dense", "1")
    assert editor.compare(other)["status"] == "error"
    editor.add_object("layers/dense_1", {"0": np.zeros((4, 2))})
    assert editor.weights_dict["layers"]["dense_1"]["0"].shape == (4, 2)


def test_errors(editor, tmp_path):
    with pytest.raises(ValueError, match="there is no object called 'nobody'"):
        editor.delete_object("nobody")
    with pytest.raises(ValueError, match="there is an object 'layers/dense' already"):
        editor.rename_object("dense_1", "dense")
    with pytest.raises(ValueError, match="has no weight '9'"):
        editor.delete_weight("dense", "9")
    with pytest.raises(FileNotFoundError):
        saving.KerasFileEditor(tmp_path / "missing.keras")

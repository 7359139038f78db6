"""plot_model and model_to_dot."""

import pytest

import kbackend as keras
from kbackend import layers, utils
from kbackend.models.diagram import diagram_of
from tests.saving import zoo


def test_boxes_and_arrows():
    diagram = diagram_of(zoo.shared_and_nested(keras), show_shapes=True, show_layer_names=True)
    titles = {box.key: box.title for box in diagram.boxes}
    assert titles["shared"] == "shared (Dense)" and titles["multiply"] == "multiply (Multiply)"
    assert ("multiply", "add") in diagram.arrows and ("a", "inner") in diagram.arrows
    box = next(box for box in diagram.boxes if box.key == "concatenate")
    assert box.fields == {"Input shape": "(None, 3)", "Output shape": "(None, 6)"}


def test_nested_models_are_connected_at_their_ends():
    diagram = diagram_of(zoo.shared_and_nested(keras), expand_nested=True)
    _, arrows = diagram.flattened()
    stack = next(box for box in diagram.boxes if box.key == "stack")
    inner = next(box for box in diagram.boxes if box.key == "inner")
    first, last = stack.inner.boxes[0].key, inner.inner.boxes[-1].key
    assert ("concatenate", first) in arrows
    assert any(a == last and b.startswith("add") for a, b in arrows)


@pytest.mark.parametrize("rankdir", ["TB", "LR", "BT", "RL"])
def test_pictures_without_graphviz(rankdir, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("shutil.which", lambda name: None)
    path = tmp_path / "model.png"
    utils.plot_model(
        zoo.shared_and_nested(keras), path, show_shapes=True, show_dtype=True,
        show_layer_names=True, rankdir=rankdir, expand_nested=True, dpi=40,
        show_layer_activations=True, show_trainable=True,
    )  # fmt: skip
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_names_in_the_picture(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("shutil.which", lambda name: None)
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none"}):
        utils.plot_model(zoo.sequential(keras), tmp_path / "m.svg", show_layer_names=True)
        text = (tmp_path / "m.svg").read_text()
    for title in ("dense (Dense)", "batch_normalization (BatchNormalization)"):
        assert title in text
    with pytest.raises(ValueError, match=r"the format '\.xyz' is unknown"):
        utils.plot_model(zoo.sequential(keras), tmp_path / "m.xyz")


def test_dot(tmp_path):
    pytest.importorskip("pydot")
    model = zoo.shared_and_nested(keras)
    text = utils.model_to_dot(model, show_shapes=True, expand_nested=True, rankdir="LR").to_string()
    assert "rankdir=LR" in text and '"multiply" -> "add"' in text
    assert "Output shape: (None, 6)" in text and "subgraph" in text
    utils.plot_model(model, tmp_path / "model.dot")
    assert (tmp_path / "model.dot").read_text().startswith("digraph")
    assert utils.model_to_dot(model, subgraph=True).to_string().startswith("subgraph")


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="has not been built"):
        utils.plot_model(keras.Sequential([layers.Dense(1)]), tmp_path / "m.png")
    with pytest.raises(ValueError, match="'rankdir' must be one of"):
        utils.plot_model(zoo.sequential(keras), tmp_path / "m.png", rankdir="up")
    with pytest.raises(ValueError, match="'dpi' must be"):
        utils.plot_model(zoo.sequential(keras), tmp_path / "m.png", dpi=0)

"""get_config and from_config of functional models and stacks, and their JSON."""

import json

import numpy as np
import pytest

import kbackend as keras
from kbackend import layers, models


def several():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    dense = layers.Dense(3, name="dense")
    return a, b, dense(a), dense(b)


def ends(model):
    config = model.get_config()
    return config["input_layers"], config["output_layers"]


def test_structures_of_inputs_and_outputs():
    a, b, x, y = several()
    assert ends(keras.Model(a, x)) == (["a", 0, 0], ["dense", 0, 0])
    assert ends(keras.Model([a], x)) == ([["a", 0, 0]], ["dense", 0, 0])
    model = keras.Model({"one": a, "two": b}, {"x": x, "rest": [x + y]})
    assert ends(model) == (
        {"one": ["a", 0, 0], "two": ["b", 0, 0]},
        {"x": ["dense", 0, 0], "rest": [["add", 0, 0]]},
    )
    again = keras.Model.from_config(model.get_config())
    assert ends(again) == ends(model)
    assert isinstance(again.output["rest"], list)


def test_calls_outside_of_the_graph_are_left_out():
    a, b, _, y = several()
    # Only the second call of the layer belongs to this model.
    config = keras.Model(b, y).get_config()
    assert [layer["name"] for layer in config["layers"]] == ["b", "dense"]
    assert config["output_layers"] == ["dense", 0, 0]
    assert len(config["layers"][1]["inbound_nodes"]) == 1


def test_trainable_and_names_come_back():
    a, b, x, y = several()
    model = keras.Model([a, b], [x, y], name="mine")
    model.get_layer("dense").trainable = False
    again = keras.Model.from_config(model.get_config())
    assert again.name == "mine"
    assert not again.get_layer("dense").trainable
    assert again.trainable


def test_a_subclass_made_from_a_graph():
    class Mine(keras.Model):
        pass

    x = keras.Input((2,))
    model = Mine(x, layers.Dense(1)(x))
    again = Mine.from_config(model.get_config())
    assert type(again) is Mine and again.output_shape == (None, 1)


def test_ops_with_values_and_masks():
    x = keras.Input((4, 2))
    masked = layers.Masking()(x)
    y = keras.ops.multiply(masked, np.arange(2, dtype="float32"))
    y = keras.ops.clip(y, -1.0, keras.ops.mean(x))
    model = keras.Model(x, y[:, ::2, None])
    again = models.model_from_json(model.to_json())
    data = np.random.default_rng(0).standard_normal((3, 4, 2)).astype("float32")
    np.testing.assert_array_equal(model(data), again(data))


def test_stacks():
    stack = keras.Sequential([layers.Dense(2)], name="stack")
    assert "build_input_shape" not in stack.get_config()
    assert not keras.Sequential.from_config(stack.get_config()).built
    stack.build((None, 3))
    again = keras.Sequential.from_config(stack.get_config())
    assert again.name == "stack" and again.output_shape == (None, 2)
    nested = keras.Sequential([keras.Input((3,)), stack])
    assert models.model_from_json(nested.to_json()).count_params() == 8


def test_errors():
    with pytest.raises(ValueError, match="must be what Model.to_json"):
        models.model_from_json("{")
    a, _, x, _ = several()
    model = keras.Model(a, x)
    config = json.loads(json.dumps(model.get_config()))
    config["layers"][1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "nobody"
    with pytest.raises(ValueError, match="take tensors that none computes: dense"):
        keras.Model.from_config(config)
    config = json.loads(json.dumps(model.get_config()))
    config["output_layers"] = ["dense", 3, 0]
    with pytest.raises(ValueError, match="the config of the graph is malformed"):
        keras.Model.from_config(config)
    double = keras.Model(a, layers.Dense(3, name="dense")(x))
    with pytest.raises(ValueError, match="names of layers must differ"):
        double.get_config()

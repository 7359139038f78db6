"""model.summary()."""

import numpy as np
import pytest

import kbackend
from kbackend import layers
from tests.saving import zoo


def text_of(model, **kwargs):
    found = []
    model.summary(print_fn=lambda text, **_: found.append(text), **kwargs)
    return found[0]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("build", [zoo.sequential, zoo.deferred, zoo.shared_and_nested])
def test_the_table_is_keras_s(build):
    keras = pytest.importorskip("keras")
    keras.utils.clear_session()
    ours, theirs = (text_of(build(k)).strip().split("\n") for k in (kbackend, keras))
    assert [line.rstrip() for line in ours] == [line.rstrip() for line in theirs]


def test_trainable_and_nested_layers():
    model = zoo.shared_and_nested(kbackend)
    model.get_layer("stack").trainable = False
    text = text_of(model, expand_nested=True, show_trainable=True)
    rows = {
        line.split("│")[1].strip().split(" ")[0]: line for line in text.split("\n") if "│" in line
    }
    assert rows["shared"].rstrip("│ ").endswith("Y")
    assert rows["stack"].rstrip("│ ").endswith("N")
    assert rows["multiply"].rstrip("│ ").endswith("-")
    assert "   └ dense" in text
    assert "Non-trainable params: 21 (84.00 B)" in text


def test_width_and_positions():
    model = zoo.sequential(kbackend)
    lines = text_of(model, line_length=50).split("\n")
    assert {len(line) for line in lines[1:-3]} == {50}
    lines = text_of(model, line_length=100, positions=[0.5, 0.8, 1.0]).split("\n")
    assert lines[1].index("┳") == 49 and len(lines[1]) == 100
    with pytest.raises(ValueError, match="one entry for each of the 3 columns"):
        text_of(model, positions=[0.5, 1.0])


def test_ranges():
    model = zoo.shared_and_nested(kbackend)
    text = text_of(model, layer_range=["mult", "concat"])
    assert "multiply (Multiply)" in text.replace("\n", "") or "multiply" in text
    assert "InputLayer" not in text and "stack (Seq" not in text
    with pytest.raises(ValueError, match="names no layer by 'nobody'"):
        text_of(model, layer_range=["nobody", "add"])


def test_models_that_are_not_built():
    class Net(kbackend.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    model = Net()
    assert "0 (unbuilt)" in text_of(model)
    model(np.ones((1, 2), "float32"))
    text = text_of(model)
    assert "(1, 3)" in text and "Total params: 9 (36.00 B)" in text


def test_the_optimizer_counts_once_it_is_built(capsys):
    model = zoo.sequential(kbackend)
    model.compile("sgd", "mse")
    assert "Optimizer" not in text_of(model)
    model.optimizer.build(model.trainable_variables)
    model.summary()
    assert " Optimizer params: 2 (8.00 B)" in capsys.readouterr().out

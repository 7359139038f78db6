"""`Wrapper`: building, tracking and configs of a layer around a layer."""

import numpy as np
import pytest

from kbackend import layers
from kbackend.base import serialization
from tests.layers.harness import keras, plain


class Around(layers.Wrapper):
    def call(self, inputs):
        return self.layer(inputs)


def test_builds_and_tracks_the_layer_inside():
    wrapper = Around(layers.Dense(2, name="inner"), name="outer")
    out = wrapper(np.ones((2, 3)))
    assert out.shape == (2, 2)
    assert wrapper.layer.built
    assert [w.path for w in wrapper.weights] == ["outer/inner/kernel", "outer/inner/bias"]


def test_config():
    ours = layers.Wrapper(layers.Dense(2)).get_config()
    assert plain(ours) == plain(keras.layers.Wrapper(keras.layers.Dense(2)).get_config())
    again = layers.Wrapper.from_config(ours)
    assert again.layer.units == 2
    stored = serialization.serialize(layers.Wrapper(layers.Dense(3)))
    assert serialization.deserialize(stored).layer.units == 3


def test_wraps_layers_only():
    with pytest.raises(ValueError, match=r"\[Wrapper\] 'layer' must be a Layer. Received: layer=3"):
        layers.Wrapper(3)

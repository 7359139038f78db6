"""Real Keras runs on JAX here. The backend is chosen before it is imported."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import pytest  # noqa: E402 - the variable comes first

pytest.register_assert_rewrite("tests.layers.harness")

"""Keras on TensorFlow."""

from __future__ import annotations

from .keras_api import KerasPeer


class KerasTensorFlow(KerasPeer):
    """TensorFlow tells its threads, 0 for as many as there are cores."""

    def threads(self) -> str:
        """Threads inside one operation."""
        import tensorflow

        return str(tensorflow.config.threading.get_intra_op_parallelism_threads() or "all cores")


def peers() -> list[KerasPeer]:
    """The peer `keras-tensorflow`."""
    return [KerasTensorFlow("tensorflow", "TensorFlow", "tensorflow", "tensorflow")]

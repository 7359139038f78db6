"""Keras on JAX."""

from __future__ import annotations

from .keras_api import KerasPeer


class KerasJax(KerasPeer):
    """JAX keeps a cache of compiled programs only where it is told to."""

    def cache_environment(self, folder: str) -> dict[str, str]:
        """Every program is kept, however fast it compiled."""
        return {
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }


def peers() -> list[KerasPeer]:
    """The peer `keras-jax`."""
    return [KerasJax("jax", "JAX", "jax", "jax")]

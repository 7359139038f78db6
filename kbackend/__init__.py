"""kbackend: the Keras 3 API on pluggable tensor engines (NumPy, Numba, CuPy)."""

from kbackend._api import PUBLIC
from kbackend._version import __version__
from kbackend.base.lazy import attach


def version() -> str:
    """The version of kbackend.

    Returns:
        For example `"0.1.0"`.

    >>> import kbackend
    >>> kbackend.version() == kbackend.__version__
    True
    """
    return __version__


__getattr__, __dir__ = attach(__name__, {**PUBLIC})

# Read by `from kbackend import *`, which imports everything.
__all__ = [*PUBLIC, "__version__", "version"]  # noqa: PLE0604 (the names are strings)

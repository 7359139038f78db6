"""The version, read by the build and shown as `kbackend.__version__`."""

__version__ = "0.1.0"

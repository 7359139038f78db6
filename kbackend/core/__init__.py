"""Primitives, their binders, and the tensor that users see."""

from kbackend.core import indexing as indexing  # gives Tensor its operators and x[key]

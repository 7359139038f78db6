"""Primitives, their binders, and the tensor that users see."""

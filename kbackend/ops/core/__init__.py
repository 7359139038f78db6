"""Ops on tensors as such: conversion, parts, choices and loops."""

from kbackend.ops.core.control import cond, fori_loop, switch, while_loop
from kbackend.ops.core.convert import (
    cast,
    convert_to_numpy,
    convert_to_tensor,
    custom_gradient,
    dtype,
    is_tensor,
    saturate_cast,
    shape,
    stop_gradient,
)
from kbackend.ops.core.indexing import scatter, scatter_update, slice, slice_update, unstack
from kbackend.ops.core.scans import associative_scan, map, scan, vectorized_map

__all__ = [
    "associative_scan", "cast", "cond", "convert_to_numpy", "convert_to_tensor",
    "custom_gradient", "dtype", "fori_loop", "is_tensor", "map", "saturate_cast", "scan",
    "scatter", "scatter_update", "shape", "slice", "slice_update", "stop_gradient", "switch",
    "unstack", "vectorized_map", "while_loop",
]  # fmt: skip

"""Fused regions as one compiled loop nest."""

from __future__ import annotations

from kbackend_numba.native import Prepare

PREPARE: dict[str, Prepare] = {}

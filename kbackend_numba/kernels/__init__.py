"""Families of compiled kernels."""

"""Kernels written once against the NumPy API, for every engine with an array module of that kind.

Each family file has `kernels(xp)`, which returns the kernels closed over the array module `xp`.
"""

"""Kernels that NumPy can run faster than the shared array-module ones."""

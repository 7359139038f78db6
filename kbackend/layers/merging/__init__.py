"""Layers and functions that merge several tensors into one."""

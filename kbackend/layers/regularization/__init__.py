"""Layers that add noise or penalties while training."""

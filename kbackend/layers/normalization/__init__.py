"""Layers that bring activations, or kernels, to a common scale."""

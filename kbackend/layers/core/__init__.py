"""Layers that most models are made of."""

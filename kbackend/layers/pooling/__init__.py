"""Layers that summarise windows of space or time, or all of it."""

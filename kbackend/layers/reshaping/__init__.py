"""Layers that rearrange, repeat, crop and pad."""

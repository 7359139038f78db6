"""Convolutions by cuDNN, where its Python frontend is installed."""

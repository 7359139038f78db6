"""The batch in parts: work on different rows, done side by side and in cache-sized pieces."""

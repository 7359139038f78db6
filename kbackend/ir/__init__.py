"""The intermediate representation: what a traced function computes, as data."""

# Graphs print themselves by it.
from kbackend.ir.text import to_text as to_text

"""Rewritings of graphs: each is a pure function from a graph to a graph, in a file of its own."""

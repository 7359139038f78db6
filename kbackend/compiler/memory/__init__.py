"""Where the values of a program are kept: layouts, lifetimes, and offsets in one arena."""

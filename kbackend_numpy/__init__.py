"""The NumPy engine: needs NumPy alone, trains, and is what other engines are checked against."""

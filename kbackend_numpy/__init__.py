"""The NumPy engine: needs NumPy alone, trains, and is what the other engines are checked against."""

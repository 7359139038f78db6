"""State: variables, dtype policies, seed generators, and scopes that change how they are read."""

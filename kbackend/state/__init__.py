"""State: variables, dtype policies, seed generators, and the scopes that change how they are read."""

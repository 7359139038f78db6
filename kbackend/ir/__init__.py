"""The intermediate representation: what a traced function computes, as data."""

"""From a traced function to a program that an engine replays."""

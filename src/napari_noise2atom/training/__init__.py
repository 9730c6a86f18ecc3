"""Learning from a movie."""

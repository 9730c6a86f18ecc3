"""Generators, critic and low-pass."""

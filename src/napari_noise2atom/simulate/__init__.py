"""Simulated clean images and noisy movies with known atoms."""

"""Scores with and without known truth."""

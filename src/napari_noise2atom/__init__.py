"""Noise2Atom: unsupervised denoising of atomic-resolution STEM movies."""

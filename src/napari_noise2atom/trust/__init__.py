"""Can one believe what one sees? Atoms with their confidence, a test on pure noise, and what denoising took away."""

from .atoms import Atoms, measure_atoms
from .noisetest import NoiseTest, noise_test
from .nulls import NULLS, NullKind, null_movie
from .residual import Residual, measure_residual
from .threshold import atom_threshold

__all__ = [
    "NULLS",
    "Atoms",
    "NoiseTest",
    "NullKind",
    "Residual",
    "atom_threshold",
    "measure_atoms",
    "measure_residual",
    "noise_test",
    "null_movie",
]

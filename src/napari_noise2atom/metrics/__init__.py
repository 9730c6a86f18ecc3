"""Scores with and without known truth."""

from .atoms import find_atoms, match_atoms
from .css import css, css_per_pair
from .detection import Detection, detection_scores
from .reference import low_pass_correlation, psnr_affine, residual_autocorrelation, ssim
from .scores import Scores, score_movie, write_columns, write_csv
from .truth import Truth, load_truth

__all__ = [
    "Detection",
    "Scores",
    "Truth",
    "css",
    "css_per_pair",
    "detection_scores",
    "find_atoms",
    "load_truth",
    "low_pass_correlation",
    "match_atoms",
    "psnr_affine",
    "residual_autocorrelation",
    "score_movie",
    "ssim",
    "write_columns",
    "write_csv",
]

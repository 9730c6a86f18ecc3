"""Scores of a model on a few fixed frames; they decide which model of a run is kept.

CSS alone would choose a blank or a smeared movie. What decides is how well the model explains raw pixels that were
hidden from it: a blank movie explains nothing, a smeared one less than a sharp one, an inverted one the opposite.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noise2atom.inference import translate_windows
from napari_noise2atom.metrics import css, low_pass_correlation, residual_autocorrelation
from napari_noise2atom.networks import Generator

from .patches import Patches, hidden_places, hide

__all__ = ["Probe", "ProbeScores"]

HIDINGS = ((0, 0), (2, 3), (1, 6), (3, 9))
"""First judged pixels; each hiding is one pass over the probe frames."""


@dataclass(frozen=True, eq=False)
class ProbeScores:
    """What a model makes of the probe frames."""

    values: dict[str, float]
    """By name; `quality` is the share of the variance of hidden raw pixels that the model explains, negative if the
    model is inverted."""
    denoised: NDArray[np.float32]
    """The probe frames, shape (n, y, x), in [0, 1]."""


class Probe:
    """Frames on which models are compared.

    Parameters
    ----------
    patches : Patches
        Windows of consecutive pairs of frames: frame 2i + 1 follows frame 2i.
    device : torch.device
        Where to compute.
    blur_px : float
        Blur of the recorded frames, as in ``detector.blur_px``.
    """

    def __init__(self, patches: Patches, device: torch.device, blur_px: float = 0.0) -> None:
        self.patches, self.device, self._blur_px = patches, device, blur_px
        self._raw = patches.windows[:, patches.windows.shape[1] // 2]
        low, high = float(self._raw.min()), float(self._raw.max())
        self._unit = (self._raw - low) / max(high - low, 1e-12)
        self._raw_css = _pair_css(self._unit)

    def score(self, generator: Generator) -> ProbeScores:
        """Score a generator; it is left in the mode in which it was."""
        denoised = self.denoise(generator, self.patches)
        with _applied(generator):
            quality = self._quality(generator)
        pairs = [(r, d) for r, d in zip(self._raw, denoised, strict=True)]
        residuals = np.array([residual_autocorrelation(r, d) for r, d in pairs])
        low_pass = [low_pass_correlation(r, d) for r, d in pairs]
        values = {
            "quality": quality,
            "css": _pair_css(denoised),
            "raw css": self._raw_css,
            "mean": float(denoised.mean()),
            "spread": float(denoised.std()),
            "low-pass correlation": _mean(low_pass),
            "residual x": _mean(residuals[:, 0]),
            "residual y": _mean(residuals[:, 1]),
        }
        return ProbeScores(values, denoised)

    def denoise(self, generator: Generator, patches: Patches) -> NDArray[np.float32]:
        """Denoise windows, probe frames or others; returns shape (n, y, x), in [0, 1]."""
        with _applied(generator):
            return np.stack([self._denoise(generator, self._on_device(window)) for window in patches.windows])

    def _on_device(self, window: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(window).to(self.device)

    @staticmethod
    def _denoise(generator: Generator, window: Tensor) -> NDArray[np.float32]:
        return translate_windows(generator, window[None])[0].float().cpu().numpy()

    def _quality(self, generator: Generator) -> float:
        """Regress hidden raw pixels on the model and on a plane in each frame; return the model's signed share."""
        raw: list[NDArray[np.float64]] = []
        seen: list[NDArray[np.float64]] = []
        size = self._raw.shape[1], self._raw.shape[2]
        terms = _plane(size)
        for number, frame in enumerate(self._raw):
            for row, column in HIDINGS:
                judged, hidden = hidden_places(size, row, column, blur_px=self._blur_px)
                window = self._on_device(self.patches.windows[number])
                denoised = self._denoise(generator, hide(window[None], hidden.to(self.device), self._blur_px)[0])
                chosen = judged.numpy()
                raw.append(_without(frame[chosen], terms[chosen]))
                seen.append(_without(denoised[chosen], terms[chosen]))
        x, y = np.concatenate(seen), np.concatenate(raw)
        power = float((x * x).sum() * (y * y).sum())
        if power == 0:
            return 0.0
        correlation = float((x * y).sum()) / np.sqrt(power)
        return float(np.sign(correlation) * correlation**2)


@contextmanager
def _applied(generator: Generator) -> Iterator[None]:
    """Use a generator for its results, and leave it in the mode in which it was."""
    training = generator.training
    generator.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        generator.train(training)


def _plane(size: tuple[int, int]) -> NDArray[np.float64]:
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij")
    return np.stack([np.ones(size), y, x], axis=-1)


def _without(values: NDArray[np.float32], terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values without their plane."""
    exact = values.astype(np.float64)
    rest: NDArray[np.float64] = exact - terms @ np.linalg.lstsq(terms, exact, rcond=None)[0]
    return rest


def _pair_css(images: NDArray[np.float32]) -> float:
    return _mean([css(images[i], images[i + 1]) for i in range(0, len(images) - 1, 2)])


def _mean(values: "list[float] | NDArray[np.float64]") -> float:
    """Return the mean of what is a number; 0 if nothing is."""
    known = [float(value) for value in values if np.isfinite(value)]
    return sum(known) / len(known) if known else 0.0

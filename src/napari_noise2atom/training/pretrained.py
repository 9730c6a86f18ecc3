"""Weights with which a warm start begins (not in the paper); `benchmarks/pretrain.py` makes them."""

from pathlib import Path

from torch import Tensor

from napari_noise2atom.modelfile import load_tensors
from napari_noise2atom.settings import NetworkSettings

__all__ = ["load_pretrained", "pretrained_path"]

FOLDER = Path(__file__).with_name("weights")
FIRST = "stem.0.weight"
"""Of the convolution that sees the frames, shape (channels, frames, 3, 3)."""


def pretrained_path(network: NetworkSettings) -> Path:
    """Return where the weights of s2c are, or would be.

    Parameters
    ----------
    network : NetworkSettings
        Architecture and channels.

    Returns
    -------
    Path
    """
    return FOLDER / f"{network.architecture}-{network.channels}-channels.safetensors"


def load_pretrained(network: NetworkSettings) -> dict[str, Tensor] | None:
    """Read the weights of s2c that come with this package.

    Parameters
    ----------
    network : NetworkSettings
        Architecture, frames and channels.

    Returns
    -------
    dict of str to Tensor, or None
        float32 on the CPU, kept in half precision; None if there are none for such a network. One that sees fewer
        frames begins without the outer ones.
    """
    path = pretrained_path(network)
    if not path.exists():
        return None
    weights, _ = load_tensors(path)
    first = weights[FIRST]
    outer = (first.shape[1] - network.frames_in) // 2
    if outer < 0:
        return None
    weights[FIRST] = first[:, outer : outer + network.frames_in]
    return {name: weight.float() for name, weight in weights.items()}

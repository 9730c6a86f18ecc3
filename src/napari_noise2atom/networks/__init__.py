"""Networks: two generators, the critic, the low-pass. No training loop, no files."""

from napari_noise2atom.settings import NetworkSettings

from .blank import blank
from .compact import CompactGenerator
from .critic import Critic
from .device import limited_threads, mixed_precision, precision, resolve_device, spare_threads, use_threads
from .generator import STRIDE_PX, Generator, memory_layout, pad_to_stride, round_weights
from .lowpass import LowPass
from .norm import InstanceNorm, frozen_statistics
from .paper import PaperGenerator
from .tiling import translate_tiled

__all__ = [
    "STRIDE_PX",
    "CompactGenerator",
    "Critic",
    "Generator",
    "InstanceNorm",
    "LowPass",
    "PaperGenerator",
    "blank",
    "build_c2s",
    "build_critic",
    "build_s2c",
    "frozen_statistics",
    "limited_threads",
    "memory_layout",
    "mixed_precision",
    "pad_to_stride",
    "precision",
    "resolve_device",
    "round_weights",
    "spare_threads",
    "translate_tiled",
    "use_threads",
]


def build_s2c(settings: NetworkSettings) -> Generator:
    """Return the generator from ``frames_in`` noisy frames to the clean image of the middle one.

    Parameters
    ----------
    settings : NetworkSettings
        Architecture, frames and channels.

    Returns
    -------
    Generator
        Freshly initialised from torch's global random numbers.
    """
    if settings.architecture == "paper":
        return PaperGenerator(settings.frames_in)
    return CompactGenerator(settings.frames_in, settings.channels)


def build_c2s(settings: NetworkSettings) -> Generator:
    """Return the generator from one clean image to one noisy frame.

    The paper's makes one noisy frame of a clean image; the compact one has a channel of noise, so that it can make
    many.

    Parameters
    ----------
    settings : NetworkSettings
        Architecture and channels.

    Returns
    -------
    Generator
        Freshly initialised; ``noise_channels`` tells what the caller appends.
    """
    if settings.architecture == "paper":
        return PaperGenerator()
    return CompactGenerator(1, settings.channels, noise_channels=1)


def build_critic(settings: NetworkSettings, size_px: int) -> Critic:
    """Return the critic that goes with an architecture.

    Parameters
    ----------
    settings : NetworkSettings
        The compact critic has a quarter of the paper's channels.
    size_px : int
        Side of the square crops [px].

    Returns
    -------
    Critic
    """
    return Critic(size_px) if settings.architecture == "paper" else Critic(size_px, (16, 16, 32, 32))

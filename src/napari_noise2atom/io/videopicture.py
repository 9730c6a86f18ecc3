"""The picture of a video: panels side by side, their names above, scale bar and time below."""

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Layout", "Picture", "bar_length", "bar_text", "time_text"]

MAX_SIZE_PX = (3840, 2160)
"""Largest picture, width and height: that of 4K, which every decoder for it can show [px]."""
MIN_PANEL_PX = 512
"""Smaller frames are magnified until their longer side has this many pixels [px]."""
_GAP, _TEXT, _STRIP = 0.025, 0.05, 0.1
"""Space between panels, size of letters and height of a strip of text, relative to a panel's shorter side."""
_MIN_TEXT_PX = 14
_BACKGROUND, _LETTERS, _BAR = 20, 225, 255
"""Grey values of 0 to 255."""


@dataclass(frozen=True)
class Layout:
    """Where things are in the picture.

    Parameters
    ----------
    panel : tuple of int
        Width and height of a panel [px].
    lefts : tuple of int
        Left edge of each panel [px].
    top : int
        Top edge of the panels [px].
    gap : int
        Space between panels and around them [px].
    text : int
        Size of the letters [px].
    size : tuple of int
        Width and height of the picture, both even, as the encoder wants them [px].
    """

    panel: tuple[int, int]
    lefts: tuple[int, ...]
    top: int
    gap: int
    text: int
    size: tuple[int, int]

    @classmethod
    def of(cls, panels: int, rows: int, columns: int) -> "Layout":
        """Arrange panels of frames of a size in a row.

        Small frames are magnified by a whole factor, large ones are reduced until the picture fits into that of 4K.

        Parameters
        ----------
        panels : int
            How many.
        rows, columns : int
            Size of a frame [px].
        """
        scale = _scale(panels, rows, columns)
        width, height = max(1, int(columns * scale)), max(1, int(rows * scale))
        short = min(width, height)
        gap, text = max(4, int(_GAP * short)), max(_MIN_TEXT_PX, int(_TEXT * short))
        strip = max(2 * _MIN_TEXT_PX, int(_STRIP * short))
        lefts = tuple(gap + i * (width + gap) for i in range(panels))
        whole = (lefts[-1] + width + gap, height + 2 * strip)
        return cls((width, height), lefts, strip, gap, text, (whole[0] + whole[0] % 2, whole[1] + whole[1] % 2))


def _scale(panels: int, rows: int, columns: int) -> float:
    """Return by how much frames are magnified: a whole number, or less than one."""
    short = min(rows, columns)
    width, height = panels * columns + (panels + 1) * _GAP * short, rows + 2 * _STRIP * short
    fit = min(MAX_SIZE_PX[0] / width, MAX_SIZE_PX[1] / height)
    wanted = math.ceil(MIN_PANEL_PX / max(rows, columns))
    return min(wanted, math.floor(fit)) if fit >= 1 else fit


class Picture:
    """Draws the frames of one moment; what does not change is drawn once.

    Parameters
    ----------
    layout : Layout
        Where things are.
    names : sequence of str
        The panels' captions, shortened where they are too long.
    bar : tuple of float and str
        The scale bar's length relative to a panel's width, and what stands beside it.
    """

    def __init__(self, layout: Layout, names: Sequence[str], bar: tuple[float, str]) -> None:
        self._layout, self._font = layout, _font(layout.text)
        self._still = Image.new("L", layout.size, _BACKGROUND)
        draw = ImageDraw.Draw(self._still)
        width, height = layout.panel
        for left, name in zip(layout.lefts, names, strict=True):
            text = _shortened(name, self._font, width)
            draw.text((left + width / 2, layout.top / 2), text, _LETTERS, self._font, anchor="mm")
        self._below = layout.top + height + layout.top / 2
        self._draw_bar(draw, *bar)

    def _draw_bar(self, draw: ImageDraw.ImageDraw, share: float, text: str) -> None:
        left, thick = self._layout.lefts[0], max(4, self._layout.text // 4)
        length = max(1, round(share * self._layout.panel[0]))
        top = round(self._below - thick / 2)
        draw.rectangle((left, top, left + length - 1, top + thick - 1), _BAR)
        draw.text((left + length + self._layout.text // 2, self._below), text, _LETTERS, self._font, anchor="lm")

    def draw(self, images: Sequence[NDArray[np.uint8]], time: str) -> NDArray[np.uint8]:
        """Return the picture of one moment.

        Parameters
        ----------
        images : sequence of uint8 arrays, shape (y, x)
            Grey values of 0 to 255, one image a panel.
        time : str
            What stands at the lower right.

        Returns
        -------
        uint8 array, shape (height, width)
        """
        picture = self._still.copy()
        for left, image in zip(self._layout.lefts, images, strict=True):
            picture.paste(_resized(image, self._layout.panel), (left, self._layout.top))
        right = self._layout.lefts[-1] + self._layout.panel[0]
        ImageDraw.Draw(picture).text((right, self._below), time, _LETTERS, self._font, anchor="rm")
        return np.asarray(picture)


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    """Return an image with every pixel a square when it grows, and without moiré when it shrinks."""
    larger = size[0] >= image.shape[1]
    return Image.fromarray(image).resize(size, Image.Resampling.NEAREST if larger else Image.Resampling.LANCZOS)


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return the font that matplotlib brings along: Pillow's own has neither µ nor Å."""
    package = importlib.util.find_spec("matplotlib")
    folders = package.submodule_search_locations if package else None
    folder = Path(folders[0] if folders else "matplotlib") / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(folder / "DejaVuSans.ttf", size_px)


def _shortened(text: str, font: ImageFont.FreeTypeFont, width_px: int) -> str:
    """Return a text on one line, cut off with … where it would be wider."""
    text = " ".join(text.split())
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "…") > width_px:
        text = text[:-1]
    return text.rstrip() + "…"


def bar_length(width: float) -> float:
    """Return the length of 1, 2 or 5 times a power of ten that is closest to a fifth of a panel's width.

    Parameters
    ----------
    width : float
        Width of a panel, in any unit.

    Returns
    -------
    float
        In the same unit; between 1/8 and 1/3 of the width.
    """
    power = math.floor(math.log10(width / 5))
    lengths = [float(f"{factor}e{power}") for factor in (1, 2, 5, 10)]
    return min(lengths, key=lambda length: abs(math.log(5 * length / width)))


def bar_text(length_nm: float) -> str:
    """Return a length in the unit that makes it a short number: Å, nm, µm or mm."""
    for unit, nanometres in (("mm", 1e6), ("µm", 1e3), ("nm", 1.0)):
        if length_nm >= nanometres * (1 - 1e-9):
            return f"{length_nm / nanometres:g} {unit}"
    return f"{length_nm * 10:g} Å"


def time_text(index: int, frames: int, frame_time_s: float | None) -> str:
    """Return the time of a frame, or its number if the time is not known.

    Unit and decimals are the same for all frames of a movie, and two neighbours never show the same time.

    Parameters
    ----------
    index : int
        The frame, counted from 0.
    frames : int
        Number of frames of the movie.
    frame_time_s : float or None
        Time from one frame to the next [s].

    Returns
    -------
    str
    """
    if not frame_time_s:
        return f"frame {index}"
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, seconds = next((u for u in units if frames * frame_time_s >= u[1]), units[-1])
    step = frame_time_s / seconds
    decimals = max(0, math.ceil(-math.log10(step) - 1e-9))
    # 0.25 s is better shown as 0.25, 0.50 than as 0.2, 0.5; 1/15 s has no end
    if not _exact(step, decimals) and _exact(step, decimals + 1):
        decimals += 1
    return f"{index * step:.{decimals}f} {unit}"


def _exact(value: float, decimals: int) -> bool:
    return math.isclose(round(value, decimals), value, rel_tol=1e-6)

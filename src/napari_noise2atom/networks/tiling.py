"""Large frames in tiles, whose results do not depend on the tiles."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .generator import STRIDE_PX, Generator, SplitGenerator, pad_to_stride

__all__ = ["translate_tiled"]


@dataclass(frozen=True)
class _Span:
    """A tile along one axis: what is read and what of it is kept [px]."""

    start: int
    stop: int
    core_start: int
    core_stop: int

    def read(self, stride_px: int = 1) -> slice:
        return slice(self.start // stride_px, self.stop // stride_px)

    def kept(self, stride_px: int = 1) -> slice:
        """Return the core in coordinates of what was read."""
        return slice((self.core_start - self.start) // stride_px, (self.core_stop - self.start) // stride_px)


def translate_tiled(generator: Generator, images: Tensor, tile_px: int | None = None) -> Tensor:
    """Translate images of any size with bounded memory.

    Every tile is read with the generator's overlap, clipped at the edge of the image, and only its core is kept. The
    result is that of the whole image at once, but for rounding; a generator with instance norm needs
    `frozen_statistics` for that.

    Parameters
    ----------
    generator : Generator
        The network.
    images : Tensor, shape (n, channels_in, h, w)
        Input as for the generator.
    tile_px : int, optional
        Side of a tile's core, rounded to a multiple of 8; the generator's own if left out [px].

    Returns
    -------
    Tensor, shape (n, 1, h, w)
    """
    height, width = images.shape[-2:]
    tile_px = tile_px or generator.tile_px
    if max(height, width) <= tile_px:
        return generator(images)  # type: ignore[no-any-return]
    images = pad_to_stride(images)
    if isinstance(generator, SplitGenerator):
        translated = _translate_split(generator, images, tile_px)
    else:
        translated = _assemble(
            images,
            generator.overlap_px,
            tile_px,
            lambda rows, columns: generator.translate(images[..., rows.read(), columns.read()]),
        )
    return translated[..., :height, :width]


def _translate_split(generator: SplitGenerator, images: Tensor, tile_px: int) -> Tensor:
    """Encode in tiles, find the context of the whole image, decode in tiles."""
    stride = generator.context_stride_px

    def encode(rows: _Span, columns: _Span) -> Tensor:
        return generator.coarse(images[..., rows.read(), columns.read()])

    def decode(rows: _Span, columns: _Span) -> Tensor:
        return generator.fine(
            images[..., rows.read(), columns.read()], context[..., rows.read(stride), columns.read(stride)]
        )

    context = generator.context(_assemble(images, generator.overlap_px, tile_px, encode, stride))
    return _assemble(images, generator.overlap_px, tile_px, decode)


def _assemble(
    images: Tensor, overlap_px: int, tile_px: int, translate: Callable[[_Span, _Span], Tensor], stride_px: int = 1
) -> Tensor:
    """Put the cores of all tiles together; the result has the images' size divided by a stride."""
    height, width = images.shape[-2:]

    def core(rows: _Span, columns: _Span) -> Tensor:
        return translate(rows, columns)[..., rows.kept(stride_px), columns.kept(stride_px)]

    return torch.cat(
        [
            torch.cat([core(rows, columns) for columns in _spans(width, tile_px, overlap_px)], dim=-1)
            for rows in _spans(height, tile_px, overlap_px)
        ],
        dim=-2,
    )


def _spans(length_px: int, tile_px: int, overlap_px: int) -> Iterator[_Span]:
    step = max(STRIDE_PX, tile_px // STRIDE_PX * STRIDE_PX)
    for start in range(0, length_px, step):
        stop = min(start + step, length_px)
        yield _Span(max(0, start - overlap_px), min(length_px, stop + overlap_px), start, stop)

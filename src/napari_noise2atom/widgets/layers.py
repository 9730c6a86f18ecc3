"""Layers made here: beside the raw one in place and units, and recognisable as results."""

import math
from collections import deque
from collections.abc import Callable
from itertools import product
from typing import Any
from uuid import uuid4

import numpy as np
from napari.layers import Image, Layer, Points, Tracks
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_noise2atom.browsing import BackgroundFrames, BrowsedArray
from napari_noise2atom.movie import Movie
from napari_noise2atom.trust import Atoms

from .jobs import READ_MS
from .threads import in_words

__all__ = [
    "LiveLayer",
    "SparseFrames",
    "add_atoms",
    "add_live_result",
    "add_result",
    "contrast_of",
    "current_frame",
    "results_of",
    "show_frame",
]

TAIL_FRAMES = 15
"""Of a trajectory that are drawn behind its atom."""
_TIME = -3
"""The axis of time: from the last, for viewers align the last axes of their layers."""


class SparseFrames:
    """Some frames of a movie as an array of shape (t, y, x), or (n, t, y, x); what is not there is NaN.

    napari draws NaN as nothing, so that what is below shows through.

    Parameters
    ----------
    shape : tuple of int
        Of the whole.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.ndim, self.dtype = shape, len(shape), np.dtype(np.float32)
        self.size = int(np.prod(shape))
        self._parts: dict[tuple[int, ...], tuple[NDArray[np.float32], tuple[int, int]]] = {}

    def put(self, place: tuple[int, ...], image: NDArray[np.float32], origin_px: tuple[int, int]) -> None:
        """Set the part of a frame that begins at a row and column."""
        self._parts[place] = image, origin_px

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        key = key if isinstance(key, tuple) else (key,)
        number = self.ndim - 2
        lead = (*key[:number], *(slice(None),) * (number - len(key)))
        if not all(isinstance(index, int | np.integer | slice) for index in lead):
            return np.asarray(self)[key]  # type: ignore[no-any-return]
        # as of arrays: an index beyond the end is an IndexError, which ends a loop over frames
        chosen = [range(length)[index] for index, length in zip(lead, self.shape, strict=False)]
        places = product(*(numbers if isinstance(numbers, range) else (numbers,) for numbers in chosen))
        lengths = [len(numbers) for numbers in chosen if isinstance(numbers, range)]
        frames = np.full((*lengths, *self.shape[-2:]), np.nan, np.float32)
        for frame, place in zip(frames.reshape(-1, *self.shape[-2:]), places, strict=True):
            self._fill(frame, place)
        return frames[(*(slice(None),) * len(lengths), *key[number:])]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = np.full(self.shape, np.nan, np.float32)
        for place in self._parts:
            self._fill(whole[place], place)
        return whole if dtype is None else whole.astype(dtype)

    def _fill(self, frame: NDArray[np.float32], place: tuple[int, ...]) -> None:
        if place in self._parts:
            image, (top, left) = self._parts[place]
            frame[top : top + image.shape[0], left : left + image.shape[1]] = image


_LIVE: "set[LiveLayer]" = set()
"""No dock owns them: a result stays alive when that is closed."""


class LiveLayer(QObject):
    """Draws a layer anew when the frame that is shown has been computed; it lives as long as the layer.

    Parameters
    ----------
    viewer : Viewer
        In which the layer will be.
    """

    computed = Signal(int)
    """A frame is there."""
    failed = Signal(str)
    """One sentence."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.layer: Image | None = None
        self._frames: BackgroundFrames | None = None
        self.notes: deque[int | Exception] = deque()
        """Numbers of computed frames and failures; threads append to it, and touch nothing else here."""
        self._timer = QTimer(self)
        self._timer.setInterval(READ_MS)
        self._timer.timeout.connect(self._read)

    def follow(self, layer: Image, frames: BackgroundFrames) -> None:
        """Follow a layer until it is removed, which ends the computing of its frames."""
        self.layer, self._frames = layer, frames
        self._viewer.layers.events.removed.connect(self._forget)
        self._timer.start()
        _LIVE.add(self)

    def _forget(self, event: Any) -> None:
        if event.value is self.layer and self._frames is not None:
            self._frames.close()
            self._timer.stop()
            self._viewer.layers.events.removed.disconnect(self._forget)
            _LIVE.discard(self)

    def _read(self) -> None:
        layer = self.layer
        while self.notes and layer is not None:
            match self.notes.popleft():
                case Exception() as error:
                    self.failed.emit(in_words(error))
                case int(index):
                    self.computed.emit(index)
                    if self._viewer.dims.ndisplay == 3 or current_frame(self._viewer, layer) == index:
                        layer.refresh(extent=False, highlight=False)


def add_result(viewer: Viewer, raw: Image, data: Any, kind: str, **more: Any) -> Image:
    """Add a layer that lies on the raw one; none is replaced, none renamed, and the selection stays.

    Parameters
    ----------
    viewer : Viewer
        Where to.
    raw : Image
        From which it was made.
    data : array-like
        With the raw layer's last axes.
    kind : str
        Appended to the raw layer's name.
    **more
        As for `napari.layers.Image`; `metadata` goes below the key ``noise2atom``.

    Returns
    -------
    Image
    """
    placed = _placed(raw, kind, data.ndim - 3)
    placed["metadata"]["noise2atom"] |= more.pop("metadata", {})
    layer = Image(data, **placed, **more)
    _append(viewer, layer)
    return layer


def _placed(raw: Image, kind: str, extra: int = 0) -> dict[str, Any]:
    """Return name, place and origin of a layer that lies on the raw one and has some more axes before its three."""
    return {
        "name": f"{raw.name} {kind}",
        "scale": (1,) * extra + tuple(raw.scale[-3:]),
        "translate": (0,) * extra + tuple(raw.translate[-3:]),
        "units": ("pixel",) * extra + tuple(raw.units[-3:]),
        "axis_labels": (kind,) * extra + tuple(raw.axis_labels[-3:]),
        "metadata": {"noise2atom": {"result": kind, "of": _identity(raw)}},
    }


def _identity(raw: Image) -> str:
    """Return by what results know the layer from which they were made, whatever its name is by then."""
    return str(raw.metadata.setdefault("noise2atom", {}).setdefault("id", uuid4().hex))


def _append(viewer: Viewer, layer: Layer) -> None:
    chosen = set(viewer.layers.selection)
    viewer.layers.append(layer)
    viewer.layers.selection = chosen


def add_live_result(
    viewer: Viewer,
    raw: Image,
    movie: Movie,
    compute: Callable[[int], NDArray[np.float32]],
    kind: str,
    fail: Callable[[str], object],
    **more: Any,
) -> Image:
    """Add a layer like that of `add_result`, whose frames are computed as one browses.

    Parameters
    ----------
    viewer, raw, kind, **more
        As for `add_result`.
    movie : Movie
        The raw layer's movie.
    compute : callable
        Returns the frame of a number; is called in a thread.
    fail : callable
        Is told, in the window's thread, what went wrong.

    Returns
    -------
    Image
    """
    live = LiveLayer(viewer)
    live.failed.connect(fail)
    frames = BackgroundFrames(compute, movie.shape, live.notes.append, live.notes.append)
    layer = add_result(viewer, raw, BrowsedArray(frames, movie), kind, **more)
    live.follow(layer, frames)
    return layer


def add_atoms(viewer: Viewer, raw: Image, atoms: Atoms, size_px: float) -> None:
    """Add the atoms of a movie as points, coloured by confidence, and their trajectories as tracks.

    Parameters
    ----------
    viewer : Viewer
        Where to.
    raw : Image
        The movie in which they were found.
    atoms : Atoms
        At least one.
    size_px : float
        Diameter of a point [px].
    """
    places = np.stack([atoms.frame, atoms.y_px, atoms.x_px], axis=1)
    features = {name: getattr(atoms, name) for name in ("frame", "intensity", "confidence", "track")}
    lasting = np.bincount(atoms.track)[atoms.track] > 1
    if lasting.any():
        lines = np.column_stack([atoms.track, places])[lasting]
        _append(viewer, Tracks(lines, tail_length=TAIL_FRAMES, head_length=0, **_placed(raw, "tracks")))
    points = Points(
        places,
        features=features,
        size=size_px,
        face_color="confidence",
        face_colormap="viridis",
        face_contrast_limits=(0, 1),
        border_width=0,
        opacity=0.6,
        **_placed(raw, "atoms"),
    )
    _append(viewer, points)


def contrast_of(denoised: NDArray[np.float32]) -> tuple[float, float]:
    """Return grey values to show as black and white for a denoised frame; brighter frames may follow, up to 1."""
    low, high = (float(value) for value in np.percentile(denoised, (0.5, 99.9)))
    white = min(1.0, max(1.3 * high, low + 0.05))
    return max(0.0, min(low, white - 0.05)), white


def results_of(viewer: Viewer, raw: Image) -> list[Image]:
    """Return the layers that were made here from a raw one, and other movies of its size, such as a truth."""
    own = _identity(raw)
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image)
        and layer != raw  # napari gives plugins proxies of its layers, each time another one
        and layer.metadata.get("noise2atom", {}).get("of", own) == own
        and not layer.rgb
        and tuple(layer.data.shape[-3:]) == tuple(raw.data.shape[-3:])
        and math.prod(layer.data.shape) == math.prod(raw.data.shape)
    ]


def current_frame(viewer: Viewer, layer: Image) -> int:
    """Return the number of the frame of a movie layer that is shown."""
    place = (viewer.dims.point[_TIME] - layer.translate[_TIME]) / layer.scale[_TIME]
    return int(np.clip(round(place), 0, layer.data.shape[_TIME] - 1))


def show_frame(viewer: Viewer, layer: Image, index: int) -> None:
    """Put the slider on a frame of a movie layer."""
    axis = viewer.dims.ndim + _TIME
    viewer.dims.set_point(axis, layer.translate[_TIME] + index * layer.scale[_TIME])

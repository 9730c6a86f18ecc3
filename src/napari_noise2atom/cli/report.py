"""Tables for people: what was measured on a movie, and scores."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from .console import number, table

if TYPE_CHECKING:
    from napari_noise2atom.estimate import Estimate
    from napari_noise2atom.movie import Movie

__all__ = ["estimate_table", "movie_rows", "score_table"]

_SCORES = {
    "frames": "frames",
    "bad_frames": "frames without an image, left out",
    "css": "agreement of neighbouring frames (CSS)",
    "raw_css": "the same of the raw movie",
    "mean": "mean intensity in the range of the movie",
    "low_pass_correlation": "correlation with the raw movie, both low-passed",
    "residual_x": "correlation of the residual's neighbours along x; high if structure was removed or spots narrowed",
    "residual_y": "the same along y; 'Residual' in the window gives narrowed spots their width back before",
    "psnr_db": "peak signal to noise ratio after an affine fit [dB]",
    "ssim": "structural similarity to the truth",
    "precision": "share of the found atoms that are real",
    "recall": "share of the real atoms that are found",
    "f1": "harmonic mean of precision and recall",
    "false_per_frame": "invented atoms in a frame",
    "threshold": "height above which a maximum is taken for an atom",
    "error_px": "distance of found atoms from real ones [px]",
    "error_pm": "distance of found atoms from real ones [pm]",
}
"""By name: what a score tells."""


def movie_rows(movie: "Movie") -> list[tuple[str, str]]:
    """Say what a movie is, without reading its frames."""
    frames, rows, columns = movie.shape
    pixel, frame_time = movie.pixel_size_nm, movie.frame_time_s
    area = f", {number(columns * pixel)} × {number(rows * pixel)} nm" if pixel else ""
    lasts = f", {number(frames * frame_time)} s" if frame_time else ""
    gigabytes = frames * rows * columns * movie.data.dtype.itemsize / 1e9
    return [
        ("movie", movie.name),
        ("frames", f"{frames}{lasts}"),
        ("frame", f"{columns} × {rows} px{area}"),
        ("type", f"{movie.data.dtype}, {number(gigabytes)} GB uncompressed"),
        ("pixel size", number(pixel, "nm") if pixel else "unknown"),
        ("frame time", number(frame_time, "s") if frame_time else "unknown"),
    ]


def estimate_table(found: "Estimate") -> Table:
    """Return what was measured, and which settings follow from it."""
    from napari_noise2atom.estimate import MEANING

    rows = [(what, number(getattr(found, name), unit), sets) for name, (what, unit, sets) in MEANING.items()]
    return table("Measured on the movie", rows, ("", "", "sets"))


def score_table(name: str, summary: Mapping[str, float]) -> Table:
    """Return the scores of a movie with a word on each."""
    return table(f"Scores of {name}", [(key, number(value), _SCORES.get(key, "")) for key, value in summary.items()])

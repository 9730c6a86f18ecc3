"""How well frames with few neighbours are denoised: near an end, beside a bad frame, in a very short movie.

Prints F1 of pieces of movies of known truth, and atoms a frame in their pixel shuffle, where there are none:

    python benchmarks/ends.py --movies slow fast

The first lines are of the weights with which a warm start begins. In the last two, a network for five frames and one
for thirteen are trained on six frames.
"""

import argparse
from collections.abc import Iterable, Iterator

import numpy as np
from quality import load

from napari_noise2atom.baselines.noise2atom import train_to_end
from napari_noise2atom.cli.overrides import override
from napari_noise2atom.estimate import propose
from napari_noise2atom.inference import denoise_frames
from napari_noise2atom.metrics import Truth, detection_scores, find_atoms
from napari_noise2atom.modelfile import TrainedModel
from napari_noise2atom.movie import Movie
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.settings import Settings, preset
from napari_noise2atom.training.pretrained import load_pretrained
from napari_noise2atom.trust import atom_threshold, null_movie

PIECE_FRAMES, EVERY = 30, 3
PLACES = {"first": 0, "second": 1, "third": 2, "beside a bad one": 19, "in the middle": 10}
"""Frame of a piece."""
BAD = slice(20, 21)
"""Of a piece that is long enough; seen by the frame beside it alone."""
SHORT_FRAMES = 6
"""Fewer than the presets look at."""
Piece = tuple[int, Movie]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movies", nargs="+", default=["slow", "fast"])
    parser.add_argument("--minutes", type=float, default=2, help="time of a training on a short movie")
    options = parser.parse_args()
    for name in options.movies:
        movie, truth = load(name)
        settings = override(propose(movie, preset("compact"))[0], {"run": {"threads": 1}})
        null = null_movie("pixel shuffle", movie, settings)
        model = pretrained(movie, settings)
        for place, frame in PLACES.items():
            real, shuffled = (pieces(source, PIECE_FRAMES) for source in (movie, null))
            tell(f"{name}, frame {place}", model, real, shuffled, truth, [frame])
        for frames_in in (5, 13):
            model = trained_on_few(movie, frames_in, options.minutes)
            real, shuffled = (pieces(source, SHORT_FRAMES) for source in (movie, null))
            title = f"{name}, {SHORT_FRAMES} frames, a network for {frames_in}"
            tell(title, model, real, shuffled, truth, range(SHORT_FRAMES))


def pretrained(movie: Movie, settings: Settings) -> TrainedModel:
    weights = load_pretrained(settings.network)
    assert weights is not None
    return TrainedModel(settings, weights, measure_normalisation(movie), movie.pixel_size_nm, {})


def trained_on_few(movie: Movie, frames_in: int, minutes: float) -> TrainedModel:
    short = movie.with_data(np.asarray(movie.data[:SHORT_FRAMES]))
    run = {"threads": 1, "max_minutes": minutes}
    settings = override(propose(short, preset("compact"))[0], {"run": run, "network": {"frames_in": frames_in}})
    return train_to_end(short, settings, lambda share: None)


def pieces(movie: Movie, frames: int) -> Iterator[Piece]:
    """Yield pieces of a movie, each with the number of its first frame."""
    for start in range(0, len(movie) - frames, EVERY):
        data = np.array(movie.data[start : start + frames], np.float32)
        data[BAD] = np.nan
        yield start, movie.with_data(data)


def tell(
    title: str,
    model: TrainedModel,
    real: Iterable[Piece],
    shuffled: Iterable[Piece],
    truth: Truth,
    places: Iterable[int],
) -> None:
    frames, known = [], []
    for start, piece in real:
        frames += list(denoise_frames(piece, model, places, threads=1))
        known += [truth.positions[start + place] for place in places]
    f1 = detection_scores(frames, known, every=1).f1
    threshold = atom_threshold(model.settings)
    invented = [
        len(find_atoms(frame, threshold))
        for _, piece in shuffled
        for frame in denoise_frames(piece, model, places, threads=1)
    ]
    print(f"{title}: F1 {f1:.3f}, {np.mean(invented):.2f} atoms a frame in the shuffle", flush=True)


if __name__ == "__main__":
    main()

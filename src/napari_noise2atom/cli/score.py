"""``noise2atom score``."""

from pathlib import Path
from typing import Annotated

import typer

from .console import messages, print_json, results, say
from .options import Json, MovieFile, Overwrite, Signal, TruthFile, parse_signal, require_free
from .progress import ProgressLine
from .report import score_table

__all__ = ["score"]


def score(
    movie: MovieFile,
    raw: Annotated[
        Path | None, typer.Option("--raw", metavar="RAW", help="Raw movie from which MOVIE was made.")
    ] = None,
    truth: TruthFile = None,
    out: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="CSV", help="File for the scores of every frame.")
    ] = None,
    signal: Signal = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Score a movie: its own consistency, against the raw movie, against the truth."""
    if out is not None:
        require_free(out, overwrite, movie, raw, truth)

    from napari_noise2atom.io import read_movie
    from napari_noise2atom.metrics import load_truth, score_movie, write_csv

    scored = read_movie(movie, signal=parse_signal(signal))
    with ProgressLine("Scoring", messages()) as progress:
        scores = score_movie(
            scored,
            raw=None if raw is None else read_movie(raw),
            truth=None if truth is None else load_truth(truth),
            progress=progress,
        )
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_csv(scores, out)
    if as_json:
        print_json(scores.summary)
    else:
        results().print(score_table(scored.name, scores.summary))
    if out is not None:
        say(results(as_json), f"Scores of every frame: {out}")

"""``noise2atom noise-test`` and ``noise2atom atoms``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .applying import ModelFile, check_device, denoiser, model_files, read_both
from .console import messages, number, print_json, results, say, table, tell_notes
from .options import Device, Json, MovieFile, Overwrite, Signal, Threads, require_free
from .overrides import UsageError
from .progress import ProgressLine

if TYPE_CHECKING:
    from napari_noise2atom.trust import NoiseTest

__all__ = ["atoms", "noise_test"]

Threshold = Annotated[
    str,
    typer.Option(
        "--threshold",
        metavar="auto|H",
        help="Least height of an atom in the denoised movie, in 0 to 1; auto takes half a single atom's height.",
    ),
]


def noise_test(
    movie: MovieFile,
    model: ModelFile,
    threshold: Threshold = "auto",
    device: Device = None,
    threads: Threads = 0,
    signal: Signal = None,
    as_json: Json = False,
) -> None:
    """Count the atoms that a model sees in a movie, and in frames of the movie's noise alone."""
    height, device = _parse_threshold(threshold), check_device(device)

    from napari_noise2atom import trust

    source, trained = read_both(movie, model, signal)
    with ProgressLine("Testing", messages()) as progress:
        result = trust.noise_test(
            source, denoiser(trained, device, threads), trained.settings, threshold=height, progress=progress
        )
    if as_json:
        print_json(_summary(result))
    else:
        found = result.real.any()
        rows = [("the movie", number(float(result.real.mean())), "" if found else "no atoms, so no rate")]
        rows += [
            (
                f"noise alone: {kind}",
                number(float(counts.mean())),
                f"{result.false_discovery_rate(kind):.1%}" if found else "–",
            )
            for kind, counts in result.nulls.items()
        ]
        header = ("found in", "atoms a frame", "false discovery rate")
        title = f"{source.name}: {len(result.frames)} frames, atoms at least {result.threshold:.3g} high"
        results().print(table(title, rows, header))


def atoms(
    movie: MovieFile,
    model: ModelFile,
    out: Annotated[Path, typer.Option("--output", "-o", metavar="CSV", help="File for the table of atoms.")],
    threshold: Threshold = "auto",
    second: Annotated[
        Path | None,
        typer.Option(
            "--second", metavar="RUN_OR_FILE", help="Another model of the movie, such as one of another seed."
        ),
    ] = None,
    device: Device = None,
    threads: Threads = 0,
    signal: Signal = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write the atoms of a movie: where, how bright, how sure, on which trajectory."""
    require_free(out, overwrite, movie, *model_files(model, second))
    height, device = _parse_threshold(threshold), check_device(device)

    from napari_noise2atom.modelfile import load_model
    from napari_noise2atom.trust import measure_atoms

    source, trained = read_both(movie, model, signal)
    other = None if second is None else load_model(second)
    tell_notes(() if other is None else other.doubts(source))
    with ProgressLine("Finding atoms", messages()) as progress:
        found = measure_atoms(
            source,
            denoiser(trained, device, threads),
            trained.settings,
            threshold=height,
            second=None if other is None else denoiser(other, device, threads),
            progress=progress,
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    found.write_csv(out)
    if as_json:
        print_json(found.summary)
    else:
        say(results(), f"{found.sentence} Table: {out}")


def _parse_threshold(text: str) -> float | None:
    """Read a height; None is for the program to choose."""
    if text == "auto":
        return None
    try:
        height = float(text)
    except ValueError:
        height = float("nan")
    if not 0 < height <= 1:
        raise UsageError(f"--threshold got {text!r}; expected auto, or a height above 0 and at most 1")
    return height


def _summary(result: "NoiseTest") -> dict[str, object]:
    return {
        "frames": len(result.frames),
        "threshold": result.threshold,
        "atoms_per_frame": float(result.real.mean()),
        "nulls": {
            kind: {
                "atoms_per_frame": float(counts.mean()),
                "false_discovery_rate": result.false_discovery_rate(kind),
            }
            for kind, counts in result.nulls.items()
        },
    }

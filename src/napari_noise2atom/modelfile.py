"""The only checkpoint format: tensors as safetensors, everything else as JSON in its header. Nothing is pickled."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .movie import Movie
from .networks import Generator, blank, build_s2c
from .normalisation import Normalisation, measure_normalisation
from .settings import Settings

__all__ = [
    "Normalisation",
    "TrainedModel",
    "load_model",
    "load_tensors",
    "save_model",
    "save_tensors",
    "tensors_from_bytes",
    "tensors_to_bytes",
]

FORMAT = "napari-noise2atom"
VERSION = 1
MODEL_NAME = "model.safetensors"
TOLERANCE = 0.2
"""Relative difference of the pixel sizes of movie and model from which a warning is given."""
FACTOR = 2.0
"""Ratio of the ranges of grey values of movie and model from which a warning is given."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """All that is needed to denoise, and where it comes from.

    Parameters
    ----------
    settings : Settings
        Complete settings of the run.
    weights : dict of str to Tensor
        State of the generator s2c; float32 on the CPU.
    normalisation : Normalisation
        Grey values of the movie on which it was trained.
    pixel_size_nm : float or None
        Side of a pixel of that movie [nm]; None if unknown.
    provenance : dict
        Movie, date, versions, scores and whatever else tells how the model came about.

    Raises
    ------
    ValueError
        If the weights do not fit the settings, or are not finite.
    """

    settings: Settings
    weights: dict[str, Tensor]
    normalisation: Normalisation
    pixel_size_nm: float | None = None
    provenance: dict[str, str | float | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = _blank_s2c(self.settings).state_dict()
        if missing := sorted(expected.keys() - self.weights.keys()):
            raise ValueError(f"the weights lack {_some(missing)}, which the {self._architecture} network expects")
        if unknown := sorted(self.weights.keys() - expected.keys()):
            raise ValueError(f"the weights contain {_some(unknown)}, which the {self._architecture} network has not")
        for name, weight in self.weights.items():
            shape = tuple(expected[name].shape)
            if tuple(weight.shape) != shape or weight.dtype != torch.float32:
                raise ValueError(
                    f"weight {name} is {weight.dtype} of shape {tuple(weight.shape)}; expected torch.float32 of {shape}"
                )
            if not bool(weight.isfinite().all()):
                raise ValueError(f"weight {name} contains NaN or infinite numbers; expected finite ones")

    @property
    def _architecture(self) -> str:
        return self.settings.network.architecture

    @property
    def recipe(self) -> dict[str, Any]:
        """All that tells how a result of this model was made, for JSON."""
        digest = sha256()
        for name in sorted(self.weights):
            digest.update(self.weights[name].numpy().tobytes())
        return {
            "weights": digest.hexdigest(),
            "normalisation": asdict(self.normalisation),
            "settings": self.settings.model_dump(),
            "provenance": dict(self.provenance),
        }

    def doubts(self, movie: Movie) -> tuple[str, ...]:
        """Return what speaks against applying the model to a movie, one sentence each.

        Parameters
        ----------
        movie : Movie
            The movie to be denoised.

        Returns
        -------
        tuple of str
            Empty if its pixels are as large as those of the movie on which the model was trained, within 20 %, and its
            grey values, on 24 frames, span between half and twice the range of that movie's, not moved by more than
            half of it. What is not known speaks against nothing.
        """
        return (*self._doubts_of_pixels(movie), *self._doubts_of_grey(movie))

    def _doubts_of_pixels(self, movie: Movie) -> tuple[str, ...]:
        here, there = movie.pixel_size_nm, self.pixel_size_nm
        if not (here and there) or abs(here / there - 1) <= TOLERANCE:
            return ()
        return (
            f"the pixels of {movie.name} are {here:.3g} nm wide, those of the movie on which the model was trained "
            f"{there:.3g} nm; atoms have another size than it has learned, so train on this movie.",
        )

    def _doubts_of_grey(self, movie: Movie) -> tuple[str, ...]:
        try:
            here, there = measure_normalisation(movie), self.normalisation
        except ValueError:  # no frame has an image
            return ()
        span = there.high - there.low
        moved, wider = (here.low - there.low) / span, (here.high - here.low) / span
        if abs(moved) <= 1 / FACTOR <= wider <= FACTOR:
            return ()
        return (
            f"the grey values of {movie.name} lie between {here.low:.4g} and {here.high:.4g}, those of the movie on "
            f"which the model was trained between {there.low:.4g} and {there.high:.4g}; they are part of what it has "
            "learned, so convert this movie to the same grey values, or train on it.",
        )

    def s2c(self) -> Generator:
        """Return the generator from noisy frames to clean images, with its own copy of the weights, in eval mode."""
        generator = _blank_s2c(self.settings)
        generator.load_state_dict({name: weight.clone() for name, weight in self.weights.items()}, assign=True)
        return generator.eval()


def save_model(model: TrainedModel, path: Path | str) -> None:
    """Write a model to a file, or into a run folder as ``model.safetensors``.

    Parameters
    ----------
    model : TrainedModel
        What to write.
    path : path
        File, or existing folder. An existing file is replaced, and only once the new one is complete.

    Raises
    ------
    ValueError
        If there is no folder for the file.
    """
    metadata = {
        "kind": "model",
        "settings": model.settings.model_dump(mode="json"),
        "normalisation": asdict(model.normalisation),
        "pixel_size_nm": model.pixel_size_nm,
        "provenance": model.provenance,
    }
    save_tensors(_model_path(path), model.weights, metadata)


def load_model(path: Path | str) -> TrainedModel:
    """Read a model.

    Parameters
    ----------
    path : path
        Model file, or a run folder that contains ``model.safetensors``.

    Returns
    -------
    TrainedModel

    Raises
    ------
    ValueError
        If there is no file, or it is not a complete model of this version; one sentence says what to do.
    """
    path = _model_path(path)
    weights, metadata = load_tensors(path)
    if metadata.get("kind") != "model":
        raise ValueError(f"{path} is a {metadata.get('kind', 'file of tensors')}, not a model; choose a {MODEL_NAME}")
    try:
        return TrainedModel(
            settings=Settings.model_validate(metadata["settings"]),
            weights=weights,
            normalisation=Normalisation(**metadata["normalisation"]),
            pixel_size_nm=metadata["pixel_size_nm"],
            provenance=metadata["provenance"],
        )
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"its settings are not understood at {'.'.join(map(str, first['loc']))}: {first['msg']}"
    except KeyError as error:
        reason = f"its header lacks {error}"
    except (TypeError, ValueError) as error:
        reason = str(error)
    raise ValueError(f"{path} cannot be used, because {reason}; choose another model or train again")


def save_tensors(path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and metadata to one file, which appears complete or not at all.

    Parameters
    ----------
    path : path
        File; an existing one is replaced.
    tensors : mapping of str to Tensor
        On any device; they are copied.
    metadata : mapping
        Anything that JSON can hold.

    Raises
    ------
    ValueError
        If there is no folder for the file.
    TypeError
        If the metadata are not JSON.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: there is no folder {path.parent}; make it, or choose another")
    header = {"format": FORMAT, "version": str(VERSION), "metadata": json.dumps(metadata)}
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(tensors_to_bytes(tensors, header))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def tensors_to_bytes(tensors: Mapping[str, Tensor], header: dict[str, str] | None = None) -> bytes:
    """Return what would stand in a file of such tensors."""
    copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(copies, header)


def tensors_from_bytes(content: bytes) -> dict[str, Tensor]:
    """Return the tensors of `tensors_to_bytes`, on the CPU."""
    return safetensors.torch.load(content)


def load_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Parameters
    ----------
    path : path
        File.

    Returns
    -------
    tensors : dict of str to Tensor
        On the CPU.
    metadata : dict

    Raises
    ------
    ValueError
        If the file is not there, is broken, is not of this program, or was written by a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file; choose a file that noise2atom has written, such as {MODEL_NAME}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = _metadata(path, file.metadata() or {})
            # Copies, because the file's own memory is gone when the file is replaced.
            return {name: file.get_tensor(name).clone() for name in file.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): it is empty, cut off, or not a safetensors file; "
            "choose another, or copy it again from where it came"
        ) from error


def _metadata(path: Path, header: Mapping[str, str]) -> dict[str, Any]:
    if header.get("format") != FORMAT:
        raise ValueError(f"{path} is a safetensors file of another program; expected one that noise2atom has written")
    version = header.get("version", "")
    if not version.isdecimal() or int(version) > VERSION:
        raise ValueError(
            f"{path} has format version {version or 'unknown'}; this program reads up to {VERSION}: upgrade "
            "napari-noise2atom"
        )
    try:
        metadata = json.loads(header["metadata"])
    except (KeyError, ValueError):
        metadata = None
    if not isinstance(metadata, dict):
        raise ValueError(f"{path} has no readable metadata in its header; choose another file")
    return metadata


def _model_path(path: Path | str) -> Path:
    path = Path(path)
    return path / MODEL_NAME if path.is_dir() else path


def _blank_s2c(settings: Settings) -> Generator:
    """Return the generator without memory for weights, which draws no random numbers either."""
    with blank():
        return build_s2c(settings.network)


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

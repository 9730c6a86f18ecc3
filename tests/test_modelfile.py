import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from napari_noise2atom.modelfile import (
    TrainedModel,
    load_model,
    load_tensors,
    save_model,
    save_tensors,
)
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import build_s2c
from napari_noise2atom.normalisation import Normalisation, measure_normalisation
from napari_noise2atom.settings import NetworkSettings, Settings

SETTINGS = Settings(network=NetworkSettings(frames_in=3, channels=4))


def make_model(**changes: Any) -> TrainedModel:
    parts: dict[str, Any] = {
        "settings": SETTINGS,
        "weights": build_s2c(SETTINGS.network).state_dict(),
        "normalisation": Normalisation(100.25, 3000.5),
        "pixel_size_nm": 0.031,
        "provenance": {"movie": "Pt – été", "best_step": 240, "css": 0.91},
    }
    return TrainedModel(**{**parts, **changes})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_model(make_model(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def rewrite(file: Path, change: dict[str, Any]) -> None:
    tensors, metadata = load_tensors(file)
    save_tensors(file, tensors, metadata | change)


def test_round_trip(tmp_path: Path) -> None:
    model = make_model()
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert load_model(tmp_path / "model.safetensors").settings == loaded.settings == model.settings
    assert loaded.normalisation == model.normalisation
    assert loaded.pixel_size_nm == model.pixel_size_nm
    assert loaded.provenance == model.provenance
    images = torch.randn(1, 3, 20, 24)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.s2c()(images), model.s2c()(images), atol=0, rtol=0)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("architecture", ["paper", "compact"])
def test_generator_is_ready_and_its_own(architecture: str) -> None:
    settings = Settings(network=NetworkSettings.model_validate({"architecture": architecture, "frames_in": 1}))
    source = build_s2c(settings.network)
    model = make_model(settings=settings, weights={n: w.detach() for n, w in source.state_dict().items()})
    before = torch.random.get_rng_state()
    generator = model.s2c()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not generator.training
    images = torch.randn(1, 1, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(generator(images), source.eval()(images))
        next(generator.parameters()).zero_()
        torch.testing.assert_close(model.s2c()(images), source(images))


def test_unknown_pixel_size_stays_unknown(tmp_path: Path) -> None:
    save_model(make_model(pixel_size_nm=None), tmp_path)
    assert load_model(tmp_path).pixel_size_nm is None


def test_file_is_plain_safetensors_with_json(file: Path) -> None:
    with safetensors.safe_open(file, framework="np") as opened:
        header = opened.metadata()
    assert header["format"] == "napari-noise2atom"
    assert Settings.model_validate(json.loads(header["metadata"])["settings"]) == SETTINGS


def electrons(gain: float = 1.0, offset: float = 0.0) -> Movie:
    """A movie of few electrons a pixel, in grey values of some detector."""
    return Movie(gain * np.random.default_rng(0).poisson(3, (6, 32, 32)) + offset, name="film")


def test_a_model_is_not_doubted_for_the_movie_it_was_trained_on() -> None:
    movie = electrons(100, 50)
    model = make_model(pixel_size_nm=None, normalisation=measure_normalisation(movie))
    for like_it in (movie, electrons(150, 60), electrons(60, 20), Movie(movie.data[3:])):
        assert model.doubts(like_it) == ()
    assert model.doubts(Movie(np.zeros((3, 32, 32)))) == (), "of a movie without an image nothing is known"


@pytest.mark.parametrize(("gain", "offset"), [(100 / 4095, 50 / 4095), (6, 3), (250, 50), (100, 1000), (100, -1500)])
def test_a_model_is_doubted_for_other_grey_values(gain: float, offset: float) -> None:
    model = make_model(pixel_size_nm=None, normalisation=measure_normalisation(electrons(100, 50)))
    (doubt,) = model.doubts(electrons(gain, offset))
    low, high = model.normalisation.low, model.normalisation.high
    assert doubt.startswith("the grey values of film lie between")
    assert f"trained between {low:.4g} and {high:.4g}; they are part of what it has learned" in doubt


def test_weights_must_fit_the_settings() -> None:
    weights = make_model().weights
    name = next(iter(weights))
    with pytest.raises(ValueError, match=f"lack {name}, which the compact"):
        make_model(weights={n: w for n, w in weights.items() if n != name})
    with pytest.raises(ValueError, match="contain extra"):
        make_model(weights=weights | {"extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"of shape \(2,\); expected torch.float32 of"):
        make_model(weights=weights | {name: torch.zeros(2)})
    with pytest.raises(ValueError, match="float16"):
        make_model(weights=weights | {name: weights[name].half()})
    with pytest.raises(ValueError, match="NaN or infinite"):
        make_model(weights=weights | {name: weights[name] * torch.nan})


@pytest.mark.parametrize("content", [b"", b"no model", b"\x80\x02}q\x00."])
def test_files_that_are_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read .* choose another"):
        load_model(tmp_path)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_cut_off(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="cut off"):
        load_model(file)


def test_missing(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "other.safetensors"):
        with pytest.raises(ValueError, match="is not a file; choose"):
            load_model(path)


def test_file_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for header in (None, {"format": "pt"}):
        safetensors.torch.save_file({"a": torch.zeros(3)}, path, header)
        with pytest.raises(ValueError, match="of another program"):
            load_model(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"version": "2", "metadata": "{}"}, "format version 2.* upgrade"),
        ({"metadata": "{}"}, "format version unknown"),
        ({"version": "1"}, "no readable metadata"),
        ({"version": "1", "metadata": "{"}, "no readable metadata"),
        ({"version": "1", "metadata": "[]"}, "no readable metadata"),
    ],
)
def test_header_of_another_version(tmp_path: Path, header: dict[str, str], message: str) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(3)}, path, {"format": "napari-noise2atom", **header})
    with pytest.raises(ValueError, match=message):
        load_model(path)


def test_checkpoint_is_not_a_model(tmp_path: Path) -> None:
    save_tensors(tmp_path / "checkpoint.safetensors", {"a": torch.zeros(3)}, {"kind": "checkpoint"})
    with pytest.raises(ValueError, match="is a checkpoint, not a model"):
        load_model(tmp_path / "checkpoint.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"nettwork": {}}}, "not understood at nettwork"),
        ({"settings": {"network": {"channels": 8}}}, "of shape"),
        ({"normalisation": {"low": 1}}, "cannot be used, because .*high"),
        ({"normalisation": {"low": 2, "high": 1}}, "low below high"),
        ({"normalisation": {"low": None, "high": 1}}, "cannot be used"),
    ],
)
def test_header_that_does_not_fit(file: Path, change: dict[str, Any], message: str) -> None:
    rewrite(file, change)
    with pytest.raises(ValueError, match=message) as caught:
        load_model(file)
    assert "\n" not in str(caught.value)


def test_tensors_round_trip_with_their_types(tmp_path: Path) -> None:
    tensors = {
        "step": torch.tensor(7),
        "rng": torch.arange(5, dtype=torch.uint8),
        "wide": torch.randn(4, 6, dtype=torch.float64).T,
        "mask": torch.tensor([True, False]),
    }
    path = tmp_path / "checkpoint.safetensors"
    save_tensors(path, tensors | {"shared": tensors["wide"]}, {"losses": [1.5, None], "name": "ü"})
    loaded, metadata = load_tensors(path)
    assert metadata == {"losses": [1.5, None], "name": "ü"}
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_failed_write_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save_model(make_model(pixel_size_nm=1.0), file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_loaded_tensors_outlive_the_file(file: Path) -> None:
    loaded = load_model(file)
    name, weight = next(iter(loaded.weights.items()))
    expected = weight.clone()
    file.write_bytes(b"")
    assert torch.equal(loaded.weights[name], expected)


def test_no_folder_to_write_into(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no folder"):
        save_model(make_model(), tmp_path / "absent" / "model.safetensors")

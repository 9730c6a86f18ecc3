import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_noise2atom.movie import Movie
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.settings import NetworkSettings
from napari_noise2atom.training.patches import Patches, hidden_places, hide

ALONE, THREE = NetworkSettings(frames_in=1), NetworkSettings(frames_in=3)


def numbered(frames: int = 6, side: int = 40) -> Movie:
    """A movie whose pixels tell frame, row and column."""
    t, y, x = np.mgrid[:frames, :side, :side]
    return Movie((t * 1e4 + y * 100 + x).astype(np.float32))


def test_windows_hold_neighbours_in_order() -> None:
    movie = numbered()
    normalisation = measure_normalisation(movie)
    patches = Patches.of(movie, (2, 5), THREE, normalisation)
    np.testing.assert_allclose(patches.windows[0], normalisation.apply(movie.frames([1, 2, 3])))
    np.testing.assert_allclose(patches.windows[1], normalisation.apply(movie.frames([4, 5, 3])))


def test_large_frames_are_cut() -> None:
    movie = Movie(np.random.default_rng(0).random((3, 300, 280), np.float32))
    normalisation = measure_normalisation(movie)
    middle = Patches.of(movie, (1,), ALONE, normalisation).windows[0, 0]
    np.testing.assert_allclose(middle, normalisation.apply(movie.frame(1)[22:278, 12:268]))
    elsewhere = Patches.of(movie, (1,), ALONE, normalisation, np.random.default_rng(1)).windows[0, 0]
    assert elsewhere.shape == (256, 256)
    assert not np.array_equal(elsewhere, middle)


def test_crops_come_from_the_movie_and_are_flipped_only_along_y_and_time() -> None:
    movie = numbered()
    normalisation = measure_normalisation(movie)
    patches = Patches.of(movie, (1, 2, 3), THREE, normalisation)
    crops = patches.draw(200, 16, True, np.random.default_rng(0)).numpy()
    assert crops.shape == (200, 3, 16, 16)
    unit = 2 / (normalisation.high - normalisation.low)
    np.testing.assert_allclose(np.diff(crops, axis=3), unit, rtol=0.05)
    rows, times = (np.sign(np.diff(crops, axis=axis)).reshape(200, -1)[:, 0] for axis in (2, 1))
    assert {(r, t) for r, t in zip(rows, times, strict=True)} == {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    plain = patches.draw(50, 16, False, np.random.default_rng(0)).numpy()
    assert (np.diff(plain, axis=2) > 0).all()


def test_hidden_pixels_do_not_reach_the_network() -> None:
    rng = torch.Generator().manual_seed(0)
    windows = torch.rand((2, 5, 40, 48), generator=rng)
    judged, hidden = hidden_places((40, 48), 2, 5)
    changed = windows.clone()
    changed[:, 2][:, judged] = 100.0
    torch.testing.assert_close(hide(windows, hidden), hide(changed, hidden))
    # and nothing else is touched
    same = hide(windows, hidden) == windows
    assert same[:, [0, 1, 3, 4]].all()
    assert same[:, 2][:, ~hidden].all()


def test_what_afterglow_reaches_is_hidden_too() -> None:
    judged, hidden = hidden_places((20, 60), 3, 10)
    rows, columns = torch.nonzero(judged, as_tuple=True)
    for shift in range(-3, 4):
        inside = (columns + shift >= 0) & (columns + shift < 60)
        assert hidden[rows[inside], columns[inside] + shift].all()
    assert judged.sum() > 10
    assert hidden.float().mean() < 0.25


@pytest.mark.parametrize("blur_px", [0.0, 0.5, 0.7, 0.9])
def test_noise_that_a_blur_carries_away_is_hidden_too(blur_px: float) -> None:
    """What the network is told in the places that are hidden depends on nothing that the judged pixels went into."""
    recorded = torch.rand((1, 1, 64, 60), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    judged, hidden = hidden_places((64, 60), 3, 5, blur_px=blur_px)
    row, column = torch.nonzero(judged)[len(torch.nonzero(judged)) // 2]
    other = recorded.clone()
    other[..., row, column] += 1

    def seen(frames: torch.Tensor) -> torch.Tensor:
        blurred = torch.from_numpy(gaussian_filter(frames.numpy(), (0, 0, blur_px, blur_px)))
        return hide(blurred, hidden, blur_px)

    change = (seen(other) - seen(recorded)).abs().max()
    assert change <= 0.02 * gaussian_filter(np.eye(1, 41, 20), (0, blur_px)).max() ** 2
    assert judged.sum() > 10


def test_crops_may_be_as_large_as_the_frames_allow() -> None:
    movie = Movie(np.random.default_rng(0).random((3, 300, 400), np.float32))
    patches = Patches.of(movie, (1,), ALONE, measure_normalisation(movie), np.random.default_rng(1), 288)
    assert patches.draw(2, 288, True, np.random.default_rng(0)).shape == (2, 1, 288, 288)

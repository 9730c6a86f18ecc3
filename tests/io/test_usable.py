import dask.array as da
import numpy as np
import pytest

from napari_noise2atom.io import MovieFileError, find_bad_frames, require_usable
from napari_noise2atom.movie import Movie


@pytest.fixture
def flawed(stack: np.ndarray) -> np.ndarray:
    data = stack.astype(np.float32)
    data[1] = 7
    data[2, 3, 4] = np.nan
    data[4, 0, 0] = -np.inf
    return data


@pytest.mark.parametrize("lazy", [False, True])
def test_bad_frames(flawed: np.ndarray, lazy: bool) -> None:
    movie = Movie(da.from_array(flawed, chunks=(1, -1, -1)) if lazy else flawed)
    assert find_bad_frames(movie) == (1, 2, 4)
    assert find_bad_frames(movie, [0, 2, 3]) == (2,)
    assert require_usable(movie) == (1, 2, 4)


def test_integers_are_never_infinite(stack: np.ndarray) -> None:
    assert find_bad_frames(Movie(stack.astype(np.int64) + 2**40)) == ()


def test_movies_that_cannot_be_learned_from(flawed: np.ndarray) -> None:
    for data in (flawed[:3], np.zeros((4, 20, 20)), np.full((4, 20, 20), np.nan)):
        with pytest.raises(MovieFileError, match="at least two frames with an image"):
            require_usable(Movie(data))

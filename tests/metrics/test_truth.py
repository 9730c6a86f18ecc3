import numpy as np
import pytest

from napari_noise2atom.metrics import load_truth

CLEAN = np.linspace(0.1, 2, 3 * 8 * 9, dtype=np.float32).reshape(3, 8, 9)
POSITIONS = np.full((3, 2, 2), 4, np.float32)


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        path = tmp_path / "truth.npz"
        np.savez_compressed(path, **arrays)
        return path

    return save


@pytest.mark.parametrize(("stored", "expected"), [(0.03, 0.03), (0, None)])
def test_round_trip(saved, stored, expected):
    truth = load_truth(saved(clean=CLEAN, positions=POSITIONS, pixel_size_nm=np.float64(stored)))
    np.testing.assert_array_equal(truth.clean, CLEAN)
    np.testing.assert_array_equal(truth.positions, POSITIONS)
    assert truth.pixel_size_nm == expected


def test_the_pixel_size_may_be_absent(saved):
    assert load_truth(saved(clean=CLEAN, positions=POSITIONS)).pixel_size_nm is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clean": CLEAN[0]}, r"clean frames of shape \(8, 9\)"),
        ({"clean": CLEAN * 1j}, "complex64"),
        ({"clean": CLEAN[:, :0]}, "shape"),
        ({"clean": np.where(CLEAN > 1, np.nan, CLEAN)}, "finite"),
        ({"clean": np.zeros_like(CLEAN)}, "above 0"),
        ({"clean": np.array([CLEAN, None], dtype=object)}, "not a readable"),
        ({"positions": POSITIONS[..., :1]}, r"positions of shape \(3, 2, 1\)"),
        ({"positions": np.full((3, 2, 2), "a")}, "positions"),
        ({"positions": POSITIONS[:2]}, "3 clean frames and positions in 2"),
        ({"pixel_size_nm": [1, 2]}, "one number"),
        ({"pixel_size_nm": -1}, "positive number"),
        ({"pixel_size_nm": np.nan}, "positive number"),
    ],
)
def test_wrong_arrays_are_named_in_one_sentence(saved, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_truth(saved(**({"clean": CLEAN, "positions": POSITIONS} | change)))
    assert str(caught.value).startswith("truth.npz: ")
    assert "\n" not in str(caught.value)


def test_missing_arrays_are_named(saved):
    with pytest.raises(ValueError, match="has no array clean; expected"):
        load_truth(saved(positions=POSITIONS))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello", b"\x80\x04."])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "truth.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="readable"):
        load_truth(path)


def test_truncated_corrupt_and_bare_arrays_are_refused(tmp_path, saved):
    whole = saved(clean=CLEAN, positions=POSITIONS).read_bytes()
    path = tmp_path / "broken.npz"
    for content in (whole[:-40], whole[:100] + b"\0" * 60 + whole[160:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="readable"):
            load_truth(path)
    np.save(tmp_path / "bare.npy", CLEAN)
    with pytest.raises(ValueError, match="readable"):
        load_truth(tmp_path / "bare.npy")


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_truth(tmp_path / "none.npz")

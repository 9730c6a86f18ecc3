import math

import pytest

from napari_noise2atom.io.units import is_reciprocal, length_nm, time_s


@pytest.mark.parametrize(
    ("unit", "nm"), [("nm", 1), ("Å", 0.1), ("angstrom", 0.1), ("µm", 1e3), ("\\u00B5m", 1e3), ("m", 1e9), ("PM", 1e-3)]
)
def test_lengths(unit: str, nm: float) -> None:
    assert length_nm(2, unit) == pytest.approx(2 * nm)


def test_no_lengths() -> None:
    for value, unit in ((1, "pixel"), (1, "1/nm"), (0, "nm"), (-1, "nm"), (math.nan, "nm"), ("x", "nm"), (None, "nm")):
        assert length_nm(value, unit) is None


def test_times() -> None:
    assert time_s("20", "ms") == pytest.approx(0.02)
    assert time_s(1, "nm") is None


@pytest.mark.parametrize(
    ("unit", "yes"), [("1/nm", True), ("1 / nm", True), ("nm^-1", True), ("mrad", True), ("nm", False)]
)
def test_reciprocal(unit: str, yes: bool) -> None:
    assert is_reciprocal(unit) is yes

"""Units of length and time as microscopes and software write them."""

import math

__all__ = ["is_reciprocal", "length_nm", "time_s"]

_NM = {
    "m": 1e9,
    "meter": 1e9,
    "meters": 1e9,
    "metre": 1e9,
    "cm": 1e7,
    "centimeter": 1e7,
    "mm": 1e6,
    "millimeter": 1e6,
    "µm": 1e3,
    "um": 1e3,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "micrometers": 1e3,
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometers": 1.0,
    "å": 0.1,
    "a": 0.1,
    "ang": 0.1,
    "angstrom": 0.1,
    "angstroms": 0.1,
    "ångström": 0.1,
    "pm": 1e-3,
    "picometer": 1e-3,
}
_S = {
    "d": 86400.0,
    "h": 3600.0,
    "hour": 3600.0,
    "min": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "s": 1.0,
    "sec": 1.0,
    "secs": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "milliseconds": 1e-3,
    "µs": 1e-6,
    "us": 1e-6,
    "usec": 1e-6,
    "microsecond": 1e-6,
    "microseconds": 1e-6,
    "ns": 1e-9,
    "nanosecond": 1e-9,
}


def _plain(unit: object) -> str:
    """Return the unit in lower case, with one way to write µ and Å."""
    text = str(unit).strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("\\u00C5", "Å")
    return text.replace("\N{GREEK SMALL LETTER MU}", "µ").replace("\N{ANGSTROM SIGN}", "Å").lower()


def _converted(value: object, unit: object, table: dict[str, float]) -> float | None:
    factor = table.get(_plain(unit))
    try:
        number = float(value) * factor if factor else math.nan  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def length_nm(value: object, unit: object) -> float | None:
    """Return a length in nanometres, or None if the unit is no length or the value is not positive."""
    return _converted(value, unit, _NM)


def time_s(value: object, unit: object) -> float | None:
    """Return a time in seconds, or None if the unit is no time or the value is not positive."""
    return _converted(value, unit, _S)


def is_reciprocal(unit: object) -> bool:
    """Tell whether a unit is one over a length, or an angle: that of a diffraction pattern."""
    text = _plain(unit).replace(" ", "")
    if text in {"mrad", "rad", "deg"}:
        return True
    if text.startswith("1/"):
        return text[2:] in _NM
    return any(text.endswith(power) and text.removesuffix(power) in _NM for power in ("^-1", "⁻¹", "**-1", "-1"))

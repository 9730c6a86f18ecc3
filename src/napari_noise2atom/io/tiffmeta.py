"""What the description of a TIFF file says: which pages make which movie, and their calibration."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from .frames import MAX_FRAMES
from .tiffpages import Directory
from .units import length_nm, time_s

__all__ = ["Layout", "Stack", "printed_pixel_nm", "read_layout"]

_MAX_PRINTED_NM = 1000.0
"""A resolution without a named length is a calibration below this pixel size; printers and scanners stay above."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One movie in the file: which pages, in the order of time."""

    name: str
    pages: Sequence[int]
    """Numbers of its pages, which may exceed what the file holds."""
    expected: int
    """Frames that the header promises."""
    problem: str = ""
    """Why it is no movie, if it is none."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The movies of a file and their calibration."""

    stacks: tuple[Stack, ...]
    contiguous: bool = False
    """Whether frames without a directory of their own follow the first one."""
    pixel_size_nm: float | None = None
    frame_time_s: float | None = None
    doubt: str = ""
    """Why the calibration may be wrong."""


def read_layout(directory: Directory) -> Layout | None:
    """Return what an ImageJ, OME or tifffile description says; None if there is none or it makes no sense."""
    text = directory.description.strip()
    try:
        if text.startswith("ImageJ="):
            return _imagej(text, directory)
        if text.startswith("{") and '"shape"' in text:
            return _shaped(json.loads(text), directory)
        if text.endswith("OME>") and "<!DOCTYPE" not in text:
            return _ome(ElementTree.fromstring(text), directory)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, ElementTree.ParseError):
        return None
    return None


def printed_pixel_nm(directory: Directory) -> float | None:
    """Return the pixel size of the resolution tags; None where they speak of dots on paper."""
    per_unit, _, unit = directory.resolution
    unit_nm = {2: 2.54e7, 3: 1e7}.get(unit, 0.0)
    size = unit_nm / per_unit if per_unit > 0 else 0.0
    return size if 0 < size < _MAX_PRINTED_NM else None


def _imagej(text: str, directory: Directory) -> Layout:
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    channels, slices, frames = (max(1, int(fields.get(key, 1))) for key in ("channels", "slices", "frames"))
    total = max(1, int(fields.get("images", channels * slices * frames)))
    if channels * slices * frames != total:
        channels, slices, frames = (channels if total % channels == 0 else 1), 1, 1
    problem = f"has {frames} times and {slices} slices" if frames > 1 and slices > 1 else ""
    names = [f"channel {c + 1}" for c in range(min(channels, 64))]
    stacks = tuple(Stack(n, range(c, total, channels), total // channels, problem) for c, n in enumerate(names))
    per_unit = directory.resolution[0]
    pixel = length_nm(1 / per_unit, fields.get("unit", "")) if per_unit > 0 else None
    frame_time = time_s(fields.get("finterval", 0), fields.get("tunit", "s"))
    doubt = ""
    if frame_time is None and (rate := float(fields.get("fps", 0))) > 0:
        frame_time = time_s(1 / rate, "s")
        doubt = f"the frame time is that of ImageJ's playback speed, {rate:g} frames a second; check it."
    return Layout(stacks, True, pixel if fields.get("unit") not in ("inch", "in") else None, frame_time, doubt)


def _shaped(fields: dict[str, Any], directory: Directory) -> Layout | None:
    """Read the JSON by which tifffile marks an array of any shape."""
    shape = [int(n) for n in fields["shape"]]
    if len(shape) < 3 or min(shape) < 1 or shape[-2:] != [directory.pages[0].height, directory.pages[0].width]:
        return None
    axes = str(fields.get("axes", "")).upper()
    axes = axes if len(axes) == len(shape) else "Q" * len(shape)
    lead = [(axis, n) for axis, n in zip(axes[:-2], shape[:-2], strict=True) if n > 1] or [("Q", 1)]
    total = math.prod(shape[:-2])
    if len(lead) == 2 and lead[0][0] == "C":
        per = lead[1][1]
        stacks = tuple(
            Stack(f"channel {c + 1}", range(c * per, (c + 1) * per), per) for c in range(min(lead[0][1], 64))
        )
    elif len(lead) == 2 and lead[1][0] == "C":
        channels = lead[1][1]
        stacks = tuple(
            Stack(f"channel {c + 1}", range(c, total, channels), lead[0][1]) for c in range(min(channels, 64))
        )
    else:
        problem = f"has the shape {tuple(shape)}" if len(lead) > 1 else ""
        stacks = (Stack("movie", range(total), total, problem),)
    pixel = printed_pixel_nm(directory)
    return Layout(stacks, True, pixel, time_s(fields.get("finterval", 0), "s"))


def _ome(root: ElementTree.Element, directory: Directory) -> Layout | None:
    stacks: list[Stack] = []
    pixel = frame_time = None
    for number, image in enumerate(root.iterfind("{*}Image")):
        pixels = image.find("{*}Pixels")
        if pixels is None:
            continue
        title = image.get("Name") or f"series {number}"
        stacks += _ome_stacks(title, pixels, len(directory.pages))
        if pixel is None:
            pixel = length_nm(pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm"))
        if frame_time is None:
            frame_time = time_s(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    by_tifffile = "tifffile" in directory.software or "tifffile" in root.get("Creator", "")
    return Layout(tuple(stacks), by_tifffile, pixel, frame_time) if stacks else None


def _ome_stacks(title: str, pixels: ElementTree.Element, n_pages: int) -> list[Stack]:
    """Return one stack for each channel of an OME image."""
    sizes = {axis: max(1, int(pixels.get(f"Size{axis}", 1))) for axis in "ZCT"}
    samples = [int(c.get("SamplesPerPixel", 1)) for c in pixels.iterfind("{*}Channel")]
    channels = max(1, sizes["C"] // max([1, *samples]))
    names = [c.get("Name") for c in pixels.iterfind("{*}Channel")]
    expected = max(sizes["Z"], sizes["T"])
    problem = f"has {sizes['T']} times and {sizes['Z']} slices" if sizes["T"] > 1 and sizes["Z"] > 1 else ""
    found = _ome_pages(pixels, sizes | {"C": channels}, n_pages)
    stacks = []
    for c in range(min(channels, 64)):
        name = title if channels == 1 else f"{title} {(names[c] if c < len(names) else None) or f'channel {c + 1}'}"
        planes = found.get(c, {})
        known = [planes[p] for p in sorted(planes)]
        # pages that the file has lost: numbers after the last one, in the same steps
        step = known[1] - known[0] if len(known) > 1 else channels
        count = min(expected - len(known), MAX_FRAMES) if known and step > 0 else 0
        lost = [known[-1] + step * (i + 1) for i in range(count)]
        stacks.append(Stack(name, [*known, *lost], expected, problem))
    return stacks


def _ome_pages(pixels: ElementTree.Element, sizes: dict[str, int], n_pages: int) -> dict[int, dict[int, int]]:
    """Return for each channel the page of each time or slice, as far as the file has pages."""
    order = re.sub("[^ZCT]", "", pixels.get("DimensionOrder", "XYZCT"))
    order = order if sorted(order) == ["C", "T", "Z"] else "ZCT"
    step = {order[0]: 1, order[1]: sizes[order[0]], order[2]: sizes[order[0]] * sizes[order[1]]}
    found: dict[int, dict[int, int]] = {}
    for block in pixels.iterfind("{*}TiffData"):
        first = sum(int(block.get(f"First{axis}", 0)) * step[axis] for axis in "ZCT")
        page = int(block.get("IFD", 0))
        # a bare element stands for all pages, one with a position for a single page
        many = n_pages if "IFD" not in block.attrib and "FirstT" not in block.attrib else 1
        for i in range(min(int(block.get("PlaneCount", many)), n_pages - page)):
            at = {axis: (first + i) // step[axis] % sizes[axis] for axis in "ZCT"}
            found.setdefault(at["C"], {})[at["T"] if sizes["T"] > 1 else at["Z"]] = page + i
    return found

"""Minimal DM3, DM4, SER, MRC, Velox and zspy files, written from the public descriptions of these formats."""

import json
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr

_DM_TYPES = {"int16": (1, 2), "float32": (2, 6), "uint8": (6, 8), "uint16": (10, 4), "int32": (7, 3), "uint32": (11, 5)}
"""Image type and tag type by numpy's name."""
_SER_TYPES = {"uint8": 1, "uint16": 2, "uint32": 3, "int8": 4, "int16": 5, "int32": 6, "float32": 7, "float64": 8}
_MRC_MODES = {"int8": 0, "int16": 1, "float32": 2, "uint16": 6, "float16": 12}


class _DM:
    """Writes tags; numbers of the structure are big endian, values little endian."""

    def __init__(self, version: int) -> None:
        self.version, self.long = version, ">q" if version == 4 else ">i"

    def number(self, *values: int) -> bytes:
        return b"".join(struct.pack(self.long, v) for v in values)

    def data(self, name: str, info: tuple[int, ...], payload: bytes) -> bytes:
        body = b"%%%%" + self.number(len(info), *info) + payload
        size = struct.pack(">q", len(body)) if self.version == 4 else b""
        return b"\x15" + struct.pack(">h", len(name)) + name.encode() + size + body

    def uint(self, name: str, value: int) -> bytes:
        return self.data(name, (5,), struct.pack("<I", value))

    def real(self, name: str, value: float) -> bytes:
        return self.data(name, (6,), struct.pack("<f", value))

    def text(self, name: str, value: str) -> bytes:
        return self.data(name, (20, 4, len(value)), value.encode("utf-16-le"))

    def group(self, name: str, tags: list[bytes]) -> bytes:
        body = b"\x00\x00" + (struct.pack(">q", 0) if self.version == 4 else b"") + self.number(len(tags))
        return b"\x14" + struct.pack(">h", len(name)) + name.encode() + body + b"".join(tags)

    def image(self, name: str, array: np.ndarray, scales: list[float], units: list[str]) -> bytes:
        image_type, tag_type = _DM_TYPES[array.dtype.name]
        axes = [
            self.group("", [self.real("Origin", 0), self.real("Scale", s), self.text("Units", u)])
            for s, u in zip(scales[::-1], units[::-1], strict=True)
        ]
        brightness = self.group("Brightness", [self.real("Origin", 0), self.real("Scale", 1), self.text("Units", "")])
        content = [
            self.group("Calibrations", [brightness, self.group("Dimension", axes)]),
            self.data("Data", (20, tag_type, array.size), array.tobytes()),
            self.uint("DataType", image_type),
            self.group("Dimensions", [self.uint("", n) for n in array.shape[::-1]]),
            self.uint("PixelDepth", array.itemsize),
        ]
        tags = self.group("ImageTags", [self.text("Source", "test")])
        return self.group("", [self.group("ImageData", content), tags, self.text("Name", name)])

    def file(self, images: list[bytes]) -> bytes:
        body = b"\x00\x00" + self.number(1) + self.group("ImageList", images)
        size = struct.pack(self.long, len(body))
        return struct.pack(">i", self.version) + size + struct.pack(">i", 1) + body + b"\x00" * 8


def write_dm(path: Path, images: dict[str, tuple[np.ndarray, list[float], list[str]]]) -> None:
    """Write a DM3 or DM4 file; for each name an array, and the scale and unit of each of its axes."""
    dm = _DM(int(path.suffix[-1]))
    path.write_bytes(dm.file([dm.image(name, *image) for name, image in images.items()]))


def write_ser(path: Path, movie: np.ndarray, pixel_m: float, times_s: Any, total: int | None = None) -> None:
    """Write a SER series of images; ``total`` is the number of frames that were ordered."""
    total = len(movie) if total is None else total
    head = struct.pack("<HHHIIII", 0x4949, 0x0197, 0x0220, 0x4122, 0x4152, total, len(movie))
    dimension = struct.pack("<IddII", total, 0, 1, 0, 6) + b"Number" + struct.pack("<I", 0)
    head += struct.pack("<QI", len(head) + 12 + len(dimension), 1) + dimension
    body, offsets, tags = b"", [], []
    start = len(head) + 16 * total
    for frame, time in zip(movie, times_s, strict=True):
        offsets.append(start + len(body))
        calibration = struct.pack("<ddi", 0, pixel_m, 0)
        rows, columns = frame.shape
        body += calibration * 2 + struct.pack("<Hii", _SER_TYPES[frame.dtype.name], columns, rows)
        body += frame[::-1].tobytes()
        tags.append(start + len(body))
        body += struct.pack("<HHI", 0x4152, 0, time)
    unused = [0] * (total - len(movie))
    path.write_bytes(head + struct.pack(f"<{2 * total}Q", *offsets, *unused, *tags, *unused) + body)


def write_mrc(path: Path, movie: np.ndarray, pixel_nm: float, order: str = "<", extended: bytes = b"") -> None:
    """Write an MRC2014 stack."""
    sections, rows, columns = movie.shape
    head = bytearray(1024)
    struct.pack_into(order + "4i", head, 0, columns, rows, sections, _MRC_MODES[movie.dtype.name])
    struct.pack_into(order + "3i", head, 28, columns, rows, sections)
    struct.pack_into(order + "3f", head, 40, columns * pixel_nm * 10, rows * pixel_nm * 10, sections)
    struct.pack_into(order + "i", head, 92, len(extended))
    head[208:212] = b"MAP "
    path.write_bytes(bytes(head) + extended + movie.astype(movie.dtype.newbyteorder(order)).tobytes())


def write_zspy(path: Path, name: str, data: np.ndarray, axes: list[dict[str, Any]]) -> None:
    """Write a HyperSpy store in Zarr format 2."""
    root = zarr.open_group(str(path), mode="w", zarr_format=2)
    root.attrs.update(file_format="ZSpy", file_format_version="3.3")
    experiment = root.create_group(f"Experiments/{name}")
    experiment.attrs.update(package="hyperspy", package_version="2.1")
    experiment.create_array("data", shape=data.shape, chunks=(2, *data.shape[1:]), dtype=data.dtype)[:] = data
    for i, axis in enumerate(axes):
        experiment.create_group(f"axis-{i}").attrs.update(axis)
    for group in ("metadata/General", "metadata/Signal", "original_metadata", "attributes", "learning_results"):
        experiment.create_group(group)
    experiment["metadata/General"].attrs["title"] = name


def write_velox(path: Path, movies: dict[str, np.ndarray], pixel_m: float, frame_time_s: float) -> None:
    """Write an EMD file as Velox does: frames along the last axis, a column of JSON for each frame."""
    with h5py.File(path, "w") as file:
        file["Version"] = np.array([json.dumps({"format": "Velox", "version": "11"}).encode()])
        for i, (name, movie) in enumerate(movies.items()):
            metadata = {
                "BinaryResult": {
                    "PixelSize": {"width": str(pixel_m), "height": str(pixel_m)},
                    "Offset": {"x": "0", "y": "0"},
                    "PixelUnitX": "m",
                    "PixelUnitY": "m",
                    "DetectorIndex": str(i),
                    "Detector": name,
                },
                "Scan": {"FrameTime": str(frame_time_s)},
                "Detectors": {f"Detector-{i}": {"DetectorName": name, "DetectorType": "ScanningDetector"}},
                "Core": {},
                "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1600000000"}},
                "Instrument": {},
                "Optics": {},
            }
            text = np.frombuffer(json.dumps(metadata).encode().ljust(2000, b"\0"), np.uint8)
            group = file.create_group(f"Data/Image/{i:032x}")
            frames = np.moveaxis(movie, 0, -1)
            group.create_dataset("Data", data=frames, chunks=(*frames.shape[:2], 1))
            group["Metadata"] = np.tile(text[:, None], (1, len(movie)))

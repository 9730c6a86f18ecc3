"""Keep the demo's result as the sample result of the plugin: ``make demo``, then ``python examples/keep_result.py``.

It is stored in steps of 1/255, compressed. Its calibration is that of the simulated movie, which the plugin makes anew.
"""

import argparse
from pathlib import Path

import numpy as np
import tifffile

import napari_noise2atom
from napari_noise2atom.io import read_movie

SAMPLE = Path(napari_noise2atom.__file__).parent / "sample" / "denoised.tif"


def main() -> None:
    """Pack a denoised movie."""
    parser = argparse.ArgumentParser(description="Keep a denoised sample movie in the package.")
    parser.add_argument("denoised", type=Path, nargs="?", default=Path("demo/denoised.tif"), help="what the demo left")
    movie = read_movie(parser.parse_args().denoised)
    frames = np.stack([np.rint(255 * movie.frame(i).clip(0, 1)).astype(np.uint8) for i in range(len(movie))])
    SAMPLE.parent.mkdir(exist_ok=True)
    tifffile.imwrite(SAMPLE, frames, photometric="minisblack", compression="zlib", predictor=True, metadata=None)
    print(f"{SAMPLE}: {frames.shape}, {SAMPLE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

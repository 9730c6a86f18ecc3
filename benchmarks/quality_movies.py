"""Movies of known truth on which methods are compared."""

import numpy as np

from napari_noise2atom.settings import DetectorSettings, MovieSettings, SceneSettings
from napari_noise2atom.simulate.noisy import SimulatedMovie, simulate_movie

DETECTOR = DetectorSettings(
    offset_counts=180, gain_counts=42, pulse_shape=8, afterglow=0.34, read_noise_counts=14, saturation_counts=65535
)
"""A counting detector with weak afterglow, as of movies with one electron per pixel."""


def movie(variance_px2: float, bond_px: float, pixel_size_nm: float = 0.03, **fields: float) -> MovieSettings:
    """Return 120 frames; what is a field of the scene goes there."""
    scene = {name: value for name, value in fields.items() if name in SceneSettings.model_fields}
    return MovieSettings.model_validate(
        {name: value for name, value in fields.items() if name not in scene}
        | {
            "frames": 120,
            "seed": 11,
            "spot_variance_px2": variance_px2,
            "bond_px": bond_px,
            "pixel_size_nm": pixel_size_nm,
            "scene": SceneSettings.model_validate(scene),
            "detector": DETECTOR,
        }
    )


PARTICLE = {"clusters": 1, "cluster_atoms": 45, "column_atoms": 7}

MOVIES = {
    "slow": movie(2.6, 9.2, atom_peak_e=1.2, background_e=0.1, walk_px=0.35),
    "fast": movie(2.6, 9.2, atom_peak_e=1.2, background_e=0.1, walk_px=2.0, hop_probability=0.02, drift_px=0.3),
    "low dose": movie(2.6, 9.2, atom_peak_e=0.6, background_e=0.05, walk_px=0.35),
    "quarter dose": movie(2.6, 9.2, atom_peak_e=0.3, background_e=0.025, walk_px=0.35),
    "high dose": movie(2.6, 9.2, atom_peak_e=6.0, background_e=0.5, walk_px=0.35),
    "fine pixels": movie(12.4, 20.0, 0.0136, atom_peak_e=0.6, background_e=0.06, walk_px=0.8),
    "wedge": movie(4.0, 11.5, atom_peak_e=0.7, background_e=0.25, background_gradient=1.5, walk_px=0.5),
    "single atoms": movie(2.6, 9.2, atom_peak_e=1.2, background_e=0.1, walk_px=0.35, clusters=0, single_atoms=30),
    "crowded": movie(2.6, 7.0, atom_peak_e=1.2, background_e=0.1, walk_px=0.35, clusters=7, cluster_atoms=13),
    "read-out noise": movie(2.6, 9.2, atom_peak_e=1.2, background_e=0.1, walk_px=0.35).model_copy(
        update={"detector": DETECTOR.model_copy(update={"read_noise_counts": 60.0, "pulse_shape": 1.5})}
    ),
    "particle": movie(2.6, 8.0, atom_peak_e=1.2, background_e=0.1, walk_px=0.35, **PARTICLE),
    "dim particle": movie(
        2.6, 8.0, atom_peak_e=0.6, background_e=0.2, background_texture=0.2, walk_px=0.35, **PARTICLE
    ),
    "drifting": movie(
        2.6, 9.2, atom_peak_e=1.2, background_e=0.1, walk_px=0.35, size_px=256, clusters=20, single_atoms=72
    ),
    "sample": MovieSettings(),
}
"""By name: what changes from one to the next is dose, density, speed, pixel size, background or noise."""

VIEWS = {"drifting": (128, (1.0, 0.7))}
"""Of some movies, a smaller square is seen: its side [px], and how far it goes along y and x [px per frame]."""

ABOUT = {
    "slow": "atoms that move 0.35 px a frame and axis, 1.2 electrons in their brightest pixel",
    "fast": "as *slow*, but 2 px a frame and axis",
    "low dose": "half the electrons of *slow*",
    "quarter dose": "a quarter of them",
    "high dose": "five times as many",
    "read-out noise": "*slow* with noise of 1.4 electrons in each pixel",
    "wedge": "a background that rises sevenfold",
    "fine pixels": "broad spots that overlap",
    "single atoms": "no clusters",
    "crowded": "seven dense clusters whose spots melt into one another",
    "particle": "a crystal of up to seven atoms along the beam, single atoms beside it",
    "dim particle": "*particle* with half the electrons from atoms, and twice as many from a speckled film",
    "drifting": "*slow* on a sample that drifts by 1.2 px a frame",
    "sample": "the sample movie of the package, 64 frames",
    "pt_on_carbon": "platinum on carbon, physically simulated",
    "pt_on_carbon_wedge": "A on a film that grows eight times as thick from left to right",
    "pt_on_carbon_fast": "A with atoms six times as fast",
    "pt_on_carbon_low_dose": "A with 0.4 times the electrons",
    "pt_on_carbon_high_dose": "A with five times as many",
    "pt_on_carbon_astigmatic": "A with oval atoms, which no simulated pair of the package has",
    "pt_on_carbon_crystal": "A with a lattice under the atoms, which none has either",
    "pt_on_carbon_filtered": "A that went through a Gaussian filter of 0.7 px after it was recorded",
    "pt_on_carbon_registered": "A whose frames jumped, and were shifted back with linear interpolation",
    "pt_on_carbon_flickering": "A whose dose and offset flicker from frame to frame, by 20 % and 0.3 electrons, "
    "and from line to line, by 0.15 electrons",
    "pt_on_carbon_jumping": "A in a view of 112 px whose frames jump to and fro by 1 px along each axis, in standard "
    "deviation",
    "pt_on_carbon_fine": "as A with spots twice as wide",
}
"""In the order of the page: what a movie shows. Those of `pt_on_carbon` are not simulated by this package."""


def title(movie: str) -> str:
    """Return the name of a movie in texts: A and B are the two of `pt_on_carbon`, A has variants."""
    if movie == "pt_on_carbon_fine":
        return "B"
    variant = movie.removeprefix("pt_on_carbon")
    return movie.capitalize() if variant == movie else "A" + variant.replace("_", ", ", 1).replace("_", " ")


def simulated(name: str) -> SimulatedMovie:
    """Simulate a movie, as far as it is seen."""
    whole = simulate_movie(MOVIES[name])
    if name not in VIEWS:
        return whole
    side, speed = VIEWS[name]
    corners = np.round(np.arange(len(whole.clean))[:, None] * speed).astype(int)
    noisy, clean = (
        np.stack([frame[y : y + side, x : x + side] for frame, (y, x) in zip(frames, corners, strict=True)])
        for frames in (np.asarray(whole.noisy.data), whole.clean)
    )
    positions = whole.positions - corners[:, None].astype(np.float32)
    seen = ((positions >= 0) & (positions <= side - 1)).all(axis=-1, keepdims=True)
    return SimulatedMovie(whole.noisy.with_data(noisy, name), clean, np.where(seen, positions, np.float32(np.nan)))

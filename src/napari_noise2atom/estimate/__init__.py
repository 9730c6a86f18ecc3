"""What the movie tells: noise, background, spots, motion, and the settings that follow from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_noise2atom.movie import Movie
from napari_noise2atom.settings import CROP_STEP_PX, CleanSettings, DetectorSettings, SceneSettings, Settings
from napari_noise2atom.spikes import take_out_spikes

from .background import measure_background
from .blur import measure_blur
from .film import find_film
from .levels import FLICKERING, level_frames, level_lines, measure_flicker
from .noise import measure_noise, recorded_range, shared_noise, undo_afterglow
from .sample import sample_runs
from .spots import measure_spots, spot_skewness
from .steadiness import DRIFTING_PX, JUMPING_PX, steady

__all__ = ["MEANING", "Estimate", "estimate", "propose", "settings_from"]

MEANING = {
    "spot_variance_px2": ("variance of an atom's spot", "px²", "simulation.variance_min_px2, variance_max_px2"),
    "atoms_per_frame": ("spots in a frame", "", "simulation.positions_min, positions_max"),
    "atom_peak_e": ("electrons in an atom's brightest pixel", "e", "scene.atom_peak_e"),
    "column_atoms": ("atoms in the thickest columns", "", "scene.column_atoms, simulation.atoms_per_position"),
    "step_px": ("motion per frame and axis", "px", "scene.walk_px"),
    "drift_px": ("drift per frame", "px", "network.aligned"),
    "jump_px": ("jumps of whole frames", "px", "network.jump_px"),
    "background_e": ("electrons in a pixel between the atoms", "e", "scene.background_e"),
    "background_gradient": ("change of the background across the frame", "", "scene.background_gradient"),
    "background_texture": ("speckle of the background", "", "scene.background_texture"),
    "flicker": ("flicker of whole frames", "of a pixel's noise", "network.levelled"),
    "spikes_per_frame": ("spikes in a frame", "", "nothing: they are taken out"),
    "gain_counts": ("grey value of one electron", "counts", "detector.gain_counts"),
    "offset_counts": ("grey value without electrons", "counts", "detector.offset_counts"),
    "read_noise_counts": ("read-out noise", "counts", "detector.read_noise_counts"),
    "afterglow": ("signal left in the next pixel", "", "detector.afterglow"),
    "blur_px": ("blur after the recording", "px", "detector.blur_px"),
    "pulse_shape": ("shape of the pulse heights", "", "detector.pulse_shape"),
    "saturation_counts": ("grey value of saturation", "counts", "detector.saturation_counts"),
}
"""By field of an estimate: what it is, its unit, and the settings that follow from it."""


SHARED_NOISE = 0.15
"""Correlation of noise from which on frames seem not to be as they were recorded."""
DARK = -0.3
"""Skewness of spots below which they are dark; those of movies of bright atoms are above 0.5."""


@dataclass(frozen=True)
class Estimate:
    """Measured properties of a movie; units stand in the names."""

    offset_counts: float
    """Grey value without electrons."""
    gain_counts: float
    """Mean grey value of one electron."""
    pulse_shape: float
    """Shape of the gamma distribution of pulse heights."""
    afterglow: float
    """Share of the signal that remains in the next pixel along x."""
    blur_px: float
    """Standard deviation of a blur that frames went through after they were recorded; 0 where their noise is white."""
    read_noise_counts: float
    """Standard deviation of the read-out noise."""
    floor_counts: float
    """Smallest grey value that the detector records, or one far below the movie's."""
    saturation_counts: float
    """Grey value at which the detector saturates, or one far above the movie's."""
    background_e: float
    """Electrons per pixel between the atoms."""
    background_gradient: float
    """Change of the background across the frame along its steepest direction, relative to its mean."""
    background_texture: float
    """Standard deviation of the film's speckle, relative to its mean."""
    spot_variance_px2: float
    """Variance of a single spot."""
    atom_peak_e: float
    """Electrons in the brightest pixel of a single atom, without the background."""
    column_atoms: int
    """Atoms in the thickest columns, seen along the beam; 1 where hardly any atom lies behind another."""
    atoms_per_frame: float
    """Spots in a frame of this movie's size, if all of it were like the part that was measured."""
    step_px: float
    """Standard deviation per axis of the motion from one frame to the next, without drift and jumps that are undone."""
    drift_px: float
    """Mean way that the whole sample moves from one frame to the next."""
    jump_px: float
    """Standard deviation per axis of the jumps of whole frames to and fro."""
    flicker: float
    """Standard deviation of the jumps of a frame's mean, relative to that of the noise of a pixel."""
    spikes_per_frame: float
    """Single pixels in a frame of this movie's size that are far brighter than the sample makes any."""
    shared_noise: float
    """Correlation of the noise of neighbouring frames; 0 where each was recorded by itself."""
    certain: bool
    """False where too few spots stood out of the noise: width, brightness and density are guesses then."""
    dark: bool
    """True where spots are darker than what lies between them."""
    blur_known: bool
    """False where frames were smoothed by more or otherwise than can be undone: all but the motion are guesses then."""

    @property
    def doubts(self) -> list[str]:
        """What makes these numbers doubtful, a sentence each."""
        doubts = []
        if not self.certain:
            doubts.append(
                "Too few spots stand out of the noise: their width, brightness and number are guesses; look at them in "
                "the movie, and set them if they are wrong."
            )
        if self.dark:
            doubts.append(
                "Spots are darker than what lies between them, as in bright-field movies, but atoms are expected to be "
                "bright: invert the grey values of the movie."
            )
        if self.blur_px:
            doubts.append(
                "Noise is smooth, as after registration, scaling, a filter or compression. "
                + (
                    "Simulated frames are made as smooth, but those that were recorded give better results."
                    if self.blur_known
                    else "It is smoother than can be undone, so that all numbers are guesses: take the recorded frames."
                )
            )
        if self.shared_noise > SHARED_NOISE:
            doubts.append(
                f"Neighbouring frames share their noise (correlation {self.shared_noise:.2f}), as repeated or averaged "
                "frames do: take the recorded ones."
            )
        return doubts


def estimate(movie: Movie) -> Estimate:
    """Measure a movie on a sample of it; takes some seconds, whatever the movie's size.

    Parameters
    ----------
    movie : Movie
        At least two usable frames in a row.

    Returns
    -------
    Estimate

    Raises
    ------
    ValueError
        If fewer than two frames are usable.
    """
    sampled = sample_runs(movie)
    recorded = take_out_spikes(sampled)
    blur = measure_blur(recorded)
    white = blur.undo(recorded)
    runs = level_lines(level_frames(white))
    noise = measure_noise(runs)
    restored, drift_px, jump_px = steady(undo_afterglow(runs, noise.afterglow))
    floor, saturation = recorded_range(recorded)
    film = find_film(restored, noise.offset_counts)
    spots = measure_spots(restored, film)
    background = measure_background(restored, spots.variance_px2, film)
    level = max(background.level_counts - noise.offset_counts, 1e-3 * noise.gain_counts)
    return Estimate(
        offset_counts=noise.offset_counts,
        gain_counts=noise.gain_counts,
        pulse_shape=noise.pulse_shape,
        afterglow=noise.afterglow,
        blur_px=blur.blur_px,
        read_noise_counts=noise.read_noise_counts,
        floor_counts=floor,
        saturation_counts=saturation,
        background_e=level / noise.gain_counts,
        background_gradient=float(np.clip(background.gradient_counts / level, 0, 2)),
        background_texture=float(np.clip(background.texture_counts / level, 0, 1)),
        spot_variance_px2=spots.variance_px2,
        atom_peak_e=spots.peak_counts / noise.gain_counts,
        column_atoms=spots.column_atoms,
        atoms_per_frame=spots.density_per_px * movie.shape[1] * movie.shape[2],
        step_px=spots.step_px,
        drift_px=drift_px,
        jump_px=jump_px,
        flicker=measure_flicker(white),
        spikes_per_frame=_count_spikes(sampled, recorded) * movie.shape[1] * movie.shape[2],
        shared_noise=shared_noise(runs),
        certain=spots.certain,
        dark=spot_skewness(restored, spots.variance_px2, film) < DARK,
        blur_known=blur.known,
    )


def _count_spikes(runs: NDArray[np.float32], without: NDArray[np.float32]) -> float:
    """Return how many there are per pixel; an afterglow follows its spike in the same scan line, and is no other."""
    changed = runs != without
    return float((changed.sum() - (changed[..., 1:] & changed[..., :-1]).sum()) / changed.size)


def propose(movie: Movie, base: Settings) -> tuple[Settings, Estimate]:
    """Measure a movie and fill in what it tells.

    Parameters
    ----------
    movie : Movie
        The movie to be denoised.
    base : Settings
        A preset, possibly changed.

    Returns
    -------
    settings : Settings
        As from `settings_from`.
    found : Estimate
        What they are made from.

    Raises
    ------
    ValueError
        If fewer than two frames are usable.
    """
    found = estimate(movie)
    return settings_from(found, movie, base), found


def settings_from(found: Estimate, movie: Movie, base: Settings) -> Settings:
    """Fill in what a movie tells: the simulated clean images, the scene, the detector and the frames in.

    The preset ``paper`` keeps the paper's clean images.

    Parameters
    ----------
    found : Estimate
        Measured on the movie.
    movie : Movie
        The movie, of which only the shape is used.
    base : Settings
        A preset, possibly changed.

    Returns
    -------
    Settings
        The base with `simulation`, `scene` and `detector` of this movie, no more frames in than it has, aligned if it
        drifts, steadied if they jump, levelled if they flicker, and crops no larger than its frames.
    """
    detector = DetectorSettings(
        offset_counts=found.offset_counts,
        gain_counts=found.gain_counts,
        pulse_shape=found.pulse_shape,
        afterglow=found.afterglow,
        blur_px=found.blur_px,
        read_noise_counts=found.read_noise_counts,
        floor_counts=found.floor_counts,
        saturation_counts=found.saturation_counts,
        line_jitter_px=base.detector.line_jitter_px,
    )
    scene = SceneSettings(
        atom_peak_e=found.atom_peak_e,
        column_atoms=found.column_atoms,
        background_e=found.background_e,
        background_gradient=found.background_gradient,
        background_texture=found.background_texture,
        walk_px=found.step_px,
        hop_probability=base.scene.hop_probability,
        hop_px=base.scene.hop_px,
        drift_px=base.scene.drift_px,
    )
    simulation = base.simulation if base.preset == "paper" else _clean_images(found, movie, base.simulation)
    crop_px = min(base.simulation.crop_px, min(movie.shape[1:]) // CROP_STEP_PX * CROP_STEP_PX)
    if crop_px >= base.training.low_pass_px:
        simulation = simulation.model_copy(update={"crop_px": crop_px})
    # neighbours that are not there would be others seen twice, whose noise looks as lasting as an atom
    frames_in = min(base.network.frames_in, len(movie) - (len(movie) + 1) % 2)
    aligned = base.network.aligned or (frames_in > 1 and found.drift_px >= DRIFTING_PX)
    jump_px = base.network.jump_px or (found.jump_px if frames_in > 1 and found.jump_px >= JUMPING_PX else 0.0)
    levelled = base.network.levelled or (frames_in > 1 and found.flicker >= FLICKERING)
    view = {"frames_in": frames_in, "aligned": aligned, "jump_px": jump_px, "levelled": levelled}
    network = base.network.model_copy(update=view)
    return base.model_copy(update={"detector": detector, "scene": scene, "simulation": simulation, "network": network})


def _clean_images(found: Estimate, movie: Movie, base: CleanSettings) -> CleanSettings:
    """Draw spots as wide and as dense as the movie's; a density may be half or twice what was found.

    The thickest columns leave a quarter of the range to those that are brighter than most.
    """
    expected = found.atoms_per_frame / (movie.shape[1] * movie.shape[2]) * base.lattice_px**2
    reach = int(np.ceil(3.5 * np.sqrt(1.15 * found.spot_variance_px2)))
    return base.model_copy(
        update={
            "positions_min": max(1, round(expected / 2)),
            "positions_max": max(2, round(expected * 2)),
            "atoms_per_position": max(base.atoms_per_position, int(np.ceil(4 / 3 * found.column_atoms))),
            "variance_min_px2": found.spot_variance_px2 * 0.87,
            "variance_max_px2": found.spot_variance_px2 * 1.15,
            "kernel_px": max(base.kernel_px, 2 * reach + 1),
        }
    )

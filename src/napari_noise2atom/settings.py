"""Every parameter of the product: frozen models whose docstrings are the tooltips, help texts and docs.

Units stand in the name (``_px``, ``_px2``, ``_nm``, ``_s``, ``_e`` for detected electrons, ``_counts`` for the
movie's own grey values) and in brackets in the text. A settings object is complete: its JSON dump reproduces a run.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "CROP_STEP_PX",
    "PRESETS",
    "CleanSettings",
    "CompareSettings",
    "DetectorSettings",
    "MovieSettings",
    "NetworkSettings",
    "PresetName",
    "RunSettings",
    "SceneSettings",
    "Settings",
    "TrainingSettings",
    "WarmStartSettings",
    "preset",
]

PresetName = Literal["default", "paper", "compact"]
Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
CROP_STEP_PX = 8
"""Sides of training images are multiples of it, as networks want them [px]."""


class _Group(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, validate_default=True
    )


class CleanSettings(_Group):
    """Simulated clean images, domain C ("Datasets" in the paper)."""

    lattice_px: Annotated[int, Field(ge=16)] = 256
    """Side of the square lattice on which atomic positions are drawn [px]."""
    crop_px: Annotated[int, Field(ge=16, multiple_of=CROP_STEP_PX)] = 128
    """Side of the central crop that is one training image [px]."""
    positions_min: Count = 75
    """Fewest atomic positions on one lattice."""
    positions_max: Count = 150
    """Most atomic positions on one lattice."""
    atoms_per_position: Count = 4
    """Most atoms in one position, seen along the beam; the intensity of 1 is this many atoms."""
    kernel_px: Annotated[int, Field(ge=3)] = 33
    """Side of the Gaussian kernel, an odd number [px]."""
    variance_min_px2: Positive = 1.0
    """Smallest variance of the Gaussian spot of an atom [px²]."""
    variance_max_px2: Positive = 10.0
    """Largest variance of the Gaussian spot of an atom [px²]."""
    narrowing: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Variance of the spots in clean images relative to the movie's, but at least 1 px²; below 1, atoms that overlap
    come apart."""

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> Self:
        if self.crop_px > self.lattice_px:
            raise ValueError(f"crop_px {self.crop_px} is larger than lattice_px {self.lattice_px}")
        if self.positions_min > self.positions_max:
            raise ValueError(f"positions_min {self.positions_min} exceeds positions_max {self.positions_max}")
        if self.variance_min_px2 > self.variance_max_px2:
            raise ValueError(
                f"variance_min_px2 {self.variance_min_px2} exceeds variance_max_px2 {self.variance_max_px2}"
            )
        if self.kernel_px % 2 == 0:
            raise ValueError(f"kernel_px {self.kernel_px} is even; expected an odd number of pixels")
        return self


class SceneSettings(_Group):
    """What the beam meets: brightness of atoms and support film, and how they move."""

    atom_peak_e: Positive = 1.12
    """Expected electrons in the brightest pixel of a single atom [e/px]."""
    column_atoms: Count = 1
    """Most atoms in a column of a crystal, seen along the beam; 1 where hardly any atom lies behind another."""
    background_e: NonNegative = 0.6
    """Expected electrons per pixel of the support film [e/px]."""
    background_gradient: Annotated[float, Field(ge=-2, le=2)] = 0.0
    """Change of the background from the left to the right edge, relative to its mean (a wedge)."""
    background_texture: Fraction = 0.05
    """Standard deviation of the film's speckle, relative to the background."""
    walk_px: NonNegative = 0.4
    """Standard deviation of an atom's step per frame and axis [px]."""
    hop_probability: Fraction = 0.01
    """Probability per frame that an atom hops to a new place."""
    hop_px: NonNegative = 5.0
    """Standard deviation of a hop per axis [px]."""
    drift_px: NonNegative = 0.1
    """Common drift of everything per frame [px]."""


class DetectorSettings(_Group):
    """How a frame is recorded: grey value = offset + gain × afterglow(pulses) + read-out noise."""

    offset_counts: float = 115.0
    """Grey value of a pixel that no electron reached [counts]."""
    gain_counts: Positive = 1200.0
    """Mean grey value of one electron [counts/e]."""
    pulse_shape: Positive = 1.8
    """Shape of the gamma distribution of one electron's pulse height; a large value means equal pulses."""
    afterglow: Annotated[float, Field(ge=0, lt=1)] = 0.34
    """Share of the signal that remains in the next pixel of the fast scan axis x."""
    line_jitter_px: NonNegative = 0.2
    """Standard deviation of the horizontal displacement of a scan line [px]."""
    read_noise_counts: NonNegative = 60.0
    """Standard deviation of the read-out noise [counts]."""
    blur_px: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Standard deviation of a blur of recorded frames, as by registration, scaling or a filter [px]."""
    floor_counts: float = 0.0
    """Smallest grey value that the detector records [counts]."""
    saturation_counts: float = 4095.0
    """Largest grey value that the detector records [counts]."""

    @model_validator(mode="after")
    def _range_is_ordered(self) -> Self:
        if self.floor_counts >= self.saturation_counts:
            raise ValueError(
                f"floor_counts {self.floor_counts} is not below saturation_counts {self.saturation_counts}"
            )
        return self


class MovieSettings(_Group):
    """A simulated noisy movie whose atoms are known."""

    frames: Annotated[int, Field(ge=2)] = 64
    """Number of frames."""
    size_px: Annotated[int, Field(ge=32)] = 128
    """Side of a square frame [px]."""
    pixel_size_nm: Positive = 0.03
    """Side of a pixel [nm]."""
    frame_time_s: Positive = 1 / 150
    """Time from one frame to the next [s]."""
    spot_variance_px2: Positive = 7.0
    """Variance of the Gaussian spot of an atom [px²]."""
    clusters: Annotated[int, Field(ge=0)] = 5
    """Number of clusters."""
    cluster_atoms: Count = 5
    """Mean number of atoms in a cluster."""
    single_atoms: Annotated[int, Field(ge=0)] = 18
    """Number of single atoms."""
    bond_px: Positive = 14.0
    """Distance of neighbouring atoms in a cluster [px]."""
    scene: SceneSettings = SceneSettings()
    """Brightness and motion."""
    detector: DetectorSettings = DetectorSettings()
    """Recording."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of all random numbers."""

    @model_validator(mode="after")
    def _grey_values_have_16_bits(self) -> Self:
        floor, saturation = self.detector.floor_counts, self.detector.saturation_counts
        if floor < 0 or saturation > 65535:
            raise ValueError(
                f"detector.floor_counts {floor:g} and detector.saturation_counts {saturation:g} leave 16 bits; "
                "expected values from 0 to 65535"
            )
        return self


class NetworkSettings(_Group):
    """The generators."""

    architecture: Literal["paper", "compact"] = "compact"
    """The paper's U-Net (13.8 M parameters), or a small one without instance norm for computers without a GPU."""
    frames_in: Annotated[int, Field(ge=1, le=15)] = 13
    """Neighbouring frames that s2c sees, an odd number, at most those of the movie; 1 as in the paper."""
    aligned: bool = False
    """Shift neighbouring frames by whole pixels, so that the sample does not drift; proposed where the movie drifts."""
    jump_px: NonNegative = 0.0
    """Standard deviation per axis of jumps by which neighbouring frames are shifted, too, or 0; proposed where whole
    frames jump to and fro [px]."""
    levelled: bool = False
    """Give neighbouring frames the same mean grey value; proposed where whole frames flicker."""
    channels: Annotated[int, Field(ge=4, multiple_of=4)] = 24
    """Channels of the compact network at full resolution; the paper's are fixed."""

    @model_validator(mode="after")
    def _frames_are_odd(self) -> Self:
        if self.frames_in % 2 == 0:
            raise ValueError(f"frames_in {self.frames_in} is even; expected an odd number of frames")
        return self


class WarmStartSettings(_Group):
    """First stage: s2c learns from simulated pairs that are made with what the movie tells."""

    steps: Annotated[int, Field(ge=0)] = 1200
    """Training steps on simulated pairs; 0 turns the warm start off, as in the paper."""
    batch_size: Count = 4
    """Pairs per step; of each process, if several train together."""
    crop_px: Annotated[int, Field(ge=16, multiple_of=CROP_STEP_PX)] = 64
    """Side of the square training crops [px]."""
    learning_rate: Positive = 1e-3
    """Peak learning rate of Adam; it rises over the first steps and falls along a cosine."""
    share: Fraction = 0.75
    """Share of a run's minutes that the warm start may take."""
    pretrained: bool = True
    """Begin with weights that were trained on simulated movies of all kinds; there are some for 24 channels and at most
    13 frames in, other networks begin with random ones."""


class TrainingSettings(_Group):
    """Second stage: the paper's cycle on the movie itself ("Training Details")."""

    epochs: Annotated[int, Field(ge=0)] = 100
    """Passes over the sampled frames; 0 leaves out the cycle."""
    batch_size: Count = 6
    """Crops per step; of each process, if several train together."""
    sampled_frames: Count = 120
    """Frames drawn from the movie for training."""
    learning_rate: Positive = 2e-5
    """Learning rate of RMSProp for the generators and the critic; 5e-5 in the paper."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of RMSProp."""
    critic_steps: Count = 5
    """Critic updates per step."""
    adversarial_weight: NonNegative = 0.05
    """Weight α of the adversarial loss (eq. 8); 5 in the paper."""
    cycle_weight: NonNegative = 1.0
    """Weight β of the cycle consistency loss (eq. 8)."""
    gradient_penalty: NonNegative = 10.0
    """Weight λ of the gradient penalty (eq. 1)."""
    low_pass_px: Annotated[int, Field(ge=3)] = 33
    """Side of the low-pass kernel, an odd number [px]."""
    low_pass_variance_px2: Positive = 15.0
    """Variance of the Gaussian low-pass [px²]."""
    joint: bool = True
    """One update of all generator losses from a shared forward pass, instead of the paper's three updates."""
    masked_weight: NonNegative = 2.0
    """Weight of the full-frequency cycle on raw pixels that are hidden from s2c; 0 in the paper."""
    pairs_weight: NonNegative = 10.0
    """Weight of the simulated pairs, which keep what the warm start learned; 0 in the paper."""
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay per step of the averaged weights of s2c that are scored and kept; 0 keeps the last weights."""
    augment: bool = True
    """Flip crops at random along y and in time; not along x, where afterglow has a direction."""
    guards: bool = True
    """Repair an inverted mapping by starting the cycle afresh; alarms are raised in any case."""


class RunSettings(_Group):
    """How a run is carried out: how long, with what random numbers, and where."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of all random numbers."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """auto, cpu, cuda, cuda:N or mps; auto takes the first that is there of cuda, mps, cpu."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads; 0 means all cores, in napari all but one."""
    mixed_precision: bool = True
    """Multiply in 16 bits where the processor or GPU is built for it: faster, with slight rounding."""
    max_minutes: NonNegative = 0.0
    """End when the run, resumed or not, has taken this time, with the best model so far; 0 means no limit [min]."""
    checkpoint_every_s: Positive = 60.0
    """Time between checkpoints [s]."""
    preview_every_s: Positive = 10.0
    """Time between previews and scores [s]."""
    probe_frames: Annotated[int, Field(ge=2)] = 8
    """Frames on which the scores that choose the best model are computed."""


class CompareSettings(_Group):
    """How methods are compared on a movie."""

    filter_px: Positive = 2.0
    """Standard deviation of the Gaussian filters, along y and x [px]."""
    filter_frames: Positive = 2.0
    """Standard deviation of the Gaussian filter along time, and half the window of the temporal mean, in frames."""
    minutes: Positive = 8.0
    """Time that a method which is trained may take [min]."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of all random numbers."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """auto, cpu, cuda, cuda:N or mps; auto takes the first that is there of cuda, mps, cpu."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads; 0 means all cores but one."""


class Settings(_Group):
    """A whole training run."""

    preset: PresetName = "default"
    """Name of the preset from which these settings come."""
    simulation: CleanSettings = CleanSettings()
    """Clean images."""
    scene: SceneSettings = SceneSettings()
    """Brightness and motion in simulated pairs."""
    detector: DetectorSettings = DetectorSettings()
    """Recording of simulated pairs."""
    network: NetworkSettings = NetworkSettings()
    """Generators."""
    warm_start: WarmStartSettings = WarmStartSettings()
    """First stage."""
    training: TrainingSettings = TrainingSettings()
    """Second stage."""
    run: RunSettings = RunSettings()
    """Carrying out."""


_PAPER = Settings(
    preset="paper",
    network=NetworkSettings(architecture="paper", frames_in=1),
    warm_start=WarmStartSettings(steps=0, pretrained=False),
    training=TrainingSettings(
        learning_rate=5e-5,
        adversarial_weight=5,
        joint=False,
        masked_weight=0,
        pairs_weight=0,
        average_decay=0,
        augment=False,
        guards=False,
    ),
)

_COMPACT = Settings(
    preset="compact",
    simulation=CleanSettings(crop_px=64, lattice_px=128, positions_min=19, positions_max=38, narrowing=0.25),
    warm_start=WarmStartSettings(steps=8000),
    training=TrainingSettings(epochs=30, critic_steps=2),
)

PRESETS: dict[PresetName, Settings] = {
    "default": _COMPACT.model_copy(update={"preset": "default", "warm_start": WarmStartSettings(steps=16000)}),
    "paper": _PAPER,
    "compact": _COMPACT,
}
"""``paper`` follows the publication, ``compact`` is for two CPU cores, ``default`` for a GPU or some patience."""


def preset(name: PresetName) -> Settings:
    """Return the complete settings of a preset.

    Parameters
    ----------
    name : {"default", "paper", "compact"}
        Name of the preset.

    Returns
    -------
    Settings

    Raises
    ------
    ValueError
        If there is no preset of that name.
    """
    if name not in PRESETS:
        raise ValueError(f"preset {name!r} is unknown; expected one of {', '.join(PRESETS)}")
    return PRESETS[name]

"""What is timed: each row prepares both sides, times them in turn and returns its figures."""

import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from plain_port import PlainGenerator, PlainRecipe, PlainUNet, clean_images
from quality_movies import MOVIES
from speed_compile import compiled
from speed_profile import time_by_kind
from speed_report import GROWTH, PROFILED, growth_row
from speed_timing import (
    MATRIX_SIDE,
    Bench,
    Operations,
    Result,
    Side,
    alternate,
    matrix_product,
    memory_copy,
    number,
    operations,
    ratio_in_words,
)

from napari_noise2atom.baselines.pgure import pgure_svt
from napari_noise2atom.estimate import propose
from napari_noise2atom.events import Checkpointed, Finished
from napari_noise2atom.inference import FrameDenoiser, denoise_frames
from napari_noise2atom.metrics import detection_scores
from napari_noise2atom.modelfile import Normalisation, TrainedModel, load_model
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import build_s2c, limited_threads
from napari_noise2atom.normalisation import measure_normalisation
from napari_noise2atom.settings import CleanSettings, CompareSettings, PresetName, Settings, preset
from napari_noise2atom.simulate.clean import simulate_clean
from napari_noise2atom.simulate.noisy import simulate_movie
from napari_noise2atom.streaming import frames_at_once
from napari_noise2atom.training import train
from napari_noise2atom.training.learner import Learner
from napari_noise2atom.training.parts import Team
from napari_noise2atom.training.patches import Patches
from napari_noise2atom.training.sampling import sample_frames

Row = Callable[[Bench], list[Result]]
PROBED_EVERY = 4
"""Frames of which F1 is taken."""
NEAR_F1 = 0.02
CHECKPOINT_S = 10.0
APPLIED_FRAMES, GPU_PX = 8, 2**25
"""Frames of a movie; on a GPU, which would be done at once, all pixels of one."""
DENOISED_PX = 8 * 256**2
"""Of larger frames, so few are denoised in the rows of growth that they have no more pixels than this, but one."""


def limit(bench: Bench) -> tuple[Side, float]:
    """Return the matrix product whose rate is the limit, and its operations: bfloat16 on a GPU, else float32."""
    product, count = matrix_product(bench, torch.bfloat16 if bench.on_gpu else torch.float32)
    return Side(product, bench), count


def share_of_limit(
    name: str, count: float, seconds: NDArray[np.float64], limit_count: float, limit_s: NDArray[np.float64]
) -> Result:
    rate, most = count / seconds / 1e12, limit_count / limit_s / 1e12
    words = f"{number(np.median(rate))} of {number(np.median(most))} TFLOP/s, {number(count / 1e9)} GFLOP"
    return Result(f"{name}-share", "%", 100 * rate / most, words)


def changed(settings: Settings, **groups: dict[str, object]) -> Settings:
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=fields) for name, fields in groups.items()}
    )


def learner_for(movie: Movie, settings: Settings, bench: Bench, threads: int) -> tuple[Learner, Team]:
    team = Team(torch.device(bench.device), threads)
    return Learner(settings, patches_of(movie, settings), measure_normalisation(movie), team), team


def patches_of(movie: Movie, settings: Settings) -> Patches:
    sampled, _ = sample_frames(movie, settings)
    return Patches.of(movie, sampled, settings.network, measure_normalisation(movie))


def paper_settings(bench: Bench) -> Settings:
    # The small size is a rehearsal and tells nothing: torch leaves oneDNN for a single image of so few values.
    crop, lattice = (48, 96) if bench.quick else (128, 256)
    return changed(
        preset("paper"), training={"batch_size": bench.batch}, simulation={"crop_px": crop, "lattice_px": lattice}
    )


def paper_step(bench: Bench) -> list[Result]:
    """One step of the preset `paper`, as it is, and of the plain port; drawing and simulating are part of both."""
    settings = paper_settings(bench)
    size, lattice = settings.simulation.crop_px, settings.simulation.lattice_px
    movie = simulate_movie(MOVIES["slow"]).noisy
    learner, team = learner_for(movie, settings, bench, bench.threads)
    numbers, rng = itertools.count(), np.random.default_rng(0)
    port, windows = PlainRecipe(size, bench.device), patches_of(movie, settings).windows[..., :size, :size]

    def step_of_ours() -> None:
        with limited_threads(team.threads_per_part):
            learner.cycle_step(next(numbers))

    def step_of_port() -> None:
        noisy = windows[rng.integers(len(windows), size=bench.batch)]
        real = clean_images(bench.batch, size, lattice, rng)[:, None]
        losses = port.step(*(torch.from_numpy(images).to(bench.device) for images in (noisy, real)))
        [float(loss.detach()) for loss in losses.values()]

    ours, theirs, (most, count) = Side(step_of_ours, bench), Side(step_of_port, bench), limit(bench)
    our_s, their_s, limit_s = alternate(bench, ours, theirs, most)
    words = (
        f"plain port: {number(np.median(their_s))} s{theirs.memory}; here {number(np.median(our_s))} s{ours.memory}; "
        f"batch of {bench.batch}, {size}² px"
    )
    useful = operations_of_step(size, bench.batch)
    memory = [Result("paper-step-memory", "MiB", np.array([ours.peak_mib]), f"plain port: {theirs.peak_mib:.0f} MiB")]
    return [
        Result("paper-step", "times as fast", their_s / our_s, words),
        share_of_limit("paper-step", useful, our_s, count, limit_s),
        *(memory if bench.on_gpu else []),
    ]


def paper_training(bench: Bench) -> list[Result]:
    """All epochs of the preset `paper`, with previews and checkpoints as users have them."""
    movie = simulate_movie(MOVIES["slow"]).noisy
    rehearsal = {"epochs": 1, "sampled_frames": 2 * bench.batch} if bench.quick else {}
    run = {"device": bench.device, "threads": bench.threads}
    settings = changed(paper_settings(bench), training=rehearsal, run=run)
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        *_, last = train(movie, settings, run=Path(name) / "run")
        seconds = time.perf_counter() - start
    assert isinstance(last, Finished)
    return [Result("paper-training", "s", np.array([seconds]), f"{last.step} steps, one run")]


def operations_of_step(size_px: int, batch: int) -> float:
    """Count what the mathematics of a step need: the port's, but its fake batch once and not five times."""
    port, images = PlainRecipe(size_px, "meta"), torch.empty((batch, 1, size_px, size_px), device="meta")
    with Operations() as step:
        port.step(images, images)
    with Operations() as once, torch.no_grad():
        port.s2c(images)
    return step.total - 4 * once.total


def compact_steps(bench: Bench) -> list[Result]:
    """Both kinds of steps of `compact`, against the same on one thread."""
    movie = simulate_movie(MOVIES["slow"]).noisy
    settings, _ = propose(movie, preset("compact"))
    alone = [] if bench.on_gpu else [1]
    learners = [learner_for(movie, settings, bench, threads) for threads in (bench.threads, *alone)]
    kinds: dict[str, Callable[[Learner, int], object]] = {
        "compact-warm-step": lambda learner, step: learner.warm_step(step, 0.1),
        "compact-cycle-step": lambda learner, step: learner.cycle_step(step),
    }
    results = []
    for name, step in kinds.items():
        sides = [Side(partial(in_team, *member, step, itertools.count()), bench) for member in learners]
        seconds = alternate(bench, *sides)
        words = sides[0].memory.removeprefix(", ")
        if alone:
            words = f"one thread: {number(1e3 * np.median(seconds[1]))} ms; {ratio_in_words(seconds[1] / seconds[0])}"
        results.append(Result(name, "ms", 1e3 * seconds[0], words))
    return results


def profiled_steps(bench: Bench) -> list[Result]:
    """Say where the time of each kind of step goes, on one thread."""
    movie = simulate_movie(MOVIES["slow"]).noisy
    compact, _ = propose(movie, preset("compact"))
    steps: dict[str, tuple[Settings, Callable[[Learner, int], object]]] = {
        "profile-paper": (paper_settings(bench), lambda learner, number: learner.cycle_step(number)),
        "profile-compact-warm": (compact, lambda learner, number: learner.warm_step(number, 0.1)),
        "profile-compact-cycle": (compact, lambda learner, number: learner.cycle_step(number)),
    }
    results = []
    for name in PROFILED:
        settings, step = steps[name]
        numbered = partial(in_team, *learner_for(movie, settings, bench, 1), step, itertools.count())
        numbered()
        seconds, shares = time_by_kind(numbered)
        results.append(Result(name, "s", np.array([seconds]), details={"shares": shares}))
    return results


def in_team(learner: Learner, team: Team, step: Callable[[Learner, int], object], numbers: itertools.count) -> None:
    with limited_threads(team.threads_per_part):
        step(learner, next(numbers))


def untrained(name: PresetName) -> TrainedModel:
    """Return a model of a preset with random weights: its speed is that of a trained one."""
    settings = preset(name)
    torch.manual_seed(0)
    return TrainedModel(settings, dict(build_s2c(settings.network).state_dict()), Normalisation(0, 10))


def counts(frames: int, size_px: int) -> Movie:
    rng = np.random.default_rng(0)
    return Movie(rng.poisson(1.2, (frames, size_px, size_px)).astype(np.uint16), name="counts")


def apply(bench: Bench, name: PresetName, size_px: int) -> list[Result]:
    """Frames of a movie as users have them, small ones several at once, against the plain U-Net on one by one."""
    at_once = 1 if frames_at_once((size_px, size_px)) == 1 else APPLIED_FRAMES
    at_once = GPU_PX // size_px**2 if bench.on_gpu else at_once
    movie = counts(max(at_once, APPLIED_FRAMES), size_px)
    turn, model = itertools.cycle(range(len(movie))), untrained(name)
    denoiser, unet = FrameDenoiser(movie, model, bench.device, bench.threads), PlainUNet().to(bench.device).eval()

    @torch.inference_mode()
    def by_unet() -> NDArray[np.float32]:
        frame = movie.frame(next(turn))
        image = torch.from_numpy((frame - frame.mean()) / frame.std()).to(bench.device)
        return unet(image[None, None])[0, 0].cpu().numpy()

    ours = Side(lambda: list(denoiser.stream(itertools.islice(turn, at_once))), bench)
    theirs, (most, limit_count) = Side(by_unet, bench), limit(bench)
    our_s, their_s, limit_s = alternate(bench, ours, theirs, most)
    our_s /= at_once
    # The port's transposed convolutions count no multiplications with padding.
    network, channels = (PlainGenerator(), 1) if name == "paper" else (model.s2c(), model.settings.network.frames_in)
    count = operations(network, channels, size_px)
    words = (
        f"U-Net of Noise2Void's size: {number(1 / np.median(their_s))} frames/s, "
        f"{number(operations(unet.cpu(), 1, size_px) / 1e9)} GFLOP{theirs.memory}; "
        f"{ratio_in_words(their_s / our_s)}{ours.memory}"
    )
    row = f"{name}-{size_px}"
    return [
        Result(row, "frames/s", 1 / our_s, words),
        share_of_limit(row, count, our_s, limit_count, limit_s),
    ]


def pgure(bench: Bench) -> list[Result]:
    """A whole movie; the training, which PGURE-SVT does not need, is not part of it."""
    frames = 20 if bench.quick else MOVIES["slow"].frames
    movie = simulate_movie(MOVIES["slow"].model_copy(update={"frames": frames})).noisy
    model, settings = untrained("compact"), CompareSettings(threads=bench.threads)
    ours = Side(lambda: denoise_frames(movie, model, range(frames), device="cpu", threads=bench.threads), bench)
    theirs = Side(lambda: pgure_svt(movie, settings, lambda share: None), bench)
    our_s, their_s = alternate(bench, ours, theirs)
    words = f"PGURE-SVT: {number(np.median(their_s))} s; {ratio_in_words(their_s / our_s)}; {frames} frames of 128² px"
    return [Result("whole-movie", "s", our_s, words)]


def clean(bench: Bench) -> list[Result]:
    n, settings = 512 if bench.on_gpu else 64, CleanSettings()
    renderer = {"xp": torch, "device": bench.device} if bench.on_gpu else {}
    ours_rng, rng = np.random.default_rng(0), np.random.default_rng(0)
    ours = Side(lambda: simulate_clean(n, settings, ours_rng, **renderer), bench)
    theirs = Side(lambda: clean_images(n, 128, 256, rng), bench)
    our_s, their_s = alternate(bench, ours, theirs)
    words = f"plain port: {number(n / np.median(their_s))} images/s; {ratio_in_words(their_s / our_s)}"
    return [Result("clean-images", "images/s", n / our_s, words)]


def first_preview(bench: Bench) -> list[Result]:
    """In a process of its own, so that torch is loaded anew; the first of them fills the cache of files."""
    name = "default" if bench.on_gpu else "compact"
    script = Path(__file__).with_name("speed_preview.py")
    command = [sys.executable, str(script), bench.device, str(bench.threads), name]
    runs = [json.loads(subprocess.check_output(command, text=True)) for _ in range(bench.repeats + 1)][1:]
    loading = np.median([run["loading"] for run in runs])
    words = f"{number(loading)} s of it load torch; preset {name}"
    return [Result("first-preview", "s", np.array([run["seconds"] for run in runs]), words)]


def most_memory_mib() -> float:
    """Return the most memory that this process held; what `getrusage` says on Linux may be its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) / 2**10 for line in status.read_text().splitlines() if line[:6] == "VmHWM:")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def growth(bench: Bench, size_px: int, frames: int) -> list[Result]:
    """`compact` applied to so many frames of a size; the memory is that of a process that does nothing else."""
    before_mib = psutil.Process().memory_info().rss / 2**20
    movie, model = counts(frames, size_px), untrained("compact")
    denoised = frames if size_px <= 256 else max(1, DENOISED_PX // size_px**2)
    work = partial(denoise_frames, movie, model, range(denoised), device=bench.device, threads=bench.threads)
    side = Side(work, bench)
    (seconds,) = alternate(bench, side)
    peak_mib = most_memory_mib()
    details = {
        "size_px": size_px,
        "frames": frames,
        "s_per_mpx": float(np.median(seconds) / (denoised * size_px**2 / 1e6)),
        "peak_mib": round(peak_mib),
        "before_mib": round(before_mib),
        "gpu_mib": round(side.peak_mib),
    }
    return [Result(growth_row(size_px, frames), "ms per frame", 1e3 * seconds / denoised, details=details)]


def limits(bench: Bench) -> list[Result]:
    """What the device can do at most: products of large matrices, and a copy of memory."""
    kinds = {"matrix-float32": (torch.float32, False), "matrix-bfloat16": (torch.bfloat16, False)}
    if bench.on_gpu:
        kinds["matrix-tf32"] = (torch.float32, True)
    works = {name: matrix_product(bench, *kind) for name, kind in kinds.items()} | {"copy": memory_copy(bench)}
    seconds = alternate(bench, *(Side(work, bench) for work, _ in works.values()))
    results = []
    for (name, (_, count)), times in zip(works.items(), seconds, strict=True):
        scale, unit = (1e9, "GB/s") if name == "copy" else (1e12, "TFLOP/s")
        words = by_torch(bench) if name == "matrix-float32" and not bench.on_gpu else ""
        results.append(Result(name, unit, count / scale / times, words))
    return results


def by_torch(bench: Bench) -> str:
    """Say how fast torch.mm is, which asks another library for it than a convolution does."""
    left, right = (torch.randn(MATRIX_SIDE["cpu"], MATRIX_SIDE["cpu"]) for _ in range(2))
    (seconds,) = alternate(bench, Side(lambda: torch.mm(left, right), bench))
    return f"`torch.mm`: {number(2 * MATRIX_SIDE['cpu'] ** 3 / np.median(seconds) / 1e12)} TFLOP/s"


def useful_result(bench: Bench) -> list[Result]:
    """When a training's model is about as good as it will be; what it is at a time is what a user could stop with."""
    simulated = simulate_movie(MOVIES["slow"])
    movie = simulated.noisy
    settings, _ = propose(movie, preset("compact"))
    run = {"device": bench.device, "threads": bench.threads, "max_minutes": bench.minutes}
    settings = changed(settings, run=run | {"checkpoint_every_s": CHECKPOINT_S})
    with tempfile.TemporaryDirectory() as name:
        folder, start = Path(name) / "run", time.perf_counter()
        checkpoints = (event for event in train(movie, settings, run=folder) if isinstance(event, Checkpointed))
        kept = [(time.perf_counter() - start, load_model(folder)) for _ in checkpoints]
    frames, positions = range(0, len(movie), PROBED_EVERY), simulated.positions[::PROBED_EVERY]

    def f1_of(model: TrainedModel) -> float:
        denoised = denoise_frames(movie, model, frames, device=bench.device, threads=bench.threads)
        return detection_scores(denoised, positions, every=1).f1

    curve = [(round(seconds, 1), round(f1_of(model), 4)) for seconds, model in kept]
    last_s, last_f1 = curve[-1]
    behind = [number for number, (_, f1) in enumerate(curve) if f1 < last_f1 - NEAR_F1]
    reached = curve[max(behind, default=-1) + 1][0]
    words = f"F1 {last_f1:.3f} at the end, after {last_s:.0f} s; preset compact, one run"
    return [Result("useful-result", "s", np.array([reached]), words, {"curve": curve})]


ROWS: dict[str, Row] = {
    "paper-step": paper_step,
    "paper-training": paper_training,
    "compact-steps": compact_steps,
    "profile": profiled_steps,
    **{
        f"{name}-{size}": partial(apply, name=name, size_px=size)
        for name in ("paper", "compact")
        for size in (128, 1024)
    },
    "compiled": compiled,
    "whole-movie": pgure,
    "clean-images": clean,
    "first-preview": first_preview,
    **{growth_row(*case): partial(growth, size_px=case[0], frames=case[1]) for case in GROWTH},
    "limits": limits,
    "useful-result": useful_result,
}
"""By name, in the order in which they are measured; each in a process of its own."""
CPU_ONLY = {"whole-movie", "profile"}
GPU_ONLY = {"paper-training"}
"""On a CPU it would take hours."""
ONE_THREAD = {"clean-images", "profile", "compiled"}
NOT_QUICK = {"paper-1024", "compiled", growth_row(2048, 8), "useful-result"}

import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import dask
import dask.array as da
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from napari_noise2atom.alignment import shift_back
from napari_noise2atom.inference import FrameDenoiser, denoise, denoise_frames, translate_windows
from napari_noise2atom.modelfile import Normalisation, TrainedModel
from napari_noise2atom.movie import Movie
from napari_noise2atom.networks import Generator, PaperGenerator, build_s2c, frozen_statistics, mixed_precision
from napari_noise2atom.settings import NetworkSettings, Settings
from napari_noise2atom.windows import FrameWindows

NORMALISATION = Normalisation(100, 1000)


def make_model(architecture: str = "compact", frames_in: int = 5) -> TrainedModel:
    settings = Settings(
        network=NetworkSettings.model_validate(
            {"architecture": architecture, "frames_in": frames_in, "channels": 4},
        )
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        generator = build_s2c(settings.network)
        if architecture == "compact":
            # An untrained last layer is nearly constant; a lively one shows differences.
            generator.head[-1].weight.mul_(30)
        weights = {name: weight.detach() for name, weight in generator.state_dict().items()}
    return TrainedModel(settings, weights, NORMALISATION, 0.03)


def in_float32(model: TrainedModel) -> TrainedModel:
    exact = model.settings.run.model_copy(update={"mixed_precision": False})
    return replace(model, settings=model.settings.model_copy(update={"run": exact}))


def make_frames(frames: int = 8, height: int = 40, width: int = 56, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(500, 200, (frames, height, width)).astype(np.float32)


def run(movie: Movie, model: TrainedModel, *indices: int, **options: Any) -> NDArray[np.float32]:
    return denoise_frames(movie, model, indices or range(len(movie)), threads=1, **options)


class Reads:
    """A lazy movie that counts how often each frame is read."""

    def __init__(self, frames: NDArray[np.generic], chunk: int = 1) -> None:
        self.count = np.zeros(len(frames), int)
        whole = da.from_array(frames, chunks=(chunk, -1, -1))
        self.movie = Movie(whole.map_blocks(self._read, dtype=frames.dtype, meta=frames[:0, :0, :0]), 0.05, 0.1, "lazy")

    def _read(self, block: NDArray[np.generic], block_info: Any = None) -> NDArray[np.generic]:
        start, stop = block_info[0]["array-location"][0]
        self.count[start:stop] += 1
        return block


def test_lazy_movie_reads_nothing_until_asked_and_keeps_calibration() -> None:
    reads = Reads(make_frames().clip(0).astype(np.uint16))
    movie = denoise(reads.movie, make_model(), device="cpu", threads=1)
    assert movie.shape == reads.movie.shape
    assert movie.data.dtype == np.float32
    assert movie.data.chunks == ((1,) * 8, (40,), (56,))
    assert (movie.name, movie.pixel_size_nm, movie.frame_time_s) == ("lazy denoised", 0.05, 0.1)
    assert not reads.count.any()
    movie.frame(0)
    assert reads.count.tolist() == [1, 1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("chunk", [1, 3])
def test_every_frame_is_read_once(chunk: int) -> None:
    reads = Reads(make_frames(), chunk)
    lazy = denoise(reads.movie, make_model(), threads=1)
    result = lazy.data.compute(scheduler="threads", num_workers=4)
    assert reads.count.tolist() == [1] * 8
    np.testing.assert_allclose(result, run(Movie(make_frames()), make_model()), atol=1e-6)


def test_frames_are_forgotten_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_noise2atom.windows.CACHE_BYTES", 0)
    for chunk in (1, 5, 20):
        reads = Reads(make_frames(20), chunk)
        denoiser = FrameDenoiser(reads.movie, make_model(), threads=1)
        for index in range(20):
            denoiser(index)
            assert len(denoiser._windows._raw._kept) <= 10
        assert reads.count.max() == (20 if chunk == 20 else 1)


def test_eager_is_lazy() -> None:
    movie = Movie(make_frames())
    lazy = denoise(movie, make_model(), threads=1)
    np.testing.assert_array_equal(run(movie, make_model(), 3, 0, 7), lazy.frames([3, 0, 7]))
    assert run(movie, make_model()).min() >= 0
    assert run(movie, make_model()).max() <= 1
    assert denoise_frames(movie, make_model(), []).shape == (0, 40, 56)


def test_computes_what_the_network_says() -> None:
    model = make_model()
    frames = make_frames(5)
    with torch.inference_mode(), mixed_precision(torch.device("cpu")):
        expected = (model.s2c()(torch.from_numpy(NORMALISATION.apply(frames))[None])[0, 0] + 1) / 2
        expected = expected.clamp(0, 1)
    np.testing.assert_allclose(run(Movie(frames), model, 2)[0], expected.numpy(), atol=1e-5)
    assert float(expected.std()) > 0.02


def test_frames_near_an_end_see_the_nearest_frames_that_there_are() -> None:
    frames = make_frames(6)
    result = run(Movie(frames), make_model())
    for index, window in ((0, [4, 3, 0, 1, 2]), (1, [4, 0, 1, 2, 3]), (4, [2, 3, 4, 5, 1]), (5, [3, 4, 5, 2, 1])):
        np.testing.assert_allclose(result[index], run(Movie(frames[window]), make_model(), 2)[0], atol=1e-6)


def test_movie_shorter_than_the_window() -> None:
    assert run(Movie(make_frames(2)), make_model(frames_in=7)).shape == (2, 40, 56)


@pytest.mark.parametrize("broken", [np.nan, np.inf, 0.0])
def test_bad_frames_do_not_spoil_their_neighbours(broken: float) -> None:
    frames = make_frames(9)
    frames[4] = broken
    frames[5, :3, :3] = np.nan
    result = run(Movie(frames), make_model())
    assert np.isfinite(result).all()
    windows = {2: [0, 1, 2, 3, 6], 3: [1, 2, 3, 0, 6], 6: [2, 3, 6, 7, 8], 7: [3, 6, 7, 8, 2]}
    for index, window in windows.items():
        np.testing.assert_allclose(result[index], run(Movie(frames[window]), make_model(), 2)[0], atol=1e-6)


@pytest.mark.parametrize("count", [2, 3, 4, 9])
@pytest.mark.parametrize("frames_in", [3, 5, 7])
@pytest.mark.parametrize("bad", [(), (1,), (0, 2)])
def test_no_frame_is_its_own_neighbour(count: int, frames_in: int, bad: tuple[int, ...]) -> None:
    frames = np.arange(4 * count, dtype=np.float32).reshape(count, 2, 2)
    for index in bad[: count - 2]:
        frames[index] = np.nan
    good = [index for index in range(count) if np.isfinite(frames[index]).all()]
    windows = FrameWindows(Movie(frames), NetworkSettings(frames_in=frames_in), 0, 1)
    for index in good:
        seen = [int(frame[0, 0]) // 4 for frame in windows(index)]
        middle = frames_in // 2
        assert seen[middle] == index
        assert set(seen) <= set(good)
        assert index not in seen[:middle] + seen[middle + 1 :]
        for offset in range(-middle, middle + 1):
            if index + offset in good:
                assert seen[middle + offset] == index + offset
        assert len(set(seen)) == min(frames_in, len(good)), "none is seen twice while there are others"


def test_neighbours_are_aligned_where_the_model_was_trained_so() -> None:
    sample = make_frames(1, 200, 200)[0]
    frames = np.stack([sample[2 * t : 2 * t + 96, t : t + 90] for t in range(9)])
    still = make_model()
    network = still.settings.network.model_copy(update={"aligned": True})
    model = replace(still, settings=still.settings.model_copy(update={"network": network}))
    window = np.stack(shift_back(frames[2:7], np.outer(range(-2, 3), (-2.0, -1.0))))
    np.testing.assert_array_equal(run(Movie(frames), model, 4), run(Movie(window), still, 2))


def test_neighbours_are_as_bright_where_the_model_was_trained_so() -> None:
    frames = make_frames(5, 64, 64)
    jumps = np.array([3, -7, 0, 2, 12], np.float32)[:, None, None]
    settings = make_model().settings
    network = settings.network.model_copy(update={"levelled": True})
    model = replace(make_model(), settings=settings.model_copy(update={"network": network}))
    level = (frames - frames.mean(axis=(1, 2), keepdims=True)) + frames.mean()
    for shown in (frames, frames - jumps + jumps.mean()):
        np.testing.assert_allclose(run(Movie(shown), model, 2), run(Movie(level), make_model(), 2), atol=1e-4)
    assert np.abs(run(Movie(frames - jumps), make_model(), 2) - run(Movie(level), make_model(), 2)).max() > 1e-2


@pytest.mark.parametrize("empty", [0, np.nan, np.inf])
def test_empty_edges_stay_empty_and_do_not_matter(empty: float) -> None:
    """A network sees the mirror image in them, in a frame and in its neighbours."""
    frames, model = make_frames(5, 64, 64), make_model()
    mirrored = np.pad(frames[:, 4:-3, 2:], ((0, 0), (4, 3), (2, 0)), mode="reflect")
    frames[:, :4] = frames[:, -3:] = frames[:, :, :2] = empty
    denoised, expected = (run(Movie(each), model) for each in (frames, mirrored))
    np.testing.assert_array_equal(denoised[:, 4:-3, 2:], expected[:, 4:-3, 2:])
    denoised[:, 4:-3, 2:] = 0
    assert not denoised.any()


def test_a_bad_frame_sees_only_itself() -> None:
    frames = make_frames(5)
    frames[2, 0, :4] = [np.nan, np.inf, -np.inf, np.nan]
    alone = frames[[2, 2]].copy()
    alone[:, 0, :4] = np.median(frames[2][np.isfinite(frames[2])])
    np.testing.assert_allclose(run(Movie(frames), make_model(), 2), run(Movie(alone), make_model(), 0), atol=1e-6)


def test_a_frame_without_any_number_becomes_the_darkest() -> None:
    frames = make_frames(4)
    frames[1] = np.nan
    dark = np.full((2, 40, 56), NORMALISATION.low, np.float32)
    np.testing.assert_array_equal(run(Movie(frames), make_model(), 1), run(Movie(dark), make_model(), 0))


@pytest.mark.parametrize("size", [(512, 512), (331, 270)])
def test_compact_does_not_depend_on_tiles(size: tuple[int, int]) -> None:
    movie, model = Movie(make_frames(2, *size)), make_model(frames_in=3)

    def results(model: TrainedModel) -> Iterator[NDArray[np.float32]]:
        return (run(movie, model, 0, tile_px=tile) for tile in (512, 256, 128))

    whole, *tiled = results(in_float32(model))
    assert np.ptp(whole) > 0.1
    for result in tiled:
        np.testing.assert_allclose(result, whole, atol=1e-5)
    # A processor may sum bfloat16 products of another tile in another order: some pixels are rounded differently.
    whole, *tiled = results(model)
    for result in tiled:
        assert np.sqrt(np.mean((result - whole) ** 2)) < 1e-3


def test_paper_does_not_depend_on_tiles() -> None:
    movie = Movie(make_frames(2, 150, 180))
    model = make_model("paper", 1)
    small, large = (run(movie, model, 1, tile_px=tile) for tile in (96, 256))
    assert np.ptp(large) > 0.1
    np.testing.assert_allclose(small, large, atol=1e-3)


def test_paper_normalises_a_small_frame_by_itself() -> None:
    model = make_model("paper", 1)
    frames = make_frames(2, 100, 128)
    with torch.inference_mode():
        expected = (model.s2c()(torch.from_numpy(NORMALISATION.apply(frames[:1]))[None])[0, 0] + 1) / 2
        expected = expected.clamp(0, 1)
    np.testing.assert_allclose(run(Movie(frames), model, 0)[0], expected.numpy(), atol=1e-4)


def test_mixed_precision_is_near_and_keeps_grey_values() -> None:
    window = torch.from_numpy(NORMALISATION.apply(make_frames(5, 136, 48)))
    generator = make_model().s2c()
    with torch.inference_mode():
        full = translate_windows(generator, window[None])
        with torch.autocast("cpu", torch.bfloat16):
            mixed = translate_windows(generator, window[None])
    assert mixed.dtype == torch.float32
    assert len(mixed.unique()) > 1000
    assert float((mixed - full).std()) < 0.03 * float(full.std())


def test_papers_network_in_float16_is_near_and_survives_huge_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    model, frames = make_model("paper", 1), make_frames(2, 32, 32)
    frames[1, 8:11, 8] = 1e12
    exact = run(Movie(frames), in_float32(model))
    monkeypatch.setattr("napari_noise2atom.networks.device._multiplies", lambda device, kind: True)
    mixed = run(Movie(frames), model)
    assert 0 < float((mixed - exact)[0].std()) < 0.05 * float(exact[0].std())
    np.testing.assert_array_equal(mixed[1], exact[1])


def test_reference_crops_cover_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []

    def spy(generator: torch.nn.Module, crops: torch.Tensor) -> Any:
        shapes.append(tuple(crops.shape))
        return frozen_statistics(generator, crops[..., :16, :16])

    monkeypatch.setattr("napari_noise2atom.inference.frozen_statistics", spy)
    monkeypatch.setattr("napari_noise2atom.inference.translate_tiled", lambda generator, images, tile_px: images)
    with torch.inference_mode():
        for size in ((128, 128), (129, 40), (256, 300), (2048, 600)):
            translate_windows(PaperGenerator().eval(), torch.zeros(1, 1, *size))
    assert shapes == [(2, 1, 128, 40), (6, 1, 128, 128), (9, 1, 128, 128)]


@pytest.mark.parametrize("size", [(33, 47), (20, 9), (5, 130)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    assert run(Movie(make_frames(2, *size)), make_model(), 0).shape == (1, *size)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64])
def test_integer_and_float_movies(dtype: type[np.generic]) -> None:
    frames = make_frames(3).clip(0, 255).astype(dtype)
    expected = run(Movie(frames.astype(np.float32)), make_model())
    np.testing.assert_allclose(run(Movie(frames), make_model()), expected, atol=1e-6)


def test_graph_can_be_pickled_after_use() -> None:
    lazy = denoise(Movie(make_frames()), make_model(), threads=1)
    here = lazy.frame(4)
    there = pickle.loads(pickle.dumps(lazy.data))
    np.testing.assert_array_equal(there[4].compute(), here)


def test_graph_holds_one_denoiser_for_all_frames() -> None:
    keys = denoise(Movie(make_frames()), make_model(), threads=1).data.dask.keys()
    assert len([key for key in keys if str(key).endswith("-denoiser")]) == 1
    assert len(keys) == 9


def test_many_threads_may_ask_at_once() -> None:
    movie = Movie(make_frames(12, 150, 20))
    denoiser = FrameDenoiser(movie, make_model("paper", 1), threads=1)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(denoiser, [0, 1, 2, 3]))
    np.testing.assert_allclose(np.stack(together), run(movie, make_model("paper", 1), 0, 1, 2, 3), atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "size", "alone", "together"),
    [("compact", (40, 56), 1, 1), ("compact", (200, 200), 6, 1), ("paper", (40, 56), 6, 1)],
)
def test_frames_that_are_computed_at_once_share_the_threads(
    monkeypatch: pytest.MonkeyPatch, architecture: str, size: tuple[int, int], alone: int, together: int
) -> None:
    used: list[int] = []
    monkeypatch.setattr("napari_noise2atom.inference.use_threads", used.append)
    denoiser = FrameDenoiser(Movie(make_frames(5, *size)), make_model(architecture, 1), "cpu", threads=6)
    denoiser(0)
    assert used == [alone]
    all_there, build = threading.Barrier(4), denoiser._generator

    def generator() -> Generator:
        all_there.wait(timeout=10)  # raises if fewer work at once
        return build()

    def use(threads: int) -> None:
        used.append(threads)
        all_there.wait(timeout=10)

    monkeypatch.setattr(denoiser, "_generator", generator)
    monkeypatch.setattr("napari_noise2atom.inference.use_threads", use)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(denoiser, range(1, 5)))
    assert used[1:] == 4 * [together]


@pytest.mark.parametrize(("architecture", "size"), [("compact", (40, 56)), ("paper", (40, 56)), ("paper", (40, 150))])
def test_batches_are_their_frames(architecture: str, size: tuple[int, int]) -> None:
    """A GPU takes small frames in batches; here, a CPU does."""
    movie, model = Movie(make_frames(7, *size)), in_float32(make_model(architecture, 1))
    denoiser = FrameDenoiser(movie, model, "cpu", threads=1)
    denoiser._batch = 3
    batches = np.stack(list(denoiser.stream([6, 0, 1, 2, 2, 3, 5])))
    np.testing.assert_allclose(batches, run(movie, model, 6, 0, 1, 2, 2, 3, 5), atol=1e-4)


def test_a_batch_sends_each_frame_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent, overwrite = [], Normalisation.overwrite

    def spy(normalisation: Normalisation, grey: torch.Tensor) -> torch.Tensor:
        sent.append(len(grey))
        return overwrite(normalisation, grey)

    monkeypatch.setattr(Normalisation, "overwrite", spy)
    denoiser = FrameDenoiser(Movie(make_frames(12)), make_model(), "cpu", threads=1)
    denoiser._batch = 4
    list(denoiser.stream(range(2, 10)))
    assert sent == [8, 8]


def test_batches_are_as_large_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    movie, model = Movie(make_frames(7)), make_model()
    expected, done = run(movie, model), []

    def small(generator: Generator, windows: torch.Tensor, tile_px: int | None) -> torch.Tensor:
        if len(windows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        done.append(len(windows))
        return translate_windows(generator, windows, tile_px)

    monkeypatch.setattr("napari_noise2atom.inference.translate_windows", small)
    denoiser = FrameDenoiser(movie, model, "cpu", threads=1)
    denoiser._batch = 7
    np.testing.assert_allclose(np.stack(list(denoiser.stream(range(7)))), expected, atol=1e-4)
    assert done == [1, 2, 2, 2]


def test_tiles_are_as_large_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    movie, model = Movie(make_frames(2, 300, 80)), make_model()
    expected, tiles = run(movie, model), []

    def small(generator: Generator, windows: torch.Tensor, tile_px: int | None) -> torch.Tensor:
        tiles.append(tile_px)
        if tile_px is None or tile_px > 140:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return translate_windows(generator, windows, tile_px)

    monkeypatch.setattr("napari_noise2atom.inference.translate_windows", small)
    np.testing.assert_allclose(run(movie, model), expected, atol=1e-2)
    assert tiles == [None, 150, 75, 75]


def test_large_frames_cost_little_more_than_their_pixels() -> None:
    generator = make_model("paper", 1).s2c().to("meta")
    frame = torch.empty(1, 1, 1024, 1024, device="meta")
    with mock.patch("torch.autocast", return_value=nullcontext()), torch.inference_mode():
        with FlopCounterMode(display=False) as tiled:
            translate_windows(generator, frame)
        with FlopCounterMode(display=False) as whole:
            generator(frame)
    assert tiled.get_total_flops() < 1.2 * whole.get_total_flops()


class Operations(TorchDispatchMode):
    """Counts what a GPU would have to launch."""

    number = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        self.number += not operation.is_view and operation.namespace == "aten"
        return result


def test_large_frames_take_two_passes_and_few_operations_more() -> None:
    generator = make_model("paper", 1).s2c().to("meta", memory_format=torch.channels_last)
    numbers = []
    for side in (128, 1024):
        window = torch.empty(1, 1, side, side, device="meta")
        with mock.patch("torch.autocast", return_value=nullcontext()), torch.inference_mode(), Operations() as counted:
            translate_windows(generator, window)
        numbers.append(counted.number)
    assert numbers[1] < 2 * numbers[0]


@pytest.mark.parametrize("architecture", ["compact", "paper"])
@pytest.mark.parametrize("side", [40, 150])
def test_frames_stay_on_their_device(architecture: str, side: int) -> None:
    """Tensors on `meta` have no values: who mixes devices, or waits for a value to know a shape, fails there."""
    generator = make_model(architecture, 1).s2c().to("meta")
    with mock.patch("torch.autocast", return_value=nullcontext()), torch.inference_mode():
        denoised = translate_windows(generator, torch.zeros(2, 1, side, side, device="meta"), 64)
    assert (denoised.shape, denoised.device.type) == ((2, side, side), "meta")


def test_a_stream_shares_the_threads_from_its_first_frame_on(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr("napari_noise2atom.inference.use_threads", used.append)
    denoiser = FrameDenoiser(Movie(make_frames(4, 200, 200)), make_model(), "cpu", threads=2)
    list(denoiser.stream([0]))
    assert used == [2]
    list(denoiser.stream(range(3)))
    assert used[1:] == [1, 1, 1]
    denoiser(3)
    assert used[4:] == [2]


def test_large_frames_are_denoised_one_by_one() -> None:
    large, small = (Movie(da.zeros((2, side, side), chunks=(1, side, side))) for side in (1200, 64))
    assert FrameDenoiser(large, make_model(), "cpu", threads=8).at_once == 1
    assert FrameDenoiser(small, make_model(), "cpu", threads=8).at_once == 4
    assert FrameDenoiser(small, make_model(), "cpu", threads=2).at_once == 2


def test_a_gpu_computes_small_frames_while_others_are_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_noise2atom.inference.resolve_device", torch.device)
    small, large = (Movie(da.zeros((2, side, side), chunks=(1, side, side))) for side in (128, 2048))
    denoiser = FrameDenoiser(small, make_model(), "cuda")
    assert (denoiser.at_once, denoiser._batch) == (2, 128)
    denoiser = FrameDenoiser(large, make_model(), "cuda")
    assert (denoiser.at_once, denoiser._batch) == (1, 1), "memory is bounded"


def test_callers_threads_stay() -> None:
    torch.set_num_threads(1)
    denoise_frames(Movie(make_frames()), make_model(), [0], threads=2)
    assert torch.get_num_threads() == 1


def test_wrong_requests_are_named() -> None:
    movie, model = Movie(make_frames()), make_model()
    with pytest.raises(ValueError, match="frames 0 to 7"):
        denoise_frames(movie, model, [8])
    with pytest.raises(ValueError, match="frames 0 to 7"):
        denoise_frames(movie, model, [-1])
    with pytest.raises(ValueError, match="at least 64 px"):
        denoise(movie, model, tile_px=16)
    with pytest.raises(ValueError, match="got -1 threads"):
        denoise(movie, model, threads=-1)
    with pytest.raises(ValueError, match="device 'tpu' is unknown"):
        denoise(movie, model, device="tpu")


def test_exhausted_gpu_memory_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("napari_noise2atom.inference.translate_windows", fail)
    with pytest.raises(MemoryError, match="even for tiles of 64 px; choose the device cpu"):
        run(Movie(make_frames()), make_model(), 0)


MEMORY_PROGRAM = """
import sys
from pathlib import Path
import dask.array as da
import numpy as np
from test_inference import make_model
from napari_noise2atom.inference import denoise
from napari_noise2atom.movie import Movie

def peak_mb():  # what getrusage says may be the parent's
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))

frames = da.random.default_rng(0).integers(100, 1000, (40, 1024, 1024), dtype="uint16", chunks=(1, 1024, 1024))
lazy = denoise(Movie(frames), make_model(), threads=1)
lazy.frame(0)
before = peak_mb()
target = np.lib.format.open_memmap(sys.argv[1], "w+", "float32", lazy.shape)
for index, block in enumerate(lazy.data.blocks):
    target[index] = block.compute()[0]
    if index % 10 == 0:
        target.flush()
print(before, peak_mb())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_memory_is_bounded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_PROGRAM, str(tmp_path / "out.npy")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, after = map(float, done.stdout.split())
    # The result alone has 160 MB, all mapped pages of which count; the cache of raw frames has at most 256 MB.
    assert after - before < 500
    assert after < 2500  # of which torch itself takes a good part


def test_works_within_other_schedulers() -> None:
    lazy = denoise(Movie(da.from_array(make_frames(), chunks=(1, -1, -1))), make_model(), threads=1)
    with dask.config.set(scheduler="synchronous"):
        alone = lazy.data.compute()
    with dask.config.set(scheduler="threads", num_workers=2):
        np.testing.assert_array_equal(lazy.data.compute(), alone)

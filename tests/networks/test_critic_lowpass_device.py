import numpy as np
import pytest
import scipy.ndimage
import torch

from napari_noise2atom.networks import Critic, LowPass, build_critic, mixed_precision, resolve_device, use_threads
from napari_noise2atom.networks.device import _multiplies
from napari_noise2atom.settings import NetworkSettings


@pytest.mark.parametrize("size", [32, 64, 128])
def test_critic_scores_each_image(size: int) -> None:
    critic = Critic(size, (4, 4, 8, 8)).eval()
    images = torch.randn(3, 1, size, size)
    scores = critic(images)
    assert scores.shape == (3,)
    torch.testing.assert_close(critic(images[1:2]), scores[1:2])


def test_critic_drops_a_quarter_as_the_noise_says() -> None:
    critic = Critic(32, (4, 4, 8, 8))
    values = torch.ones(8, 4, 50, 50)
    dropped = critic._drop(values, torch.Generator().manual_seed(0))
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.01)
    assert dropped.mean() == pytest.approx(1, abs=0.02)
    images = torch.randn(2, 1, 32, 32)
    first, again, other = (critic(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_critic_refuses_other_sizes() -> None:
    with pytest.raises(ValueError, match="at least 32 px"):
        Critic(16)
    with pytest.raises(ValueError, match=r"expected \(n, 1, 32, 32\)"):
        Critic(32, (4, 4, 8, 8))(torch.zeros(1, 1, 64, 64))


def test_critic_belongs_to_its_architecture() -> None:
    paper = build_critic(NetworkSettings(architecture="paper", frames_in=1), 128)
    assert paper.output.in_features == 128 * 8 * 8
    assert build_critic(NetworkSettings(), 64).output.in_features == 32 * 4 * 4


def test_low_pass_is_a_gaussian_of_variance_15() -> None:
    image = np.random.default_rng(0).normal(size=(48, 60))
    ours = LowPass()(torch.from_numpy(image).float()[None, None])[0, 0].numpy()
    theirs = scipy.ndimage.gaussian_filter(image, np.sqrt(15), radius=16)[16:-16, 16:-16]
    assert ours.shape == (16, 28)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_low_pass_needs_its_kernel() -> None:
    with pytest.raises(ValueError, match="at least 33 px"):
        LowPass()(torch.zeros(1, 1, 32, 64))


def test_low_pass_has_nothing_to_save() -> None:
    assert not LowPass().state_dict()


def test_devices_by_name() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in {"cpu", "cuda", "mps"}
    for name in ("tpu", "cpu:1", "cuda:x", "mps:0"):
        with pytest.raises(ValueError, match="unknown"):
            resolve_device(name)


def test_absent_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="choose auto or cpu"):
        resolve_device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ValueError, match="the last CUDA GPU is cuda:1"):
        resolve_device("cuda:2")


def test_threads_leave_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", wanted.append)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert (use_threads(0), use_threads(3)) == (7, 3)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert use_threads(0) == 1
    assert wanted == [7, 3, 1]


@pytest.mark.parametrize(
    ("device", "capabilities", "expected"),
    [
        ("cpu", {"avx512_bf16": True}, True),
        ("cpu", {"amx_bf16": True, "avx512_bf16": False}, True),
        ("cpu", {"avx2": True, "avx512_bf16": False}, False),
        ("mps", {"avx512_bf16": True}, False),
    ],
)
def test_bfloat16_only_where_it_is_fast(
    monkeypatch: pytest.MonkeyPatch, device: str, capabilities: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert mixed_precision(torch.device(device))._enabled == expected
    assert not mixed_precision(torch.device(device), wanted=False)._enabled
    assert not mixed_precision(torch.device(device), fine=True)._enabled


@pytest.mark.parametrize(
    ("capability", "coarse", "fine"), [((6, 1), False, False), ((7, 5), False, True), ((9, 0), True, True)]
)
def test_16_bits_on_gpus_that_multiply_them(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], coarse: bool, fine: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert _multiplies(torch.device("cuda"), torch.bfloat16) == coarse
    assert _multiplies(torch.device("cuda"), torch.float16) == fine


def test_the_critics_scores_are_not_rounded() -> None:
    critic = Critic(32, (8, 8, 8, 8)).eval()
    with torch.no_grad():
        critic.output.bias += 100  # where neighbours in bfloat16 are half a unit apart
        with torch.autocast("cpu", torch.bfloat16):
            scores = critic(torch.randn(8, 1, 32, 32))
    assert scores.dtype == torch.float32
    assert len(scores.unique()) == 8


def test_low_pass_sums_in_full_precision() -> None:
    images = 0.02 * torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)) + 0.5
    with torch.autocast("cpu", torch.bfloat16):
        found = LowPass()(images)
    torch.testing.assert_close(found, LowPass()(images))

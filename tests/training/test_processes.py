import pytest
import torch

from napari_noise2atom.training import processes as module
from napari_noise2atom.training.parts import Part, Team
from napari_noise2atom.training.processes import Processes

CPU = torch.device("cpu")


def parts_of(count: int, images: int) -> list[Part]:
    teams = [Team(CPU, 1, Processes(rank, count, rank, count)) for rank in range(count)]
    return [part for team in teams for part in team.split(images, 0, 1)]


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("images", [1, 4])
def test_processes_make_up_the_batch(count: int, images: int) -> None:
    parts = parts_of(count, images)
    assert sorted(row for part in parts for row in range(count * images)[part.rows]) == list(range(count * images))
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert [part.number for part in parts] == [0] * count
    assert len({part.rng.random() for part in parts}) == count


def test_two_processes_draw_what_one_does_with_twice_the_batch() -> None:
    alone, together = Team(CPU, 1).split(6, 0, 1), parts_of(2, 3)
    assert [part.rows for part in alone] == [part.rows for part in together]
    assert [part.rng.random() for part in alone] == [part.rng.random() for part in together]


def test_processes_of_a_computer_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert Team(CPU, 0, Processes(1, 8, 1, 4)).threads_per_part == 2
    assert Team(CPU, 3, Processes(1, 8, 1, 4)).threads_per_part == 3


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    used: list[torch.device] = []
    monkeypatch.setattr(module, "resolve_device", lambda name: torch.device("cuda" if name == "auto" else name))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    return used


def test_each_process_of_a_computer_has_a_gpu_of_its_own(two_gpus: list[torch.device]) -> None:
    assert Processes(3, 4, 1, 2).device("auto") == torch.device("cuda", 1)
    assert two_gpus == [torch.device("cuda", 1)]
    assert Processes().device("cuda:1") == torch.device("cuda", 1)
    assert Processes(3, 4, 1, 2).device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda:0", "mps"])
def test_a_device_that_processes_cannot_share_is_refused(two_gpus: list[torch.device], name: str) -> None:
    with pytest.raises(ValueError, match=f"cannot share {name}; choose cuda without a number, or cpu"):
        Processes(0, 2, 0, 2).device(name)


def test_more_processes_than_gpus_are_refused(two_gpus: list[torch.device]) -> None:
    with pytest.raises(ValueError, match="got 3 processes on a computer with 2 GPUs; start one for each"):
        Processes(0, 3, 0, 3).device("cuda")

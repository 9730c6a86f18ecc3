import csv
from pathlib import Path

import pytest

from napari_noise2atom.events import Score, Step
from napari_noise2atom.training.runfolder import Progress, RunFolder


def test_the_history_of_a_long_run_stays_short_and_keeps_all_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_noise2atom.training.runfolder.KEPT_ROWS", 100)
    folder = RunFolder(tmp_path)
    for step in range(1, 1001):
        folder.log(Step("cycle", step, 1000, {"critic": 1.0}, step, 0), "cycle", step)
        if step % 100 == 0:
            folder.log(Score(step, {"css": 0.5}, best=False), "cycle", step)
    folder.save({}, None, Progress(movie=[], step=1000))
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    assert len(rows) <= 100
    assert steps == sorted(steps)
    assert [int(row["step"]) for row in rows if row["score_css"]] == list(range(100, 1001, 100))
    assert max(steps[i + 1] - steps[i] for i in range(len(steps) - 1)) < 100

"""Write settings.md from the settings themselves: ``python docs/generate_settings.py``."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel

from napari_noise2atom.cli.overrides import SettingRow, setting_rows
from napari_noise2atom.settings import PRESETS, CompareSettings, MovieSettings, Settings

__all__ = ["TARGET", "render"]

TARGET = Path(__file__).with_name("settings.md")
INTRODUCTION = """\
# Settings

<!-- Written by docs/generate_settings.py from src/napari_noise2atom/settings.py; do not edit by hand. -->

Every setting of a training run, in groups, with its value in each preset. A value in **bold** differs from the preset
`default`. The text is the same as in the help of the command line. Units: `px` is a pixel of the movie, `e` a detected
electron, `counts` are the movie's own grey values.

Change a setting on the command line with `--set`, as often as you like, or keep changes in a file:

```console
$ noise2atom train movie.tif -o run --set training.epochs=50 --set scene.atom_peak_e=0.8
$ noise2atom train movie.tif -o run --settings my_settings.json
```

A settings file is JSON and may be partial, such as `{"training": {"epochs": 50}}`. The `settings.json` in a run
folder is complete and reproduces the run.

Most settings of the groups `simulation`, `scene` and `detector` are measured on the movie before a training, and take
the place of the values below; [What the movie tells](estimates.md) says which. The preset `paper` keeps its
`simulation`. What you set yourself always wins.
"""
MOVIE = """
## Simulated movies

Settings of `noise2atom simulate`. Here, groups stand below the movie: `--set scene.walk_px=1`. The fields of `scene`
and `detector` are those above; their defaults are the same.
"""
COMPARISON = """
## Comparisons

Settings of `noise2atom compare`, which are options of that command, and of the Python function
`napari_noise2atom.comparison.compare`.
"""


def render() -> str:
    """Return the whole page."""
    presets = {name: list(setting_rows(settings)) for name, settings in PRESETS.items()}
    parts = [INTRODUCTION]
    own = [rows for rows in zip(*presets.values(), strict=True) if "." not in rows[0].name]
    parts.append("\n" + _table(own, tuple(PRESETS)))
    for name in Settings.model_fields:
        group = getattr(Settings(), name)
        if isinstance(group, BaseModel):
            rows = [r for r in zip(*presets.values(), strict=True) if r[0].name.startswith(f"{name}.")]
            parts.append(f"\n## `{name}`\n\n{_summary(group)}\n\n{_table(rows, tuple(PRESETS))}")
    movie = [(row,) for row in setting_rows(MovieSettings()) if "." not in row.name]
    parts.append(f"{MOVIE}\n{_table(movie, ('default',))}")
    comparison = [(row,) for row in setting_rows(CompareSettings())]
    parts.append(f"{COMPARISON}\n{_table(comparison, ('default',))}")
    return "".join(parts)


def _summary(group: BaseModel) -> str:
    return " ".join((type(group).__doc__ or "").split()).replace("``", "`")


def _table(rows: Iterable[tuple[SettingRow, ...]], presets: tuple[str, ...]) -> str:
    """Return a table with one row a setting and one column a preset."""
    lines = [_line(["setting", *presets, "allowed", "meaning"]), _line(["---"] * (3 + len(presets)))]
    for row in rows:
        usual = row[0].default
        values = [value.default if value.default == usual else f"**{value.default}**" for value in row]
        lines.append(_line([f"`{row[0].name}`", *values, row[0].allowed, row[0].text]))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
    print(f"Written: {TARGET}")

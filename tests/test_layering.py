"""The layers of the design: imports point downwards only, and heavy libraries stay where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_noise2atom

PACKAGE = "napari_noise2atom"
ROOT = Path(napari_noise2atom.__file__).parent
LAYERS = {
    "settings": 0,
    "movie": 0,
    "events": 0,
    "streaming": 0,
    "simulate": 1,
    "metrics": 1,
    "estimate": 1,
    "io": 1,
    "alignment": 0,
    "edges": 0,
    "spikes": 0,
    "windows": 1,
    "networks": 2,
    "modelfile": 2,
    "normalisation": 2,
    "training": 3,
    "inference": 3,
    "browsing": 3,
    "baselines": 3,
    "comparison": 3,
    "comparisonfolder": 3,
    "trust": 3,
    "cli": 4,
    "contributions": 4,
    "layerdata": 4,
    "figure": 4,
    "widgets": 5,
}
MAY_IMPORT = {
    "torch": {"networks", "normalisation", "modelfile", "training", "inference", "baselines"},
    "safetensors": {"modelfile"},
    "typer": {"cli"},
    "rich": {"cli"},
    "qtpy": {"widgets"},
    "superqt": {"widgets"},
    "pyqtgraph": {"widgets"},
    "magicgui": {"widgets"},
    "napari": {"widgets"},
    "matplotlib": {"figure"},
    "distributed": {"io"},
    "bm3d": {"baselines"},
}
"""Which parts may import a library, be it at the top of a file or in a function."""

WINDOW = {"qtpy", "PyQt6", "PySide6", "superqt", "pyqtgraph", "magicgui"}

MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def part_of(module):
    """The part that a dotted name such as napari_noise2atom.io.tiff belongs to."""
    return module.split(".")[1]


def module_name(path):
    words = [PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def running(node):
    """All nodes but those that only type checkers see."""
    if not is_type_checking(node):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from running(child)


def imported(path):
    """Absolute names of all that a file imports, wherever in the file."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    names = set()
    for node in running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            # from napari_noise2atom import x names a part, from any other place x is some object.
            names |= {f"{source}.{alias.name}" for alias in node.names} if source == PACKAGE else {source}
    return names


def loaded_by(statement):
    """Top-level names of the modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_every_module_has_a_layer_and_imports_point_downwards(path):
    part = part_of(module_name(path))
    assert part in LAYERS, f"{part} has no layer; give it one here and in the design"
    for name in imported(path):
        if name.startswith(f"{PACKAGE}.") and (other := part_of(name)) != part:
            assert other in LAYERS, f"{name} is no part of the package"
            # The parts of layer 1 know nothing of one another; elsewhere neighbours may.
            allowed = LAYERS[other] < LAYERS[part] or (LAYERS[other] == LAYERS[part] != 1)
            assert allowed, f"{path} imports {name}, which is not below it"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_libraries_stay_where_they_belong(path):
    part = part_of(module_name(path))
    for name in imported(path):
        library = name.split(".")[0]
        assert part in MAY_IMPORT.get(library, {part}), f"{path} imports {library}"


def test_type_checking_is_no_way_around_the_layers():
    """Only the layers above may name types of below there; they are never run."""
    for path in MODULES:
        part = part_of(module_name(path))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for block in filter(is_type_checking, ast.walk(tree)):
            for node in ast.walk(block):
                if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{PACKAGE}."):
                    assert LAYERS[part_of(node.module)] <= LAYERS[part], f"{path} names {node.module}"


def test_the_package_loads_nothing_heavy():
    heavy = {"torch", "numpy", "scipy", "dask", "pydantic", "napari", "typer", "matplotlib"} | WINDOW
    assert not loaded_by(f"import {PACKAGE}") & heavy


@pytest.mark.parametrize("part", ["cli", "contributions"])
def test_what_needs_no_window_loads_none(part):
    assert not loaded_by(f"import {PACKAGE}.{part}") & {"torch", "napari", *WINDOW}


def test_the_command_line_starts_light():
    heavy = {"torch", "numpy", "scipy", "dask", "zarr", "tifffile", "matplotlib"}
    assert not loaded_by(f"import {PACKAGE}.cli") & heavy


def test_the_dock_opens_without_torch():
    """It takes a second to import: late, in a thread, or when a training begins."""
    assert "torch" not in loaded_by(f"import {PACKAGE}.widgets.dock, {PACKAGE}.widgets.commands")


@pytest.mark.parametrize("library", ["napari", "qtpy", "pyqtgraph", "magicgui"])
def test_libraries_of_windows_are_for_widgets_only(library):
    users = {part_of(module_name(path)) for path in MODULES if library in {n.split(".")[0] for n in imported(path)}}
    assert users == {"widgets"}


@pytest.mark.parametrize("part", [part for part, layer in LAYERS.items() if layer < 2])
def test_lower_layers_load_no_torch(part):
    assert "torch" not in loaded_by(f"import {PACKAGE}.{part}")


def test_a_relative_import_is_resolved(tmp_path, monkeypatch):
    """The reader of imports itself: levels, packages, functions, type checking."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "io").mkdir()
    file = tmp_path / "io" / "tiff.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nfrom .units import a\nfrom ..movie import Movie\nfrom .. import settings\n"
        "if TYPE_CHECKING:\n    import torch\ndef f():\n    import numpy.linalg\n"
    )
    assert imported(file) == {
        "typing",
        f"{PACKAGE}.io.units",
        f"{PACKAGE}.movie",
        f"{PACKAGE}.settings",
        "numpy.linalg",
    }

"""The documentation says what is there: links, settings, commands, functions, Python code."""

import ast
import importlib
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

import napari_noise2atom
from napari_noise2atom.cli import app
from napari_noise2atom.cli.overrides import assigned, override, setting_rows
from napari_noise2atom.settings import PRESETS, CompareSettings, MovieSettings, Settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SOURCE = Path(napari_noise2atom.__file__).parent
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

FENCE = re.compile(r"^(<!-- run -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(page: Path, language: str) -> Iterator[tuple[str, bool]]:
    """Yield the code blocks of a language, and whether they are marked to be run."""
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        if match[2] == language:
            yield match[3], bool(match[1])


def prose(page: Path) -> str:
    """Return a page without its code blocks, on one line, since links and code may be broken."""
    return " ".join(FENCE.sub("", page.read_text(encoding="utf-8")).split())


def snippets(page: Path) -> list[str]:
    """Return the words in backquotes."""
    return CODE.findall(prose(page))


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield page and words of every command in the pages' terminals."""
    for page in PAGES:
        for text, _ in blocks(page, "console"):
            for line in text.splitlines():
                if line.startswith("$ noise2atom"):
                    yield page.name, shlex.split(line)[2:]


def options() -> dict[str, set[str]]:
    """Return the options of each command of the program."""
    group = typer.main.get_command(app)
    return {
        name: {flag for parameter in command.params for flag in parameter.opts if flag.startswith("-")}
        for name, command in group.commands.items()
    }


@cache
def setting_names() -> set[str]:
    return {row.name for model in (Settings(), MovieSettings(), CompareSettings()) for row in setting_rows(model)}


def generator():
    spec = importlib.util.spec_from_file_location("generate_settings", DOCS / "generate_settings.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@each_page
def test_links_lead_somewhere(page):
    for target in LINK.findall(prose(page)):
        if "://" in target:
            assert target.startswith("https://")
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_file(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target} has no such heading"


def test_all_pages_are_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"[\w-]+\.md", navigation)) == {page.name for page in DOCS.glob("*.md")}


def test_page_of_settings_is_up_to_date():
    module = generator()
    written = module.TARGET.read_text(encoding="utf-8")
    assert written == module.render(), "settings have changed: run python docs/generate_settings.py"


def test_page_of_settings_lists_all_of_them():
    assert setting_names() <= set(snippets(DOCS / "settings.md"))


@each_page
def test_settings_in_the_text_exist(page):
    groups = {name.partition(".")[0] for name in setting_names() if "." in name}
    for word in snippets(page):
        group, dot, field = word.partition(".")
        if dot and group in groups and re.fullmatch(r"[a-z_0-9]+", field) and field != "json":
            assert word in setting_names()


@pytest.mark.parametrize(("page", "words"), [pytest.param(*c, id=shlex.join(c[1])) for c in commands()])
def test_commands_in_the_text_exist(page, words):
    command, *rest = words
    assert command in options()
    used = {word for word in rest if re.match(r"--?[a-z]", word)}
    assert used <= options()[command] | {"--help"}, page
    changes = [rest[i + 1] for i, word in enumerate(rest) if word == "--set"]
    override(MovieSettings() if command == "simulate" else Settings(), assigned(changes), alone=True)
    presets = {rest[i + 1] for i, word in enumerate(rest) if word == "--preset"}
    assert presets <= set(PRESETS)


@each_page
def test_options_in_the_text_exist(page):
    known = set().union(*options().values()) | {"--help"}
    for word in snippets(page):
        if word.startswith("noise2atom "):
            command, *rest = shlex.split(word)[1:]
            assert command in {*options(), "COMMAND"}
            flags = {flag for flag in rest if flag.startswith("-")}
            assert flags <= options().get(command, set()) | {"--help"}
        elif word.startswith("-"):
            assert word.split()[0] in known, f"{page.name}: {word}"


@pytest.mark.parametrize("command", options())
def test_page_of_commands_lists_all_options(command):
    _, *sections = re.split(r"^## `([\w-]+)`$", (DOCS / "cli.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = dict(zip(sections[::2], sections[1::2], strict=True))[command]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    assert {word for row in rows for word in CODE.findall(row) if word.startswith("-")} == options()[command]


def test_functions_in_the_text_exist():
    text = prose(DOCS / "method.md")
    named = [
        (name, file)
        for names, file in re.findall(r"((?:`\w+`(?:, | and )?)+) in `([\w/]+\.py)`", text)
        for name in CODE.findall(names)
    ]
    assert len(named) > 30
    for name, file in named:
        code = (SOURCE / file).read_text(encoding="utf-8")
        assert re.search(rf"^\s*(def|class) {name}\b", code, re.MULTILINE), f"{name} is not in {file}"


def python_blocks() -> list[object]:
    return [
        pytest.param(code, run, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (code, run) in enumerate(blocks(page, "python"))
    ]


@pytest.mark.parametrize(("code", "run"), python_blocks())
def test_python_code_is_right(code, run, tmp_path, monkeypatch):
    """What is cheap is run; of the rest, names that are imported exist."""
    tree = ast.parse(code)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, alias.name) for alias in node.names)
    if run:
        monkeypatch.chdir(tmp_path)
        exec(compile(tree, "documentation", "exec"), {"__name__": "documentation"})


def test_python_objects_of_the_reference_exist():
    for path in re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE):
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path


def test_citation_agrees_with_package_and_readme():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"version: {project['version']}\n" in citation
    assert f"license: {project['license']}\n" in citation
    assert project["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    doi = re.search(r"doi: (\S+)", citation)
    assert doi
    for page in (ROOT / "README.md", DOCS / "method.md"):
        assert doi[1] in page.read_text(encoding="utf-8")


def test_minutes_of_the_demo_are_those_of_the_makefile():
    minutes = re.search(r"^DEMO_MINUTES \?= (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert minutes
    for page in (ROOT / "README.md", DOCS / "tutorial.md"):
        assert f"for {minutes[1]} minutes" in prose(page)


def test_the_scores_in_the_readme_are_those_of_the_page_on_quality():
    row = re.compile(r"^\| \[[^]]*\]\(docs/quality\.md(#\S+)\)[^|]*(\|.*)$", re.MULTILINE)
    told = row.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    measured = (DOCS / "quality.md").read_text(encoding="utf-8")
    assert len(told) >= 10
    for movie, scores in told:
        assert f"]({movie}) {scores}\n" in measured

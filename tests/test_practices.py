"""The ledger of practices holds for the code, here and in a project of each task."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from conftest import ROOT, Render
from extensions.features import TASKS, blocks_of, left_out, with_needs
from migrations import changelog
from releases import answers_of
from tools.practices import PAGE, page, practices

LEDGER = practices()
NUMBERS = [f"P{number:02}" for number in range(1, 42)]
# each task, in turns with one process and with several
KINDS = [(task, ("none", "ddp")[index % 2]) for index, task in enumerate(TASKS)]
# who has what not every project has, stated without the ledger
NEED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "P06": lambda answers: answers["task"] == "image_to_image" or "perceptual" in answers["blocks"],
    "P22": lambda answers: answers["task"] == "language_modeling",
    "P24": lambda answers: answers["parallel"] == "ddp",
    "P32": lambda answers: answers["task"] == "text_classification",
    "P39": lambda answers: answers["notebook"],
}
ASKED_FOR: dict[str, Any] = {
    "parallel": "ddp",
    "logger": ["tensorboard", "wandb", "mlflow"],
    "blocks": ["perceptual", "total_variation", "one_hot"],
    "notebook": True,
}
PROJECT = ROOT / "template" / "project"


def applies(practice: Mapping[str, Any], answers: Mapping[str, Any]) -> bool:
    """Return whether a project with these answers has what the practice is about."""
    blocks = blocks_of(answers["task"]) | with_needs(answers["blocks"])
    for need in practice.get("needs", ()):
        name, _, value = need.partition("=")
        if value in blocks if name == "blocks" else value == str(answers[name]).lower():
            return True
    return "needs" not in practice


def place(project: Path, name: str) -> Path:
    """Return where a project has a path of the ledger."""
    answers = answers_of(project)
    if (PROJECT / name).exists() or (PROJECT / f"{name}.jinja").exists():
        return project / name
    name = f"{answers['model_name']}.py" if name == "model.py" else name
    return project / answers["package"] / name


def missing(project: Path, practice: Mapping[str, Any]) -> list[str]:
    """Return what a project lacks of a practice that it has."""
    answers = answers_of(project)
    apart = left_out(answers)
    files = [
        name for name in practice.get("files", ()) if f"/{answers['package']}/{name}" not in apart
    ]
    lacks = [
        name for name in [*files, *practice.get("code", {})] if not place(project, name).exists()
    ]
    for name, pieces in practice.get("code", {}).items():
        if pieces and name not in lacks:
            text = place(project, name).read_text(encoding="utf-8")
            lacks += [f"{name}: {piece}" for piece in pieces if piece not in text]
    return lacks


def test_numbers_are_complete() -> None:
    assert [*LEDGER] == NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_practice_says_what_it_is_and_what_shows_it(number: str) -> None:
    practice = LEDGER[number]
    known = {"name", "since", "why", "worth", "by", "files", "code"}
    assert practice.keys() <= known | {"needs", "tests", "ours"}
    assert practice["name"] and practice["why"].endswith(".")
    assert practice.get("files") or practice.get("code")
    assert practice.get("tests") or practice.get("ours")
    assert ("needs" in practice) == (number in NEED)
    assert ("worth" in practice) == ("by" in practice)
    for path in (*practice.get("ours", ()), *practice.get("by", ())):
        assert (ROOT / path).is_file(), path


def test_practices_are_as_old_as_a_release_or_come_with_the_next() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = changelog.releases(text).keys() - {changelog.UNRELEASED}
    since = {practice["since"] for practice in LEDGER.values()}
    newest = max(map(Version, released))
    assert all(Version(version) > newest for version in since - released)


def test_what_the_benchmark_measures_is_in_the_ledger() -> None:
    benchmark = "benchmarks/practices.py"
    measured = re.findall(r'"(P\d\d)": p\d\d', (ROOT / benchmark).read_text(encoding="utf-8"))
    assert measured == [number for number in NUMBERS if benchmark in LEDGER[number].get("by", ())]


def test_page_is_that_of_the_ledger() -> None:
    stale = "docs/practices.md is not that of the ledger: python tools/practices.py writes it"
    assert PAGE.read_text(encoding="utf-8") == page(), stale


def test_changelog_names_practices_that_there_are() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert {*re.findall(r"\bP\d+\b", text)} <= {*NUMBERS}


@pytest.mark.parametrize(("task", "parallel"), KINDS)
def test_each_practice_is_in_a_project_that_its_answers_bring_it_to(
    render: Render, task: str, parallel: str
) -> None:
    project = render(task=task, parallel=parallel)
    answers = answers_of(project)
    for number, practice in LEDGER.items():
        assert applies(practice, answers) == NEED.get(number, lambda _: True)(answers), number
        if applies(practice, answers):
            assert missing(project, practice) == [], number


def test_what_is_asked_for_brings_its_practices(render: Render) -> None:
    project = render(task="text_classification", **ASKED_FOR)
    answers = answers_of(project)
    assert [name for name, row in LEDGER.items() if not applies(row, answers)] == ["P22"]
    lacks = {name: missing(project, row) for name, row in LEDGER.items() if name != "P22"}
    assert not any(lacks.values()), lacks


def test_each_test_of_a_practice_is_in_a_project_that_has_it(render: Render) -> None:
    projects = [render(task=task, parallel=parallel) for task, parallel in KINDS]
    left = {number: {*practice.get("tests", ())} for number, practice in LEDGER.items()}
    for project in (*projects, render(task="text_classification", **ASKED_FOR)):
        answers = answers_of(project)
        files = {path.relative_to(project).as_posix() for path in project.glob("tests/**/*.py")}
        for number, practice in LEDGER.items():
            left[number] -= files if applies(practice, answers) else set()
    assert {number: tests for number, tests in left.items() if tests} == {}

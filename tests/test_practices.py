"""The ledger of practices holds for the code, here and in a project of each task."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Render
from extensions.features import TASKS, left_out
from extensions.practices import applies, expected, practices
from practices import PAGE, page
from releases import RELEASES, answers_of

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
RENDERED = {"package": "rendered", "logger": ["csv"]}
States = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="module")
def states(render: Render) -> States:
    """Return a function from a project to the state of each practice, as its doctor finds it."""
    project = render(**RENDERED)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(project))
        patch.setattr(sys, "dont_write_bytecode", True)
        find = importlib.import_module("rendered.engine.practices").states

    def states(project: Path) -> dict[str, str]:
        [ledger] = project.glob("*/practices.toml")
        return {number: state for number, _, state, _ in find(ledger)}

    return states


def context_of(project: Path) -> dict[str, Any]:
    answers = answers_of(project)
    return answers | {"left_out": left_out(answers)}


def changed(found: dict[str, str]) -> set[str]:
    return {number for number, state in found.items() if state == "changed by you"}


def test_numbers_are_complete() -> None:
    assert [*LEDGER] == NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_practice_says_what_it_is_and_what_shows_it(number: str) -> None:
    practice = LEDGER[number]
    known = {"name", "since", "why", "worth", "by", "files", "code"}
    assert practice.keys() <= known | {"needs", "otherwise", "tests", "ours"}
    assert practice["name"] and practice["why"].endswith(".")
    assert practice.get("files") or practice.get("code")
    assert practice.get("tests") or practice.get("ours")
    assert ("needs" in practice) == ("otherwise" in practice) == (number in NEED)
    assert ("worth" in practice) == ("by" in practice)
    for path in (*practice.get("ours", ()), *practice.get("by", ())):
        assert (ROOT / path).is_file(), path


def test_practices_are_as_old_as_a_release_or_come_with_the_next() -> None:
    def parts(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    newest = max(map(parts, RELEASES))
    since = {practice["since"] for practice in LEDGER.values()}
    assert all(parts(version) > newest for version in since - RELEASES.keys())


def test_what_the_benchmark_measures_is_in_the_ledger() -> None:
    benchmark = "benchmarks/practices.py"
    measured = re.findall(r'"(P\d\d)": p\d\d', (ROOT / benchmark).read_text(encoding="utf-8"))
    assert measured == [number for number in NUMBERS if benchmark in LEDGER[number].get("by", ())]


def test_page_is_that_of_the_ledger() -> None:
    stale = "docs/practices.md is not that of practices.toml: python practices.py writes it"
    assert PAGE.read_text(encoding="utf-8") == page(), stale


def test_changelog_names_practices_that_there_are() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert {*re.findall(r"\bP\d+\b", text)} <= {*NUMBERS}


@pytest.mark.parametrize(("task", "parallel"), KINDS)
def test_each_practice_is_present_or_not_applicable(
    render: Render, states: States, task: str, parallel: str
) -> None:
    project = render(task=task, parallel=parallel)
    found = states(project)
    answers = context_of(project)
    missing = {number for number, has in NEED.items() if not has(answers)}
    wanted = {number: "not applicable" if number in missing else "present" for number in NUMBERS}
    assert found == wanted


def test_what_is_asked_for_brings_its_practices(render: Render, states: States) -> None:
    found = states(render(task="text_classification", **ASKED_FOR))
    assert {number for number, state in found.items() if state != "present"} == {"P22"}


def test_each_test_of_a_practice_is_in_a_project_that_has_it(render: Render) -> None:
    projects = [render(task=task, parallel=parallel) for task, parallel in KINDS]
    missing = {number: {*practice.get("tests", ())} for number, practice in LEDGER.items()}
    for project in (*projects, render(task="text_classification", **ASKED_FOR)):
        answers = context_of(project)
        files = {path.relative_to(project).as_posix() for path in project.glob("tests/**/*.py")}
        for number, practice in LEDGER.items():
            missing[number] -= files if applies(practice, answers) else set()
    assert {number: tests for number, tests in missing.items() if tests} == {}


def planted(place: Path, pieces: set[str]) -> Iterator[str]:
    """Change a file in each way that its practices can notice; yield what was done."""
    aside = place.with_name("aside")
    place.rename(aside)
    yield "deleted"
    aside.rename(place)
    if place.is_file():
        text = place.read_text(encoding="utf-8")
        for piece in pieces:
            place.write_text(text.replace(piece, "mine"), encoding="utf-8")
            yield f"without {piece}"
        place.write_text(text + "# mine\n", encoding="utf-8")
        yield "longer"
        place.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "answers",
    [
        {"task": "language_modeling", "parallel": "ddp"},
        {"task": "text_classification", **ASKED_FOR},
    ],
)
def test_a_change_is_that_of_the_practices_that_name_it(
    render: Render, states: States, tmp_path: Path, answers: dict[str, Any]
) -> None:
    project = shutil.copytree(render(**answers), tmp_path / "project")
    answers = context_of(project)
    named: dict[str, dict[str, Any]] = {}  # a file -> the practices that name it, and what of it
    for number, practice in LEDGER.items():
        for path, what in expected(practice, answers).items() if applies(practice, answers) else ():
            named.setdefault(path, {})[number] = what
    for path, practices_of_it in named.items():
        place = project / answers["package"] / path
        texts = [what for what in practices_of_it.values() if isinstance(what, list)]
        pieces = {piece for text in texts for piece in text}
        for change in planted(place, pieces):
            text = place.read_text(encoding="utf-8") if place.is_file() else ""
            hit = {
                number
                for number, what in practices_of_it.items()
                if not place.exists()
                or isinstance(what, str)
                or any(code not in text for code in what)
            }
            below = [other for other in named if other.startswith(f"{path}/")]
            hit |= {number for other in below for number in named[other]}
            assert changed(states(project)) == hit, (path, change)
    assert not changed(states(project))


def test_a_renamed_package_and_other_line_ends_change_nothing(
    render: Render, states: States, tmp_path: Path
) -> None:
    before = render(**RENDERED)
    project = shutil.copytree(before, tmp_path / "project")
    (project / "rendered").rename(project / "another_name")
    for path in [*project.rglob("*.py"), *project.glob("*.toml"), project / ".copier-answers.yml"]:
        text = path.read_text(encoding="utf-8").replace("rendered", "another_name")
        path.write_text(text, encoding="utf-8", newline="\r\n")
    assert states(project) == states(before)


def test_doctor_prints_the_practices_from_any_folder(render: Render, tmp_path: Path) -> None:
    settings = {"PYTHONPATH": str(render(**RENDERED)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "rendered.doctor", "--practices"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True, check=True
    )
    *lines, last = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == NUMBERS
    assert last == "36 present, 0 changed by you, 5 not applicable"

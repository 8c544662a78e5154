"""Projects rendered by pytest-copie, once per set of answers."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_copie.plugin import Copie
from xdist.scheduler import LoadScopeScheduling

import forked
from extensions.features import TARGETS, TASKS
from releases import ROOT, copy_parts, render_once
from rendered import render_projects

# what would otherwise depend on the machine
ANSWERS = {
    "project_name": "My Project",
    "user_name": "Ada Lovelace",
    "user_email": "ada@example.com",
}

# the kinds of projects that differ in what they learn: the tasks, and those with other targets, by
# the name of their folder below template/tasks
KINDS: dict[str, dict[str, str]] = {task: {"task": task} for task in TASKS}
KINDS |= {f"{task}/{targets}": {"task": task, "targets": targets} for task, targets in TARGETS}

# the tasks that show what holds of the engine, whose code is the same for all: one reads files in
# workers, the other has its data in memory
SAMPLE = ("image_classification", "language_modeling")


SAMPLED = [
    pytest.param(task, marks=() if task in SAMPLE else pytest.mark.thorough) for task in TASKS
]

# what tests/engine imports: before its conftest is read, and before pytest-xdist's processes start
if "PYTEST_XDIST_WORKER" not in os.environ:
    render_projects()

Render = Callable[..., Path]
Fork = Callable[[str], forked.Project]


def pytest_addoption(parser: pytest.Parser) -> None:
    takes = "also each task where two are enough, and the default run of each to its score: hours"
    parser.addoption("--thorough", action="store_true", help=takes)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--thorough"):
        later = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=later)
        items[:] = [item for item in items if item not in later]


class ByTask(LoadScopeScheduling):
    """Gives each process all tests of a task, which share what is dear, or all of a file."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, name = nodeid.partition("::")
        return next((kind for kind in reversed(KINDS) if kind in name), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByTask:
    return ByTask(config, log)


def outside() -> dict[str, str]:
    """Return the environment variables without those that are for this repository's own tests."""
    # a new installation compiles PyTorch with each process if it may not keep the bytecode
    ours = ("COPIER_PYTORCH_WITHOUT_GIT", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in ours}


def questions() -> dict[str, Any]:
    """Return the questions of copier.yml by name, in the order asked."""
    config = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    return {name: question for name, question in config.items() if not name.startswith("_")}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template without git, which pytest-copie would clone for each render."""
    os.environ["COPIER_PYTORCH_WITHOUT_GIT"] = "1"  # see tests/rendered.py
    return copy_parts(tmp_path_factory.mktemp("template") / "copier-pytorch")


@pytest.fixture(scope="session")
def render(copie_session: Copie, template: Path) -> Render:
    """Return a function from answers to a project that other tests see too: only read it."""
    projects: dict[str, Path] = {}

    def render(**answers: Any) -> Path:
        # Copier ignores answers to questions that it does not know
        if unknown := answers.keys() - questions().keys():
            raise TypeError(f"no such question: {', '.join(sorted(unknown))}")
        answers = ANSWERS | answers
        key = json.dumps(answers, sort_keys=True)
        if key not in projects:
            result = copie_session.copy(answers, template_dir=template)
            if result.exception:
                raise result.exception
            assert result.project_dir is not None
            for name, answer in answers.items():
                found = result.answers[name]
                # a multiselect comes back in the order of its choices
                assert found == answer or sorted(found) == sorted(answer), name
            projects[key] = result.project_dir
        return projects[key]

    return render


@pytest.fixture(scope="session")
def fork(render: Render) -> Iterator[Fork]:
    """Return a function from a kind to its project, with the process that runs are forked from."""
    projects: dict[str, forked.Project] = {}
    with ExitStack() as servers:

        def fork(kind: str) -> forked.Project:
            if kind not in projects:
                answers = {"package": forked.PACKAGE, "parallel": "ddp", "logger": ["csv"]}
                folder = render(**KINDS[kind], **answers)
                projects[kind] = servers.enter_context(forked.Project(folder, kind))
            return projects[kind]

        yield fork


@pytest.fixture(scope="module")
def quick_updates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        render_once(tmp_path_factory.mktemp("renders"), patch)
        yield


@pytest.fixture
def project(render: Render, tmp_path: Path) -> Render:
    """Return a function from answers to a project of the test's own, to run and to change."""

    def project(**answers: Any) -> Path:
        return shutil.copytree(render(**answers), tmp_path / "project")

    return project

"""A project as its owner and their CI build it: `uv sync`, then the workflow's own commands."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from conftest import SAMPLE, SAMPLED, Render, outside
from extensions.features import TASKS


def shell(command: str, folder: Path) -> None:
    done = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, env=outside()
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


def imported(folder: Path) -> set[str]:
    """Return what the modules in a folder import at their top, by the first part of its name."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("task", TASKS)
def test_what_is_imported_is_a_dependency(render: Render, task: str) -> None:
    project = render(task=task, package="p", logger=["csv"])
    table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    named = table["project"]["dependencies"] + table["dependency-groups"]["dev"]
    names = {re.split(r"[=>;\[ ]", name)[0].lower() for name in named}
    names = {{"pillow": "PIL"}.get(name, name) for name in names}
    assert imported(project) <= names | sys.stdlib_module_names | {"p", "small"}


@pytest.mark.parametrize("task", [task for task in TASKS if task not in SAMPLE])
def test_tests_of_what_is_the_task_s_own_pass(render: Render, task: str) -> None:
    project = render(task=task, package="p", logger=["csv"])
    # the engine's, which are the same everywhere, are run with the sample
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(
        [*command, "--ignore=tests/engine"],
        cwd=project,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.slow
@pytest.mark.parametrize("task", SAMPLED)
def test_ci_commands_pass_in_an_environment_of_the_project_s_own(
    render: Render, task: str, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(render(task=task, parallel="ddp", logger=["tensorboard", "csv"]), project)
    workflow = yaml.safe_load((project / ".github/workflows/ci.yml").read_text())
    commands = [
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    ]
    assert commands[0] == "uv sync"
    for command in commands:
        shell(command, project)
    shell("uv build", project)


@pytest.mark.slow
def test_tests_pass_with_the_lowest_versions_that_are_promised(
    render: Render, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(render(logger=["tensorboard", "csv"], parallel="ddp"), project)
    shell("uv sync --resolution lowest-direct", project)
    shell("uv run --no-sync python -c 'import torch; assert torch.__version__ < \"2.12\"'", project)
    shell("uv run --no-sync pytest", project)

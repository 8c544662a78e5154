"""A project as its owner and their CI build it: `uv sync`, then the workflow's own commands."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from conftest import Render
from extensions.features import TASKS


def shell(command: str, folder: Path) -> None:
    # what uv set for this repository's own environment must not reach the project's
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
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

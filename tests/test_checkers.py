"""Checkers are pinned, here and in a project: a new release of one fails no untouched tree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, Render
from extensions.features import OPTIONS

CHECKERS = {"pre-commit", "pyrefly", "pytest", "ruff"}
# what else this repository's tests and workflows run
OURS = {"vulture", "zensical", "zizmor"}
# the one that is there to be broken by new releases
WEEKLY = ROOT / ".github" / "workflows" / "weekly.yml"


@pytest.fixture(params=["template", "project"])
def folder(request: pytest.FixtureRequest, render: Render) -> Path:
    """This repository, and a project with every check that an answer can bring."""
    if request.param == "template":
        return ROOT
    return render(updates="github", **dict.fromkeys(OPTIONS, True))


def development(folder: Path) -> list[str]:
    table = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    return table["dependency-groups"]["dev"]


def pinned(requirements: list[str]) -> set[str]:
    """Return the names of those that allow one version only."""
    found = (re.fullmatch(r"([a-z-]+)==[\d.]+", requirement) for requirement in requirements)
    return {match[1] for match in found if match}


def programs(folder: Path) -> set[str]:
    """Return what hooks and workflows run in the environment of uv.lock."""
    paths = [*(folder / ".github" / "workflows").glob("*.yml"), folder / ".pre-commit-config.yaml"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return {*re.findall(r"uv run (?:--[\w-]+ )*([\w.-]+)", text)}


def test_each_checker_is_pinned(folder: Path) -> None:
    wanted = CHECKERS | (OURS if folder == ROOT else set())
    assert wanted <= pinned(development(folder))


def test_what_hooks_and_workflows_run_is_pinned(folder: Path) -> None:
    own = {name for name in programs(folder) if (folder / name).is_file() or name == "python"}
    assert programs(folder) - own <= pinned(development(folder))
    assert {"pytest", "pyrefly", "ruff"} <= programs(folder)


def test_hooks_are_of_the_same_environment(folder: Path) -> None:
    hooks = yaml.safe_load((folder / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]


def test_workflows_name_the_version_of_uv(folder: Path) -> None:
    for path in sorted((folder / ".github" / "workflows").glob("*.yml")):
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            for step in job["steps"]:
                if step.get("uses", "").startswith("astral-sh/setup-uv@"):
                    version = step["with"]["version"]
                    newest = path == WEEKLY and version == "latest"
                    assert newest or re.fullmatch(r"\d+\.\d+\.\d+", version), path


def test_tools_from_elsewhere_are_pinned() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for tool in re.findall(r"uv tool install (.*)", path.read_text(encoding="utf-8")):
            assert re.fullmatch(r"[\w-]+==[\d.]+", tool), path


def test_what_builds_a_project_is_pinned_for_its_owner_and_for_nobody_else(render: Render) -> None:
    table = tomllib.loads((render() / "pyproject.toml").read_text(encoding="utf-8"))
    [backend] = table["build-system"]["requires"]
    assert ">=" in backend
    built = pinned(table["tool"]["uv"]["build-constraint-dependencies"])
    assert built == {backend.partition(">=")[0]}


def test_checkers_are_the_same_here_and_in_a_project(render: Render) -> None:
    ours, theirs = development(ROOT), development(render(pre_commit=True))
    assert {line for line in theirs if pinned([line])} <= {*ours}


def test_libraries_have_lower_bounds(render: Render) -> None:
    table = tomllib.loads((render() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = table["optional-dependencies"].values()
    for requirement in [*table["dependencies"], *(line for extra in extras for line in extra)]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+", requirement), requirement


@pytest.mark.skipif(sys.platform != "linux", reason="the workflow's sed is GNU's")
def test_the_weekly_run_takes_the_newest_of_everything(tmp_path: Path) -> None:
    job = yaml.safe_load(WEEKLY.read_text(encoding="utf-8"))["jobs"]["newest"]
    loosen, *commands = [step["run"] for step in job["steps"] if "run" in step]
    *_, ours, table, theirs = loosen.split()
    for name in (ours, table, theirs):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(["sh", "-c", loosen], cwd=tmp_path, check=True)
    assert not pinned(development(tmp_path))
    for name in (table, theirs):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert ">=" in text and not re.search(r'"[a-z-]+==', text), name
    compile((tmp_path / table).read_text(encoding="utf-8"), table, "exec")
    assert "uv lock --upgrade" in commands
    assert "nightly" in job["strategy"]["matrix"]["torch"]

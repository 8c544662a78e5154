"""An owner's project and the template's next release."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from copier import run_copy, run_update

from conftest import ANSWERS
from releases import copy_parts

pytestmark = pytest.mark.update

OWNED = (
    *("README.md", "CHANGELOG.md", "LICENSE", "notebooks/*"),
    *("my_project/*net.py", "my_project/data.py"),
    *("my_project/layers/*", "my_project/losses/*", "my_project/ops/*"),
    *("tests/test_model.py", "tests/test_data.py"),
    *("tests/test_a*", "tests/test_cross_entropy.py", "tests/test_feed_forward.py"),
    *("tests/test_initialize.py", "tests/test_next_token.py", "tests/test_r*"),
    "tests/test_standardize.py",
)
# a text file of each kind in the template, and what an earlier release had there
EARLIER = {
    "project/{{package}}/engine/errors.py": "\n# of an earlier release\n",
    "project/train.py.jinja": "\n# of an earlier release\n",
    "project/ruff.toml": "\n# of an earlier release\n",
    "project/CHANGELOG.md": "\nof an earlier release\n",
    "tasks/image_classification/model.py.jinja": "\n# of an earlier release\n",
    "project/{{package}}/layers/residual.py": "\n# of an earlier release\n",
}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a commit")


def release(repository: Path, version: str) -> None:
    commit(repository)
    git(repository, "tag", version)


def files(project: Path) -> dict[str, bytes]:
    """Return the content of each file by its path."""
    found = (path for path in project.rglob("*") if path.is_file())
    paths = {path.relative_to(project).as_posix(): path for path in found}
    return {name: path.read_bytes() for name, path in paths.items() if name[:5] != ".git/"}


def is_owned(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in OWNED)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


@pytest.fixture(autouse=True)
def git_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada Lovelace")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.com")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The template with two releases: 0.1.0, made up, and 0.2.0, the tree as it lies on disk."""
    folder = copy_parts(tmp_path / "copier-pytorch")
    git(folder, "init", "--quiet")
    for name, addition in EARLIER.items():
        append(folder / "template" / name, addition)
    release(folder, "0.1.0")
    for name, addition in EARLIER.items():
        edit(folder / "template" / name, addition, "")
    release(folder, "0.2.0")
    return folder


def copy(repository: Path, folder: Path, version: str, **answers: Any) -> Path:
    """Render a release and commit the project, as the closing message says."""
    run_copy(
        str(repository),
        folder,
        data=ANSWERS | answers,
        vcs_ref=version,
        defaults=True,
        unsafe=True,
        quiet=True,
    )
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def update(project: Path, **options: Any) -> None:
    run_update(project, defaults=True, overwrite=True, unsafe=True, quiet=True, **options)


@pytest.fixture
def project(repository: Path, tmp_path: Path) -> Iterator[Path]:
    """A project of the earlier release; after the test, no conflict is in a file of its owner."""
    project = copy(repository, tmp_path / "project", "0.1.0")
    yield project
    unmerged = git(project, "diff", "--name-only", "--diff-filter=U").splitlines()
    assert [name for name in unmerged if is_owned(name)] == []
    assert not list(project.rglob("*.rej"))


def test_untouched_project_becomes_a_fresh_render(
    repository: Path, project: Path, tmp_path: Path
) -> None:
    before = files(project)
    update(project)
    after, fresh = files(project), files(copy(repository, tmp_path / "fresh", "0.2.0"))
    assert after.keys() == fresh.keys()
    for name, content in fresh.items():
        assert after[name] == (before[name] if is_owned(name) else content), name
    changed = {name for name in after if before[name] != after[name]}
    expected = {"my_project/engine/errors.py", "train.py", "ruff.toml", ".copier-answers.yml"}
    assert changed == expected


def test_update_keeps_the_owner_s_edits(repository: Path, project: Path, tmp_path: Path) -> None:
    for name in filter(is_owned, files(project)):
        append(project / name, "\n# mine\n")
    deleted = [
        project / "tests" / "test_model.py",
        project / "my_project" / "layers" / "residual.py",
    ]
    for path in deleted:
        path.unlink()
    (project / "my_project" / "layers" / "mine.py").write_text("# mine\n")
    edit(project / "train.py", "highest learning rate", "my learning rate")
    edit(project / "pyproject.toml", '  "numpy', '  "einops",\n  "numpy')
    edit(project / "ruff.toml", "line-length = 100", "line-length = 80")
    commit(project)
    before = files(project)

    update(project)

    after = files(project)
    for name in before:
        if is_owned(name):
            assert after[name] == before[name], name
    assert not any(path.exists() for path in deleted)
    fresh = files(copy(repository, tmp_path / "fresh", "0.2.0"))
    assert after["my_project/engine/errors.py"] == fresh["my_project/engine/errors.py"]
    for name, line in (
        ("train.py", b"my learning rate"),
        ("pyproject.toml", b'"einops"'),
        ("ruff.toml", b"line-length = 80"),
    ):
        assert line in after[name]
        assert b"earlier" not in after[name]
    assert git(project, "diff", "--name-only", "--diff-filter=U") == ""


def test_conflicts_are_listed(project: Path) -> None:
    edit(project / "ruff.toml", "# of an earlier release", "# mine")
    commit(project)
    command = [sys.executable, "-m", "copier", "update", "--trust", "--defaults"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert result.stdout.endswith("look for <<<<<<< in:\nruff.toml\n")


def test_rejected_changes_are_listed(project: Path) -> None:
    edit(project / "ruff.toml", "# of an earlier release", "# mine")
    commit(project)
    command = [sys.executable, "-m", "copier", "update", "--trust", "--defaults", "--conflict=rej"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert result.stdout.endswith("then delete:\nruff.toml.rej\n")
    (project / "ruff.toml.rej").unlink()


def test_update_without_conflict_lists_nothing(project: Path) -> None:
    command = [sys.executable, "-m", "copier", "update", "--trust", "--defaults"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_later_yes_adds_its_files(project: Path) -> None:
    residual = project / "my_project" / "layers" / "residual.py"
    append(residual, "# mine\n")
    commit(project)
    later = {"docker": True, "notebook": True, "blocks": ["attention"], "logger": ["csv", "wandb"]}
    update(project, data=later, vcs_ref="0.1.0")
    for name in (
        *("Dockerfile", "notebooks/explore.ipynb", "tests/test_attention.py"),
        *("my_project/layers/attention.py", "my_project/ops/rotary.py"),
        "my_project/engine/loggers/wandb.py",
    ):
        assert (project / name).exists(), name
    assert not (project / "my_project" / "engine" / "loggers" / "tensorboard.py").exists()
    assert residual.read_text().endswith("# mine\n")

    # what arrived is the owner's from then on
    commit(project)
    attention = project / "my_project" / "layers" / "attention.py"
    attention.unlink()
    append(project / "my_project" / "ops" / "rotary.py", "# mine\n")
    commit(project)
    update(project)
    assert not attention.exists()
    assert (project / "my_project" / "ops" / "rotary.py").read_text().endswith("# mine\n")


def test_template_without_tags_can_be_updated_from(tmp_path: Path) -> None:
    repository = copy_parts(tmp_path / "copier-pytorch")
    git(repository, "init", "--quiet")
    commit(repository)
    project = copy(repository, tmp_path / "project", "HEAD")
    append(repository / "template" / "project" / "ruff.toml", "# new\n")
    commit(repository)
    update(project, vcs_ref="HEAD")
    assert (project / "ruff.toml").read_text().endswith("# new\n")


def test_project_without_git_is_refused_in_one_line(project: Path) -> None:
    shutil.rmtree(project / ".git")
    command = [sys.executable, "-m", "copier", "update", "--trust", "--defaults"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    git(project, "init", "--quiet")

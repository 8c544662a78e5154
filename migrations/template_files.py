"""The template's files in a project: which go, and whether their owner has changed them."""

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from extensions import features

TEMPLATE = Path(__file__).parent.parent
RENDERED = "template/project"


def git(*arguments: str) -> str:
    """Return what git prints."""
    done = subprocess.run(["git", *arguments], capture_output=True, check=True)
    return done.stdout.decode(errors="replace")


def listed(*arguments: str) -> list[str]:
    """Return the files that a git command lists."""
    return git(*arguments, "-z").split("\0")[:-1]


def project_path(path: str, answers: Mapping[str, Any], answers_file: str) -> str:
    """Return where a file of the template's lies in a project."""
    for name, value in (
        ("{{package}}", answers["package"]),
        ("{{model_name}}", answers["model_name"]),
        ("{{_copier_conf.answers_file}}", answers_file),
    ):
        path = path.replace(name, value)
    return path.removeprefix(f"{RENDERED}/").removesuffix(".jinja")


def paths(version: str, answers: Mapping[str, Any], answers_file: str) -> dict[str, str]:
    """Return the paths of all files that a version may render, and theirs in the template."""
    found = listed("-C", str(TEMPLATE), "ls-tree", "-r", "--name-only", version, RENDERED)
    return {project_path(path, answers, answers_file): path for path in found}


def dropped(since: str, answers: Mapping[str, Any], answers_file: str) -> set[str]:
    """Return the paths that the version before has and this one has not."""
    then, now = (paths(version, answers, answers_file) for version in (since, "HEAD"))
    return then.keys() - now.keys()


def note() -> Path:
    """Return the file in which the start of an update leaves for its end what it has named."""
    return Path(git("rev-parse", "--git-path", "copier-pytorch-deletes").strip())


def diffs(names: Iterable[str], since: str, answers: Mapping[str, Any]) -> list[str]:
    """Return for each file that its owner changed the command that shows the changes.

    Compares what is committed with a render of the version that the project has. The render's file
    is put among the project's git objects, where git keeps it for some weeks.
    """
    sources = paths(since, answers, "")
    names = sorted(
        name
        for name in names
        if not is_owned(name, answers) and not is_copy(name, f"{since}:{sources.get(name)}")
    )
    if not names:
        return []
    head, found = git("rev-parse", "--short", "HEAD").strip(), []
    with tempfile.TemporaryDirectory() as folder:
        project = render(since, answers, Path(folder))
        for name in names:
            path = project / name
            if path.is_file() and lines(path.read_bytes()) != lines(committed(name)):
                blob = git("hash-object", "-w", "--no-filters", str(path)).strip()[:12]
                found.append(f"    git diff {blob} {head}:./{name}")
    return found


def render(version: str, answers: Mapping[str, Any], folder: Path) -> Path:
    """Render a version of the template into a folder below this one."""
    command = ["git", "-C", str(TEMPLATE), "archive", version]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder / "template", filter="data")
    from copier import run_copy  # takes a second, and most updates render nothing in here

    os.environ["COPIER_PYTORCH_WITHOUT_GIT"] = "1"  # an archive is no clone
    how: dict[str, Any] = {"defaults": True, "unsafe": True, "quiet": True}
    run_copy(str(folder / "template"), folder / "project", {**answers}, **how)
    return folder / "project"


def is_owned(name: str, answers: Mapping[str, Any]) -> bool:
    return any(f"/{name}/".startswith(f"{path}/") for path in features.owned(answers))


def is_copy(name: str, source: str) -> bool:
    """Whether a file is as it stands in the template, which no render has to show."""
    theirs, ours = (
        subprocess.run(["git", "-C", folder, "show", which], capture_output=True, check=False)
        for folder, which in ((str(TEMPLATE), source), (".", f"HEAD:./{name}"))
    )
    return theirs.returncode == 0 == ours.returncode and lines(theirs.stdout) == lines(ours.stdout)


def committed(name: str) -> bytes:
    return subprocess.run(["git", "show", f"HEAD:./{name}"], capture_output=True, check=True).stdout


def lines(content: bytes) -> list[bytes]:
    """Return lines without their ends, which an editor or git may have changed."""
    return content.splitlines()

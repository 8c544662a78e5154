"""The template with its releases, as a project would get them: tags in a clone."""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from copier import _main, _template, _vcs, run_copy, run_update
from jinja2 import Environment
from pytest import MonkeyPatch

import later

ROOT = Path(__file__).parent.parent
RELEASES: dict[str, str] = tomllib.loads(
    (ROOT / "tools" / "releases.toml").read_text(encoding="utf-8")
)
# what is updated: the newest release, or the tree as it lies on disk until there is one
SINCE = [*RELEASES][-1] if RELEASES else "1.0.0b1"
# to what: the tree on disk, with what a later release might change
NEXT = "1000.0.0"
# one before the break, from which there is no update
BEFORE = {"0.3.0": "cd97cf28d9506774d9bb189a6ddca2c9bc7f09c7"}
# what Copier, our extensions and our migrations read of this repository
PARTS = ("CHANGELOG.md", "copier.yml", "extensions", "migrations", "template")
# and what those before the break read
OLDER_PARTS = (*PARTS, "practices.toml")


# asks git for each file whether its system has mode bits: a third of the time of an update
if os.name != "nt":
    setattr(_main.Worker, "_sync_git_index_executable_bit", lambda *arguments: None)  # noqa: B010


# a template's text is compiled once, not for each project that is rendered of it
compile_template = Environment.compile
compiled: dict[tuple[Any, ...], Any] = {}


def compile_once(environment: Environment, source: Any, *names: Any, **how: Any) -> Any:
    # Jinja has one lexer for environments with the same settings
    key = (environment.lexer, *environment.extensions, source, *names, *how.items())
    if key not in compiled:
        compiled[key] = compile_template(environment, source, *names, **how)
    return compiled[key]


setattr(Environment, "compile", compile_once)  # noqa: B010


def git(folder: Path, *arguments: str, text: str = "") -> str:
    identity = ("-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.com")
    command = ["git", "-C", str(folder), *identity, *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def commit(folder: Path, message: str = "a commit") -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


def copy_parts(folder: Path) -> Path:
    """Copy what Copier needs of this tree, as it lies on disk, without its git history."""
    leave_out = shutil.ignore_patterns("__pycache__", ".*_cache")
    folder.mkdir(exist_ok=True)
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=leave_out)
        else:
            shutil.copy(ROOT / name, folder)
    return folder


def clone(folder: Path) -> Path:
    """Make a repository with a tag for each release, SINCE and NEXT.

    Each holds what a project is made of, and nothing before it: Copier clones it for each render.
    """
    git(ROOT, "clone", "--quiet", "--no-tags", "--no-checkout", "--shared", str(ROOT), str(folder))
    for version, its_commit in (BEFORE | RELEASES).items():
        try:
            entries = git(folder, "ls-tree", its_commit).splitlines(keepends=True)
        except RuntimeError as missing:
            raise RuntimeError(
                f"release {version} is not in this clone; git fetch --unshallow brings it"
            ) from missing
        parts = "".join(line for line in entries if line.split()[-1] in OLDER_PARTS)
        tree = git(folder, "mktree", text=parts).strip()
        git(folder, "tag", f"v{version}", git(folder, "commit-tree", "-m", version, tree).strip())
    git(folder, "switch", "--quiet", "--orphan", "next")
    copy_parts(folder)
    commit(folder)
    if SINCE not in RELEASES:
        git(folder, "tag", f"v{SINCE}")
    later.apply(folder, SINCE)
    commit(folder)
    git(folder, "tag", f"v{NEXT}")
    return folder


def copy(template: Path, folder: Path, version: str, **answers: Any) -> Path:
    """Render a release and commit the project, as the closing message says."""
    how: dict[str, Any] = {"defaults": True, "unsafe": True, "quiet": True}
    run_copy(str(template), folder, data=answers, vcs_ref=f"v{version}", **how)
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def update(project: Path, **options: Any) -> None:
    """Take a project to the newest release, without questions."""
    run_update(project, defaults=True, overwrite=True, unsafe=True, quiet=True, **options)


def render_once(folder: Path, patch: MonkeyPatch) -> None:
    """Let Copier clone and render each version once, not several times in each update.

    A render follows from the version and the answers alone; it is four fifths of an update's time.
    """
    clones: dict[tuple[str, str], str] = {}
    renders: dict[str, Path] = {}
    run_copy = _main.Worker.run_copy

    def clone_to(url: str, ref: str = "HEAD", location: str | None = None) -> str:
        key = url, git(Path(url), "rev-parse", f"{ref}^{{commit}}")
        if key not in clones:
            clones[key] = _vcs.clone(url, ref, tempfile.mkdtemp(dir=folder))
        return clones[key]

    def render_to(self: _main.Worker) -> None:
        # what an update compares, and not what it writes into the project
        if "_copy." not in str(self.dst_path):
            return run_copy(self)
        version = str(self.template.local_abspath)
        key = repr((version, self.exclude, sorted(self.data.items())))
        if key not in renders:
            run_copy(self)
            renders[key] = Path(tempfile.mkdtemp(dir=folder))
            shutil.copytree(self.dst_path, renders[key], dirs_exist_ok=True)
        else:
            shutil.copytree(renders[key], self.dst_path, dirs_exist_ok=True)

    patch.setattr(_template, "clone", clone_to)
    patch.setattr(_main.Worker, "run_copy", render_to)


@contextmanager
def output() -> Generator[list[str]]:
    """Catch what the processes print that this one starts."""
    told: list[str] = []
    sys.stdout.flush()
    with tempfile.TemporaryFile() as file:
        saved = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield told
        finally:
            sys.stdout.flush()
            os.dup2(saved, 1)
            os.close(saved)
        file.seek(0)
        told.append(file.read().decode())


def files(project: Path) -> dict[str, bytes]:
    """Return the content of each file by its path."""
    found = (path for path in project.rglob("*") if path.is_file())
    paths = {path.relative_to(project).as_posix(): path for path in found}
    return {name: path.read_bytes() for name, path in paths.items() if name[:5] != ".git/"}


def answers_of(project: Path) -> dict[str, Any]:
    return yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))

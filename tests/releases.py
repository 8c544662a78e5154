"""The template with its releases, as a project would get them: tags in a clone."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml
from copier import _main, run_copy, run_update
from jinja2 import Environment

ROOT = Path(__file__).parent.parent
RELEASES: dict[str, str] = tomllib.loads(
    (ROOT / "tools" / "releases.toml").read_text(encoding="utf-8")
)
# the tree as it lies on disk, as the release that comes after all the others
NEXT = "1000.0.0"
# what Copier, our extensions and our migrations read of this repository
PARTS = ("CHANGELOG.md", "copier.yml", "extensions", "migrations", "template")
# and what those of older releases read
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
    """Make a repository with a tag for each release and NEXT for the tree on disk.

    Each holds what a project is made of, and nothing before it: Copier clones it for each render.
    """
    git(ROOT, "clone", "--quiet", "--no-tags", "--no-checkout", "--shared", str(ROOT), str(folder))
    for version, its_commit in RELEASES.items():
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


def files(project: Path) -> dict[str, bytes]:
    """Return the content of each file by its path."""
    found = (path for path in project.rglob("*") if path.is_file())
    paths = {path.relative_to(project).as_posix(): path for path in found}
    return {name: path.read_bytes() for name, path in paths.items() if name[:5] != ".git/"}


def answers_of(project: Path) -> dict[str, Any]:
    return yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))

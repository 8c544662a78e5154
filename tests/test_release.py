"""tools/release.py: what it refuses, and what a release leaves behind."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

from conftest import ROOT
from migrations import changelog
from releases import NEXT, RELEASES, git

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
UNRELEASED = """## Unreleased

- a change (P07: `train.py`)

"""
# what release.py calls: writes what the two commands would, and runs no test
UV = """#!/bin/sh
echo "$@" >> uv.log
case "$*" in
  "run pytest"*) exit "${GATE:-0}" ;;
  version*) sed -i "s/^version = .*/version = \\"$2\\"/" pyproject.toml ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This repository with a change to release, and with an uv that is quick."""
    folder = tmp_path / "copier-pytorch"
    git(ROOT, "clone", "--quiet", "--no-tags", str(ROOT), str(folder))
    git(folder, "switch", "--quiet", "--force-create", "main")
    for name in (
        "tools/release.py",
        "tools/releases.toml",
        "migrations/changelog.py",
        ".gitignore",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "CHANGELOG.md").write_text(with_unreleased(UNRELEASED), encoding="utf-8")
    with (folder / ".git" / "info" / "exclude").open("a") as file:
        file.write("uv.log\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a change")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "uv").write_text(UV)
    (bin_folder / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada Lovelace")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.com")
    return folder


def with_unreleased(section: str) -> str:
    """Return the changelog with this instead of what is not released yet."""
    text = re.sub(r"## Unreleased\n.*?(?=## )", "", CHANGELOG, flags=re.DOTALL)
    return text.replace("## ", f"{section}## ", 1)


def release(clone: Path, version: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.release", version]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)


pytestmark = pytest.mark.skipif(os.name == "nt", reason="the uv of these tests is a shell script")


def test_release_is_tagged_and_recorded(clone: Path) -> None:
    done = release(clone, NEXT)
    assert done.returncode == 0, done.stderr
    tagged = git(clone, "rev-parse", f"v{NEXT}").strip()
    recorded = tomllib.loads((clone / "tools" / "releases.toml").read_text(encoding="utf-8"))
    assert recorded == RELEASES | {NEXT: tagged}
    assert git(clone, "log", "-2", "--format=%s").splitlines() == [
        f"release: record {NEXT}",
        f"release: {NEXT}",
    ]
    text = git(clone, "show", f"v{NEXT}:CHANGELOG.md")
    assert re.search(rf"^## {NEXT}, \d{{4}}-\d\d-\d\d\n\n- a change \(P07", text, re.MULTILINE)
    assert "Unreleased" not in text
    assert f'\nversion = "{NEXT}"\n' in git(clone, "show", f"v{NEXT}:pyproject.toml")
    called = (clone / "uv.log").read_text().splitlines()
    gate = "run pytest -n auto --thorough -m update"
    assert called == [gate, f"version {NEXT}"]
    assert git(clone, "status", "--porcelain") == ""
    assert done.stdout.endswith(f"Now: git push origin main v{NEXT}\n")


def test_beta_comes_before_the_next_and_both_before_the_final_release(clone: Path) -> None:
    for version in ("1000.0.0b1", "1000.0.0b2", "1000.0.0"):
        done = release(clone, version)
        assert done.returncode == 0, done.stderr
        text = (clone / "CHANGELOG.md").read_text(encoding="utf-8")
        (clone / "CHANGELOG.md").write_text(text.replace("## ", f"{UNRELEASED}## ", 1))
        git(clone, "commit", "--quiet", "--all", "--message", "a change")
    assert release(clone, "1000.0.0b3").stderr == "1000.0.0b3: not newer than 1000.0.0\n"


def test_closed_gate_leaves_everything_as_it_was(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE", "1")
    before = git(clone, "rev-parse", "HEAD")
    done = release(clone, NEXT)
    assert done.returncode == 1 and done.stderr.startswith(f"{NEXT}: the gate is closed")
    assert git(clone, "rev-parse", "HEAD") == before
    assert git(clone, "status", "--porcelain") == git(clone, "tag") == ""


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("new", "no version by PEP 440"),
        (f"{NEXT}rc1", "neither final nor a beta"),
        (f"{NEXT}b1.dev1", "neither final nor a beta"),
        ("01.0", "neither final nor a beta"),
        ("0.1.0", "not newer than "),
        (NEXT, "there are changes"),
        (NEXT, "not on main"),
        (NEXT, 'CHANGELOG.md has nothing under "## Unreleased"'),
        (NEXT, "CHANGELOG.md, 'a change': end it with (P01: `file`)"),
    ],
)
def test_what_is_refused_is_one_line(clone: Path, version: str, reason: str) -> None:
    if reason == "there are changes":
        (clone / "new").touch()
    elif reason == "not on main":
        git(clone, "switch", "--quiet", "--create", "other")
    elif reason.startswith("CHANGELOG"):
        section = "" if "nothing" in reason else "## Unreleased\n\n- a change\n\n"
        (clone / "CHANGELOG.md").write_text(with_unreleased(section), encoding="utf-8")
        git(clone, "commit", "--quiet", "--all", "--message", "a change")
    done = release(clone, version)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{version}: {reason}") and done.stderr.count("\n") == 1
    assert not (clone / "uv.log").exists()


def test_notes_are_what_the_changelog_says(clone: Path) -> None:
    command = [sys.executable, "-m", "tools.release", "--notes"]
    first = [*changelog.releases(CHANGELOG)][-1]
    done = subprocess.run([*command, f"v{first}"], cwd=clone, capture_output=True, text=True)
    assert done.stdout.startswith("- ") and done.stdout.strip() in CHANGELOG
    done = subprocess.run([*command, "7.7"], cwd=clone, capture_output=True, text=True)
    assert done.stderr.startswith("7.7: CHANGELOG.md has ") and done.stderr.count("\n") == 1


def test_version_is_that_of_the_newest_release() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    titles = [name for name in changelog.releases(CHANGELOG) if name != changelog.UNRELEASED]
    assert project["version"] == titles[0]
    assert sorted(titles, key=Version, reverse=True) == titles
    # a release is recorded by the commit after its own
    assert [*RELEASES] == sorted(RELEASES, key=Version)
    since_the_break = {name for name in titles if Version(name) >= Version("1.0.0b1")}
    assert since_the_break - {*RELEASES} <= {titles[0]}


def test_each_entry_names_its_practices_and_files() -> None:
    for name, entries in changelog.releases(CHANGELOG).items():
        assert entries, name
        for entry in entries:
            assert entry.files, f"{name}: {entry.text}"

"""Ends an update: takes away what is no longer asked for, says what came and what to do.

Runs in the project, with the name of its answers file; the update is done by then, so nothing that
goes wrong in here may end it.
"""

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

TEMPLATE = Path(__file__).parent.parent
sys.path[:0] = [str(TEMPLATE)]

from extensions import features  # noqa: E402
from migrations import changelog, imports, template_files  # noqa: E402
from migrations.template_files import diffs, git, listed, paths  # noqa: E402

CODE = ("*.py", "*.ipynb")
# answers that stand in files which no update touches
WRITTEN_ONCE = {
    "project_name": "README.md",
    "description": "README.md",
    "user_name": "LICENSE",
    "license": "LICENSE",
    "parallel": "README.md",
}

CAME = "What changed in this project:"
YOURS = "Changed in files that are yours, which no update touches; take it over if you like:"
OFFERED = "New, and to be had with copier update --vcs-ref=:current: --data name=value:"
GONE = "Changed in files that you have moved or deleted:"
SUBJECT = "Update to copier-pytorch"


def last_answers(answers_file: str) -> dict[str, Any]:
    """Return the answers before the update, which began with everything committed."""
    return yaml.safe_load(git("show", f"HEAD:./{answers_file}"))


def clear_away(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Delete the owner's files that an answer has brought and now takes away; return what stays.

    Those that were changed stay, with all that they need. Copier sees to the template's files.
    """
    used = features.blocks_of(after["task"]) | features.with_needs(after["blocks"])
    blocks = features.with_needs(before["blocks"]) - used
    package = after["package"]
    files = {
        name: [Path(package, features.BLOCKS[name].path), Path("tests", f"test_{name}.py")]
        for name in blocks
    }
    changed = [name for name in blocks if any(has_changed(path) for path in files[name])]
    stay = features.with_needs(changed) & blocks
    if before["notebook"] and not after["notebook"]:
        files["notebook"] = [Path("notebooks", "explore.ipynb")]
        stay |= {"notebook"} if any(has_changed(path) for path in files["notebook"]) else set()
    for path in [path for name in files.keys() - stay for path in files[name]]:
        delete(path)
    return sorted(path.as_posix() for name in stay for path in files[name] if path.exists())


def present(*patterns: str) -> list[str]:
    """Return the project's files as they are now: all, or those that match."""
    found = listed("ls-files", "--cached", "--others", "--exclude-standard", *patterns)
    return sorted(name for name in {*found} if Path(name).is_file())


def broken_imports(answers: dict[str, Any]) -> list[str]:
    return imports.broken(imports.Modules(Path(), answers["package"]), present(*CODE))


def deleted_changes(before: dict[str, Any], answers_file: str) -> list[str]:
    """Return the commands that show what the owner had changed in files that are gone."""
    since, note = os.environ["VERSION_FROM"], template_files.note()
    found = note.read_text(encoding="utf-8").splitlines() if note.exists() else []
    note.unlink(missing_ok=True)
    # what the template has and another answer took away was not known at the start
    deleted = {*listed("diff", "HEAD", "--name-only", "--diff-filter=D", "--relative")}
    deleted -= template_files.dropped(since, before, answers_file)
    return found + diffs(deleted, since, before)


def delete(path: Path) -> None:
    """Delete a file, and its folder when nothing else is in it."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def has_changed(path: Path) -> bool:
    """Return whether a file is not as it was when it came into the project."""
    added = git("log", "-1", "--diff-filter=A", "--format=%H", "--", str(path)).strip()
    return bool(added and path.exists() and git("diff", "--name-only", added, "--", str(path)))


def moved_files(answers: dict[str, Any], answers_file: str) -> set[str]:
    """Return the template's files that are somewhere else in the project."""
    ours, there = {*paths("HEAD", answers, answers_file)}, {*present()}
    elsewhere = {Path(name).name for name in there - ours}
    return {name for name in ours - there if Path(name).name in elsewhere}


def news(
    answers: dict[str, Any],
    answers_file: str,
    since: Version,
    until: Version,
    *,
    same_answers: bool,
) -> dict[str, list[str]]:
    """Return the entries of the releases between two, by where they met this project."""
    releases = changelog.releases((TEMPLATE / "CHANGELOG.md").read_text(encoding="utf-8"))
    newest = max(Version(name) for name in releases if name != changelog.UNRELEASED)
    changed = listed("diff", "HEAD", "--name-only", "--relative")
    changed += listed("ls-files", "--others", "--exclude-standard")
    if same_answers:
        # it differs in the version alone
        changed = [name for name in changed if name != answers_file]
    moved = moved_files(answers, answers_file)
    owned = [name[1:] for name in features.owned(answers)]
    found: dict[str, list[str]] = {CAME: [], YOURS: [], OFFERED: [], GONE: []}
    for name, entries in releases.items():
        if name == changelog.UNRELEASED:
            new = since != until > newest
        else:
            new = since < Version(name) <= until
        for entry in entries if new else ():
            names = [
                name for file in entry.files for name in (file, f"{answers['package']}/{file}")
            ]
            if moved & {*names}:
                found[GONE].append(f"- {entry.text}")
            elif any(is_in(file, name) for file in changed for name in names):
                found[CAME].append(f"- {entry.text}")
            elif any(Path(name).exists() and is_in(name, file) for file in owned for name in names):
                found[YOURS].append(f"- {entry.text}")
            elif answers.keys() & {*re.findall(r"`(\w+)=", entry.text)}:
                found[OFFERED].append(f"- {entry.text}")
            elif not any(Path(name).exists() for name in names) and git("log", "-1", "--", *names):
                found[GONE].append(f"- {entry.text}")
    return found


def is_in(path: str, folder: str) -> bool:
    """Return whether a path is another, or below it."""
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def main(answers_file: str) -> None:
    before = last_answers(answers_file)
    after = yaml.safe_load(Path(answers_file).read_text(encoding="utf-8"))
    since, until = (Version(os.environ[f"VERSION_PEP440_{end}"]) for end in ("FROM", "TO"))
    kept = clear_away(before, after)
    changed = deleted_changes(before, answers_file)
    print(f"From {since} to {until}." if since != until else f"Still at {until}.")
    changes = {
        name: f"{name}: {before[name]} became {value}"
        for name, value in after.items()
        if name in before and name[0] != "_" and before[name] != value
    }
    show("Other answers:", changes.values())
    same = {**before, "_commit": ""} == {**after, "_commit": ""}
    for title, entries in news(after, answers_file, since, until, same_answers=same).items():
        show(title, entries)
    once = sorted({WRITTEN_ONCE[name] for name in changes if name in WRITTEN_ONCE})
    show("Yours, so change by hand what they say of these answers:", once)
    show("No longer asked for; still there, as you have changed them or what needs them:", kept)
    show(
        "The template's no more, so deleted, though changed by you; these show your changes:",
        changed,
    )
    show("Imports that find nothing any more; mend them by hand:", broken_imports(after))
    conflicts = listed("diff", "--name-only", "--diff-filter=U", "--relative")
    show("You and the template changed the same lines; look for <<<<<<< in:", conflicts)
    rejects = listed("ls-files", "--others", "--exclude-standard", "*.rej")
    show("These changes of yours did not fit; put them in by hand, then delete:", rejects)
    first = ", solve the conflicts" if conflicts or rejects else ""
    print(f"\nLook at it with git diff{first}, then:\n")
    print(
        "    uv run pytest", "    git add --all", f'    git commit -m "{SUBJECT} {until}"', sep="\n"
    )


def show(title: str, lines: Any) -> None:
    if lines:
        print("", title, *lines, sep="\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception as error:  # the update itself is done
        print(f"The update is done, but what it did can't be told ({error!r}); see git status.")

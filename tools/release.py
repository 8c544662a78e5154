"""Make a release: refuse, test, write, commit, tag; pushing it is left to you.

    uv run python -m tools.release 1.0.0

Refused unless what `copier update` brings is described under "Unreleased" in CHANGELOG.md, and
projects come to a later release without a conflict.
"""

import argparse
import datetime
import subprocess
import sys
from pathlib import Path

from packaging.version import InvalidVersion, Version

from migrations import changelog

ROOT = Path(__file__).parent.parent
RELEASES = ROOT / "tools" / "releases.toml"
GATE = ("uv", "run", "pytest", "-n", "auto", "--thorough", "-m", "update")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a release.", allow_abbrev=False)
    parser.add_argument("version", help="newer than all before it, as 1.0.0 or 1.0.0b1")
    parser.add_argument("--notes", action="store_true", help="print what one brought, and end")
    args = parser.parse_args()
    version = args.version.removeprefix("v")
    if args.notes:
        print(notes(version))
        return
    if reason := refusal(version):
        sys.exit(f"{version}: {reason}")

    if subprocess.run(GATE, cwd=ROOT, check=False).returncode:
        sys.exit(f"{version}: the gate is closed, see above; nothing was written")

    run("uv", "version", version)
    rewrite("CHANGELOG.md", f"## {changelog.UNRELEASED}\n", f"## {version}, {today()}\n")
    commit(f"release: {version}")
    run("git", "tag", f"v{version}")
    # only a later commit can name this one
    with RELEASES.open("a", encoding="utf-8") as file:
        file.write(f'"{version}" = "{git("rev-parse", "HEAD").strip()}"\n')
    commit(f"release: record {version}")
    print(f"\nNow: git push origin main v{version}")


def notes(version: str) -> str:
    """Return the entries of a release, as they are written."""
    releases = changelog.releases((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if version not in releases:
        sys.exit(f"{version}: CHANGELOG.md has {', '.join(releases)}")
    return "\n".join(f"- {entry.text}" for entry in releases[version])


def refusal(version: str) -> str:
    """Return why a release can't be made of this commit."""
    releases = changelog.releases((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    entries = releases.pop(changelog.UNRELEASED, [])
    try:
        wanted = Version(version)
    except InvalidVersion:
        return "no version by PEP 440; use one like 1.0.0 or 1.0.0b1"
    if (wanted.pre or ("b",))[0] != "b" or wanted.is_devrelease or str(wanted) != version:
        return "neither final nor a beta; use one like 1.0.0 or 1.0.0b1"
    newest = max(Version(name) for name in releases)
    if wanted <= newest:
        return f"not newer than {newest}"
    if git("branch", "--show-current").strip() != "main":
        return "not on main; git switch main"
    if git("status", "--porcelain"):
        return "there are changes; commit them first"
    return unfinished(entries)


def unfinished(entries: list[changelog.Entry]) -> str:
    """Return what these entries lack to be those of a release."""
    if not entries:
        return f'CHANGELOG.md has nothing under "## {changelog.UNRELEASED}"'
    for entry in entries:
        if not entry.files:
            first = entry.text.partition("\n")[0]
            return f"CHANGELOG.md, {first!r}: end it with (P01: `file`), or (`file`)"
    return ""


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def rewrite(name: str, old: str, new: str) -> None:
    path = ROOT / name
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")


def commit(message: str) -> None:
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", message)


def git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def run(*command: str) -> None:
    print("+", *command, flush=True)
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()

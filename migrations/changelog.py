"""CHANGELOG.md, read: its releases, and what each entry touches."""

import re
from typing import NamedTuple

UNRELEASED = "Unreleased"


class Entry(NamedTuple):
    """What changes for the owner of a project."""

    text: str  # as it is written, without the dash
    practices: tuple[str, ...]
    files: tuple[str, ...]  # of a project; a folder ends with a slash


def releases(changelog: str) -> dict[str, list[Entry]]:
    """Return the entries of each release, in the order of the page."""
    found = {}
    for section in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        found[title.partition(",")[0].strip()] = [
            entry(text) for text in re.findall(r"^- (.*(?:\n  .*)*)", body, re.MULTILINE)
        ]
    return found


def entry(text: str) -> Entry:
    """Read an entry, whose last parenthesis has its practices and files: (P01: `train.py`)."""
    last = re.search(r"\(([^()]*)\)$", text)
    practices, _, files = last[1].rpartition(":") if last else ("", "", "")
    return Entry(
        text, tuple(re.findall(r"P\d\d", practices)), tuple(re.findall(r"`([^`]+)`", files))
    )

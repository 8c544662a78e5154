"""Is each practice of the template still here? `doctor --practices` prints it."""

import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import MISMATCH, USAGE, fail

LEDGER = Path(__file__).parents[1] / "practices.toml"
PRESENT, CHANGED, NOT_APPLICABLE = "present", "changed by you", "not applicable"


def report(ledger: Path = LEDGER) -> Iterator[str]:
    """Yield a line for each practice, and how many there are of each state."""
    if not (ledger.parents[1] / "pyproject.toml").exists():
        folder = "the project's folder has the files to compare"
        fail(USAGE, f"--practices: {ledger.parent} is an installed copy; {folder}, run it there")
    counts: Counter[str] = Counter()
    for number, name, state, reason in states(ledger):
        counts[state] += 1
        yield f"{number}  {state:<14}  {name}" + (f"; {reason}" if reason else "")
    yield ", ".join(f"{counts[state]} {state}" for state in (PRESENT, CHANGED, NOT_APPLICABLE))


def states(ledger: Path) -> list[tuple[str, str, str, str]]:
    """Return number, name, state and reason of each practice."""
    try:
        practices = tomllib.loads(ledger.read_text(encoding="utf-8"))
        return [
            (number, practice["name"], *state(practice, ledger.parent))
            for number, practice in practices.items()
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fail(MISMATCH, f"{ledger}: cannot be read ({error}); git log has it as it was")


def state(practice: dict[str, Any], folder: Path) -> tuple[str, str]:
    if "otherwise" in practice:
        return NOT_APPLICABLE, practice["otherwise"]
    found = {path: difference(folder / path, what) for path, what in practice["files"].items()}
    changes = [f"{path.removeprefix('../')} {change}" for path, change in found.items() if change]
    return (CHANGED if changes else PRESENT), ", ".join(changes)


def difference(path: Path, expected: str | list[str]) -> str:
    """Return what is not as expected, empty if all is: a digest of the text, or code in it."""
    if not path.exists():
        return "is missing"
    if not expected:
        return ""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")  # with any line ends
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if isinstance(expected, str):
        same = hashlib.sha256(text.encode()).hexdigest().startswith(expected)
        return "" if same else "is not the template's"
    lines = [line.strip() for line in text.splitlines()]
    missing = [code for code in expected if not any(has(line, code) for line in lines)]
    return f"lacks {' and '.join(missing)}" if missing else ""


def has(line: str, code: str) -> bool:
    """Return whether code is in a line, and not commented out."""
    return code in line and line.startswith("#") == code.startswith("#")

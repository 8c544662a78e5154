"""Write docs/practices.md from practices.toml: python tools/practices.py"""

import functools
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs" / "practices.md"
INTRODUCTION = """\
What every rendered project keeps to. The numbers stay for ever, and the changelog refers to them.

Paths are those of a project: `engine/`, `layers/`, `losses/`, `ops/`, `data.py`, `doctor.py` and
the model file are below the package. "Why" is what goes wrong without the practice, "worth" what
was measured, and with what; "here" are tests and benchmarks of the template itself.

This page follows from `tools/practices.toml`: `python tools/practices.py` writes it."""


@functools.cache
def practices() -> dict[str, dict[str, Any]]:
    return tomllib.loads((FOLDER / "practices.toml").read_text(encoding="utf-8"))


def page() -> str:
    rows = [
        f"| [{number}](#{number.lower()}) | {practice['name']} | {practice['since']} |"
        for number, practice in practices().items()
    ]
    table = ["| no. | practice | since |", "|---|---|---|", *rows]
    sections = [section(number, practice) for number, practice in practices().items()]
    return "\n\n".join(["# Practices", INTRODUCTION, "\n".join(table), *sections]) + "\n"


def section(number: str, practice: Mapping[str, Any]) -> str:
    where = paths([*practice.get("files", ()), *practice.get("code", ())])
    if "needs" in practice:
        where += f", with {paths(practice['needs'])}"
    shown = [paths(practice["tests"])] if "tests" in practice else []
    shown += [f"here {paths(practice['ours'])}"] if "ours" in practice else []
    facts = {"why": practice["why"]}
    if "worth" in practice:
        facts["worth"] = f"{practice['worth']}; here {paths(practice['by'])}"
    facts |= {"where": where, "since": practice["since"], "shown by": "; ".join(shown)}
    name = practice["name"][0].upper() + practice["name"][1:]
    lines = [filled(f"- {title}: {text}", "  ") for title, text in facts.items()]
    return "\n\n".join([f"## {number}", filled(f"**{name}**"), "\n".join(lines)])


def filled(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def paths(names: Iterable[str]) -> str:
    words = {"model.py": "the model file", "layers": "`layers/`", "losses": "`losses/`"}
    words |= {"ops": "`ops/`"}
    return ", ".join(words.get(name, f"`{name}`") for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")

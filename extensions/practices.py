"""The ledger of practices: what a project is compared with by its `doctor --practices`."""

import functools
import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context

from .features import blocks_of, with_needs
from .names import quoted

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "template" / "project"


@functools.cache
def practices() -> dict[str, dict[str, Any]]:
    return tomllib.loads((ROOT / "practices.toml").read_text(encoding="utf-8"))


def in_project_folder(name: str) -> bool:
    return (PROJECT / name).exists() or (PROJECT / f"{name}.jinja").exists()


@functools.cache
def digest(name: str, parallel: str) -> str:
    """Return what a project's file is known by, which the template writes as it stands."""
    path = PROJECT / name if in_project_folder(name) else PROJECT / "{{package}}" / name
    if name == "engine/processes.py":
        path = ROOT / "template" / "parallel" / f"{parallel}.py"
    # as text: the same with any line ends
    return hashlib.sha256(path.read_text(encoding="utf-8").encode()).hexdigest()[:16]


def applies(practice: Mapping[str, Any], answers: Mapping[str, Any]) -> bool:
    """Return whether a project with these answers has what the practice is about."""
    blocks = blocks_of(answers["task"]) | with_needs(answers["blocks"])
    for need in practice.get("needs", ()):
        name, _, value = need.partition("=")
        if value in blocks if name == "blocks" else value == str(answers[name]).lower():
            return True
    return "needs" not in practice


def expected(practice: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return a practice's files: the digest of one that is the template's, code of another."""
    package = answers["package"]
    files: dict[str, Any] = {
        name: digest(name, answers["parallel"])
        for name in practice.get("files", ())
        if f"/{package}/{name}" not in answers["left_out"]
    }
    files |= practice.get("code", {})
    return {place(name, answers["model_name"]): what for name, what in files.items()}


def place(name: str, model_name: str) -> str:
    """Return a file's path from the ledger, which stands in the package."""
    if name == "model.py":
        return f"{model_name}.py"
    return f"../{name}" if in_project_folder(name) else name


def listed(strings: Iterable[str]) -> str:
    """Return a list in TOML, an item a line where one line is too short."""
    items = [quoted(string) for string in strings]
    line = f"[{', '.join(items)}]"
    return line if len(line) <= 72 else "\n".join(["[", *(f"  {item}," for item in items), "]"])


@pass_context
def ledger(context: Context) -> str:
    """Return a table of TOML for each practice."""
    answers, tables = context.get_all(), []
    for number, practice in practices().items():
        lines = [f"[{number}]", f"name = {quoted(practice['name'])}"]
        if applies(practice, answers):
            for path, what in expected(practice, answers).items():
                value = quoted(what) if isinstance(what, str) else listed(what)
                lines.append(f'files."{path}" = {value}')
        else:
            lines.append(f"otherwise = {quoted(practice['otherwise'])}")
        tables.append("\n".join(lines).replace("`", ""))
    return "\n\n".join(tables)


class Practices(Extension):
    """Gives one template the text above."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        values: dict[str, Any] = {"ledger": ledger}
        environment.globals.update(values)

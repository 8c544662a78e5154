"""The one break: no update leads from a project of 0.x over it.

A commit of the template stands behind the break if it has this file.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from copier.errors import UserMessageError
from jinja2 import Environment
from jinja2.ext import Extension

PAGE = "https://github.com/copier-pytorch/copier-pytorch/blob/main/docs/from-0.x.md"


def is_of_0x(commit: str, template: Path) -> bool:
    """Return whether a commit, as an answers file names it, comes before the break."""
    if commit.removeprefix("v").startswith("0."):
        return True
    command = ["git", "ls-tree", "--name-only", "--end-of-options", commit, "extensions/major.py"]
    found = subprocess.run(command, cwd=template, capture_output=True, check=False)
    return found.returncode == 0 and not found.stdout


def refuse_0x(conf: Mapping[str, Any]) -> str:
    """Refuse to update a project of 0.x; nothing to say of any other."""
    path = Path(conf["dst_path"], conf["answers_file"])
    commit = str(yaml.safe_load(path.read_text(encoding="utf-8")).get("_commit", ""))
    if is_of_0x(commit, Path(conf["src_path"])):
        raise UserMessageError(
            f"{path.name}: this project is of {commit}, and no update leads from 0.x to 1.0; make "
            f"a new project with the same answers: {PAGE}"
        )
    return ""


class Major(Extension):
    """Gives templates the refusal."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["refuse_0x"] = refuse_0x

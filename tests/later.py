"""A made-up later release: what a release may change, as a few changes of this tree's text."""

import re
from pathlib import Path
from typing import NamedTuple

NEWER = "\n# newer\n"
ENGINE = "template/project/{{package}}/engine"
TRAIN = "template/scripts/train.py.jinja"
# a module of the engine goes, and one that holds what was in it comes
GONE, CAME = "inspection", "probes"


class Change(NamedTuple):
    files: str  # a pattern of paths
    old: str  # a pattern of text, of which each match is changed
    new: str


CHANGES = (
    # names have moved from one module of the engine to another
    Change(f"{ENGINE}/*.py", rf"^from \.{GONE} import", f"from .{CAME} import"),
    Change(TRAIN, rf"\.engine\.{GONE} import", f".engine.{CAME} import"),
    # a function of the engine takes an argument more, which is a new flag
    Change(
        f"{ENGINE}/runtime.py", r"^(def set_seed\(.*)\) -> None:", r"\1, threads: int) -> None:"
    ),
    Change(
        f"{ENGINE}/runtime.py",
        r"^(    torch\.manual_seed\(seed\).*\n)",
        r"\1    torch.set_num_threads(threads or torch.get_num_threads())\n",
    ),
    Change(TRAIN, r"^(    set_seed\(.*)\)$", r"\1, args.threads)"),
    Change(
        TRAIN,
        r'^(    add\("--clip-value".*\n)',
        r'\1    add("--threads", type=count, default=0, help="of the CPU; 0 is as PyTorch says")\n',
    ),
    # a line more in the loop
    Change(
        TRAIN,
        r"^( +)(average\.update\(step\)\n)",
        r"\1\2\1torch.compiler.cudagraph_mark_step_begin()\n",
    ),
    # a dependency is raised, and the settings of a tool change
    Change("extensions/features.py", r'"tqdm>=[\d.]+"', '"tqdm>=999"'),
    Change("template/project/ruff.toml", r"\Z", "\n[format]\ndocstring-code-format = true\n"),
    # files that are an owner's in a project
    Change("template/tasks/*/model.py.jinja", r"\Z", NEWER),
    Change("template/project/{{package}}/layers/residual.py", r"\Z", NEWER),
)
CHANGELOG = """# Changelog

## Unreleased

- a change of the loop,
  in two lines (P07: `train.py`, `engine/runtime.py`)
- a change of no file but this (`.copier-answers.yml`)
- a mend of a block (P04: `layers/residual.py`)
- what another task has (P04: `layers/transformer_block.py`)
- with `docker=true` a smaller image (`Dockerfile`)

## {0}, 2026-01-01

- an older change (P07: `train.py`)
"""


def apply(template: Path, since: str) -> None:
    """Make the release that comes after one of this tree or before it."""
    (template / ENGINE / f"{GONE}.py").rename(template / ENGINE / f"{CAME}.py")
    for change in CHANGES:
        make(template, change)
    (template / "CHANGELOG.md").write_text(CHANGELOG.format(since), encoding="utf-8")


def make(template: Path, change: Change) -> None:
    total = 0
    for path in sorted(template.glob(change.files)):
        text, count = re.subn(change.old, change.new, path.read_text("utf-8"), flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")
        total += count
    if not total:
        raise RuntimeError(
            f"{change.files} has no {change.old!r} any more: let the made-up release of "
            "tests/later.py change something that is there"
        )

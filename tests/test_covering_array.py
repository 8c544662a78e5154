"""Every pair of answers in about 30 projects, all checked at once."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from allpairspy import AllPairs

from conftest import KINDS, Render
from extensions import features
from styleguide import broken_rules

VALUES: dict[str, Sequence[Any]] = {
    "project_name": ("a", "Project \"of\" 24 'letters'"),
    "task": tuple(KINDS),  # with its targets
    "device": ("auto", "cuda", "mps", "cpu"),
    "amp": ("bf16", "fp16", "none"),
    "accumulate": (1, 4),
    "parallel": ("none", "ddp"),
    "logger": (
        *(("tensorboard",), ("wandb",), ("mlflow", "csv"), ()),
        ("tensorboard", "wandb", "mlflow", "csv"),
    ),
    "more": (False, True),
    "package": ("a", "z", "m" * 24),
    "model_name": ("a", "z", "m" * 24),
    "model_class": ("A", "Zz", "M" * 24, "Mm" * 12),
    "description": ("Short", "A longer one of two lines, " * 5),
    "user_name": ("", "Ada Lovelace"),
    "user_email": ("", "ada@example.com"),
    "license": ("MIT", "Apache-2.0", "BSD-3-Clause", "proprietary"),
    "python": ("3.11", "3.12", "3.13", "3.14"),
    "torch_source": ("pypi", "cpu", "cu12x", "cu13x", "rocm"),
    "github_actions": (False, True),
    "updates": ("none", "github", "renovate"),
    "pre_commit": (False, True),
    "docker": (False, True),
    "notebook": (False, True),
    "slurm": (False, True),
    "blocks": ("none", "all"),
}
# those that can be asked for
CATALOGUE = {block.path.removesuffix(".py") for block in features.BLOCKS.values() if block.offered}
ALWAYS = {
    *("train.py", "evaluate.py", "predict.py", "export.py"),
    *("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "ruff.toml"),
    *(".copier-answers.yml", ".gitattributes", ".gitignore"),
    *("tests/conftest.py", "tests/test_data.py", "tests/test_model.py"),
    *("tests/small.py", "tests/test_promises.py", "tests/test_scripts.py"),
}
MODULES = {"__init__.py", "check_resume.py", "data.py", "doctor.py"}
ENGINE = set(
    """
    __init__ checkpoint errors evaluate guard inspection launch loader optimize options order
    processes run runtime storage writer
    """.split()
)


def blocks(answers: dict[str, Any]) -> set[str]:
    """Return the blocks that a project has unasked."""
    names = features.used_by(answers)
    return {features.BLOCKS[name].path.removesuffix(".py") for name in names}


def possible(row: Sequence[Any]) -> bool:
    """Return whether these values, of which the last or any may be missing, can be together."""
    answers = dict(zip(VALUES, row, strict=False))
    device, torch_source = answers.get("device"), answers.get("torch_source")
    return not (
        (device == "cpu" and answers.get("amp") == "fp16")
        or (device == "mps" and answers.get("parallel") == "ddp")
        or (device == "cuda" and torch_source == "cpu")
        or (device == "mps" and torch_source in ("cu12x", "cu13x", "rocm"))
    )


def pairs() -> Iterator[list[Any]]:
    """Yield a row of two values, the others None, for each pair that is possible."""
    for (one, values), (other, other_values) in combinations(enumerate(VALUES.values()), 2):
        for value, other_value in product(values, other_values):
            row: list[Any] = [None] * len(VALUES)
            row[one], row[other] = value, other_value
            if possible(row):
                yield row


def agree(row: Sequence[Any], pair: Sequence[Any]) -> bool:
    return all(a is None or b is None or a == b for a, b in zip(row, pair, strict=True))


def covering_rows() -> list[list[Any]]:
    """Return few rows in which every possible pair occurs."""
    rows = [list(row) for row in AllPairs(list(VALUES.values()), filter_func=possible)]
    # with a filter, allpairspy leaves some pairs out: they share a few more rows
    more: list[list[Any]] = []
    for pair in pairs():
        if any(agree(row, pair) for row in rows):
            continue
        for row in more:
            merged = [a if b is None else b for a, b in zip(row, pair, strict=True)]
            if agree(row, pair) and possible(merged):
                row[:] = merged
                break
        else:
            more.append(pair)
    for row in more:
        for index, values in enumerate(VALUES.values()):
            for value in values if row[index] is None else ():
                row[index] = value
                if possible(row):
                    break
    return rows + more


def rows() -> list[dict[str, Any]]:
    """Return the answers of each project: every possible pair, and each task's defaults."""
    found = []
    for row in covering_rows():
        answers = dict(zip(VALUES, row, strict=True))
        answers |= KINDS[answers["task"]]
        others = CATALOGUE - blocks(answers)
        extra = [block.split("/")[1] for block in others if answers["blocks"] == "all"]
        found.append(answers | {"logger": list(answers["logger"]), "blocks": extra})
    return found + [*KINDS.values()]


def expected_files(answers: dict[str, Any]) -> set[str]:
    """Return the files of a project, stated without the template's own table."""
    task = answers["task"]
    package = answers.get("package", "my_project")
    model = answers.get("model_name", features.TASKS[task].model_name)
    loggers = {*answers.get("logger", ["tensorboard"])} - {"csv"}
    found = blocks(answers) | (CATALOGUE if answers.get("blocks") else set())

    below = {*MODULES, f"{model}.py", *(f"engine/{name}.py" for name in ENGINE)}
    below |= {f"{block}.py" for block in found}
    folders = {"layers", "losses", "ops", *(block.split("/")[0] for block in found)}
    below |= {f"{folder}/__init__.py" for folder in folders}
    below |= {f"engine/{name}.py" for name in loggers}

    files = ALWAYS | {f"{package}/{name}" for name in below}
    tested = {block for block in found if not block.startswith("readers/")}
    files |= {f"tests/test_{block.split('/')[1]}.py" for block in tested}
    if answers.get("github_actions", True):
        files |= {".github/workflows/ci.yml", ".github/workflows/audit.yml"}
    if answers.get("updates") == "github":
        files.add(".github/workflows/update.yml")
    if answers.get("updates") == "renovate":
        files.add("renovate.json")
    if answers.get("pre_commit", True):
        files.add(".pre-commit-config.yaml")
    if answers.get("docker"):
        files |= {"Dockerfile", ".dockerignore"}
    if answers.get("notebook"):
        files.add("notebooks/explore.ipynb")
    if answers.get("slurm"):
        files.add("slurm/train.sbatch")
    return files


ROWS = rows()


@pytest.fixture(scope="module")
def projects(render: Render) -> list[Path]:
    return [render(**answers) for answers in ROWS]


def run(*command: str | Path) -> None:
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_pair_is_in_one_of_few_projects() -> None:
    rows = covering_rows()
    longest, second = sorted(map(len, VALUES.values()))[-2:]
    assert len(rows) <= 1.2 * longest * second, "so many pairs have these two questions alone"
    assert all(possible(row) for row in rows)
    for pair in pairs():
        assert any(agree(row, pair) for row in rows), pair


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_project_has_exactly_these_files(render: Render, row: int) -> None:
    project = render(**ROWS[row])
    found = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    expected = expected_files(ROWS[row])
    assert (found - expected, expected - found) == (set(), set())
    assert not [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())]


def test_no_jinja_is_left(projects: list[Path]) -> None:
    for project in projects:
        for path in project.rglob("*"):
            if path.is_file():
                text = path.read_text(encoding="utf-8")
                assert not re.search(r"(?<!\$)\{\{ |\{%|\{#", text), path


def test_text_ends_with_one_newline_and_has_no_trailing_space(projects: list[Path]) -> None:
    for project in projects:
        for path in project.rglob("*"):
            if path.is_file() and path.stat().st_size:
                text = path.read_text(encoding="utf-8")
                assert re.search(r"\S\n\Z", text), path
                assert not re.search(r"[ \t]+$", text, re.MULTILINE), path
                assert "\n\n\n\n" not in text, path


def test_projects_are_formatted(projects: list[Path]) -> None:
    run("ruff", "format", "--no-cache", "--diff", *projects)


def test_projects_pass_their_own_lint(projects: list[Path]) -> None:
    run("ruff", "check", "--no-cache", *projects)


def test_projects_keep_the_rules_of_the_styleguide(projects: list[Path]) -> None:
    for project, answers in zip(projects, ROWS, strict=True):
        assert broken_rules(project, answers.get("package", "my_project")) == [], project


def test_projects_compile(projects: list[Path]) -> None:
    sources = {path.read_text("utf-8"): path for p in projects for path in p.rglob("*.py")}
    for source, path in sources.items():
        compile(source, path, "exec", dont_inherit=True)


def test_projects_pass_their_own_type_check(projects: list[Path]) -> None:
    paths = [path for project in projects for path in sorted(project.rglob("*.py"))]
    files = [path for path in paths if "tests" not in path.parts[-3:-1]]
    options = ("--python-interpreter-path", sys.executable, "--output-format", "min-text")
    run("pyrefly", "check", *options, *files)

"""What owners' files ask of the engine is what stays, by a table in docs/architecture.md."""

import functools
from pathlib import Path

import pytest

from conftest import ROOT, Render
from extensions.features import TASKS, owned
from migrations.imports import Modules, bindings, parse
from releases import answers_of, files

PACKAGE = "my_project"


@functools.cache
def public_names() -> set[tuple[str, str]]:
    """Return module and name of each row of the table."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## What your files may import")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    return {(row[0].strip(" `"), name.strip(" `")) for row in rows for name in row[1].split(",")}


def engine_imports(project: Path) -> set[tuple[str, str]]:
    """Return what a project's owner's files import from the engine; a whole module as ''."""
    modules, start = Modules(project, PACKAGE), f"{PACKAGE}.engine"
    theirs = owned(answers_of(project))
    code = [name for name in files(project) if name.endswith((".py", ".ipynb"))]
    found = set()
    for name in code:
        if not any(f"/{name}/".startswith(f"{path}/") for path in theirs):
            continue
        for statement in modules.of_file(name):
            if statement.module == start:
                found.add((statement.name, ""))
            elif statement.module.startswith(start):
                found.add((statement.module.removeprefix(f"{start}."), statement.name))
    return found


@pytest.mark.parametrize("task", TASKS)
def test_what_an_owner_s_file_imports_from_the_engine_is_public(render: Render, task: str) -> None:
    found = engine_imports(render(task=task, package=PACKAGE, notebook=True))
    assert len(found) >= 3
    assert {module for module, name in found if not name} <= {name for name, _ in public_names()}
    assert {(module, name) for module, name in found if name} <= public_names()


@pytest.mark.parametrize("parallel", ["none", "ddp"])
def test_each_public_name_is_there(render: Render, parallel: str) -> None:
    # a task that draws noise has every module
    engine = render(task="diffusion", package=PACKAGE, parallel=parallel) / PACKAGE / "engine"
    for module, name in public_names():
        assert name in bindings(parse(engine / f"{module}.py")), f"{module}.{name}"

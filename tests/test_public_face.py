"""What owners' files and the template's ask of each other stays, in projects of every release."""

import ast
import functools
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from copier import run_copy

from conftest import ANSWERS, SAMPLE, Render
from extensions.features import KEPT, TASKS, owned
from migrations.imports import Import, Modules, bindings, parse
from releases import RELEASES, ROOT, answers_of, files

PACKAGE = "my_project"
TEMPLATE = ROOT / "template"
FIRST = next(iter(RELEASES))
EACH = [
    pytest.param(
        *(release, task),
        id=f"{task}-{release}",
        marks=() if release == FIRST or task in SAMPLE else pytest.mark.thorough,
    )
    for release in RELEASES
    for task in TASKS
]


@functools.cache
def public_names() -> set[tuple[str, str]]:
    """Return module and name of each row of the table in docs/architecture.md."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## What your files may import")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    return {(row[0].strip(" `"), name.strip(" `")) for row in rows for name in row[1].split(",")}


class Project:
    """A render, its modules, and which of its files are its owner's."""

    def __init__(self, folder: Path, owned: list[str]) -> None:
        self.modules = Modules(folder, PACKAGE)
        code = [name for name in files(folder) if name.endswith((".py", ".ipynb"))]
        self.owned = [name for name in code if is_within(f"/{name}", owned)]
        self.ours = [name for name in code if name not in self.owned]

    def imports(self, names: list[str]) -> Iterator[Import]:
        for name in names:
            yield from self.modules.of_file(name)


def is_within(name: str, paths: list[str]) -> bool:
    return any(f"{name}/".startswith(f"{path}/") for path in paths)


Released = Callable[[str, str], Project]
Now = Callable[[str], Project]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return a function from a release and a task to its project."""
    folder = tmp_path_factory.mktemp("released")

    @functools.cache
    def template(release: str) -> Path:
        command = ["git", "-C", str(ROOT), "archive", RELEASES[release]]
        archive = subprocess.run(command, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as content:
            content.extractall(folder / release, filter="data")
        return folder / release

    @functools.cache
    def project(release: str, task: str) -> Project:
        os.environ["COPIER_PYTORCH_WITHOUT_GIT"] = "1"
        path, source = folder / f"{release}-{task}", template(release)
        answers = ANSWERS | {"task": task, "package": PACKAGE, "notebook": True}
        run_copy(str(source), path, answers, defaults=True, unsafe=True, quiet=True)
        # by its own table, whose module has the name of ours
        code = "import ast, sys; from extensions.features import owned"
        code += "; print(owned(ast.literal_eval(sys.argv[1])))"
        command = [sys.executable, "-c", code, repr(answers_of(path))]
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
        return Project(path, ast.literal_eval(done.stdout))

    return project


@pytest.fixture(scope="module")
def now(render: Render) -> Now:
    """Return a function from a task to the modules and the scripts that an update brings."""

    @functools.cache
    def project(task: str) -> Project:
        folder = render(task=task, package=PACKAGE, notebook=True)
        return Project(folder, owned(answers_of(folder)))

    return project


def engine_imports(project: Project) -> set[tuple[str, str]]:
    """Return what a project's owner's files import from the engine; a whole module as ''."""
    found, start = set(), f"{PACKAGE}.engine"
    for statement in project.imports(project.owned):
        module = f"{statement.module}.{statement.name}"
        if statement.module == start and project.modules.path(module):
            found.add((statement.name, ""))
        elif statement.module.startswith(start):
            found.add((statement.module.removeprefix(start).removeprefix("."), statement.name))
    return found


def definition(module: str, name: str, engine: Path) -> ast.stmt | None:
    """Return the statement of the engine that defines a name, also where another module does."""
    tree = parse(engine / f"{module}.py")
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return node
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            if name in [target.id for target in node.targets if isinstance(target, ast.Name)]:
                return definition(module, node.value.id, engine)
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            if name in [alias.asname or alias.name for alias in node.names]:
                return definition(node.module, name, engine)
    return None


def signatures(node: ast.stmt | None) -> dict[str, ast.arguments]:
    """Return the arguments of a function, or of what can be called of a class."""
    if isinstance(node, ast.FunctionDef):
        return {"": node.args}
    found = {}
    for part in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(part, ast.FunctionDef) and (part.name[0] != "_" or part.name == "__init__"):
            found[part.name] = part.args
    return found


def misfits(old: ast.arguments, new: ast.arguments) -> list[str]:
    """Return what a call that the old arguments allow could meet in the new ones."""
    before, after = [*old.posonlyargs, *old.args], [*new.posonlyargs, *new.args]
    found = [
        f"argument {number + 1} was {arg.arg}"
        for number, arg in enumerate(before)
        if not new.vararg and (number >= len(after) or after[number].arg != arg.arg)
    ]
    named = {arg.arg for arg in [*new.args, *new.kwonlyargs]}
    if not new.kwarg:
        found += [f"no {arg.arg}" for arg in old.kwonlyargs if arg.arg not in named]
    optional_before, optional_after = optional(old), optional(new)
    known = {arg.arg for arg in [*before, *old.kwonlyargs]} - optional_before
    for arg in [*after, *new.kwonlyargs]:
        if arg.arg not in known | optional_after:
            found.append(f"{arg.arg} has no default")
    for kind in ("vararg", "kwarg"):
        if getattr(old, kind) and not getattr(new, kind):
            found.append(f"no {getattr(old, kind).arg} of any number")
    return found


def optional(arguments: ast.arguments) -> set[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {arg.arg for arg in with_default} | {arg.arg for arg, value in named if value}


@pytest.mark.update
@pytest.mark.parametrize(("release", "task"), EACH)
def test_what_an_owner_s_file_imports_from_the_engine_is_public(
    released: Released, release: str, task: str
) -> None:
    found = engine_imports(released(release, task))
    assert len(found) >= 3
    modules = {module for module, _ in public_names()}
    assert {module for module, name in found if not name} <= modules
    assert {(module, name) for module, name in found if name} <= public_names()


@pytest.mark.update
@pytest.mark.parametrize("parallel", ["none", "ddp"])
@pytest.mark.parametrize("release", RELEASES)
def test_each_public_name_is_there_and_takes_what_it_took(
    released: Released, tmp_path: Path, release: str, parallel: str
) -> None:
    old = released(release, SAMPLE[0]).modules.project / PACKAGE / "engine"
    # all that an update may bring: as it stands in the template, for all of its files are plain
    engine = shutil.copytree(TEMPLATE / "project" / "{{package}}" / "engine", tmp_path / "engine")
    shutil.copy(TEMPLATE / "parallel" / f"{parallel}.py", engine / "processes.py")
    wrong = []
    for module, name in sorted(public_names()):
        if name not in bindings(parse(engine / f"{module}.py")):
            wrong.append(f"{module}.{name} is gone")
            continue
        before = signatures(definition(module, name, old))
        after = signatures(definition(module, name, engine))
        for part in before:
            if part not in after:
                wrong.append(f"{module}.{name}.{part} is gone")
            else:
                found = misfits(before[part], after[part])
                wrong += [f"{module}.{name} {part}: {misfit}" for misfit in found]
    assert wrong == []


@pytest.mark.update
@pytest.mark.parametrize(("release", "task"), EACH)
def test_scripts_ask_an_owner_s_file_of_a_release_for_nothing_that_it_has_not(
    released: Released,
    now: Now,
    release: str,
    task: str,
) -> None:
    old, new = released(release, task), now(task)
    theirs = {*old.owned}
    wrong = []
    for statement in new.imports(new.ours):
        path = new.modules.path(statement.module)
        where = path.relative_to(new.modules.project).as_posix() if path else ""
        # the owner's, or not there in an older project: an update brings no file of theirs
        if where in new.owned and (where not in theirs or not old.modules.resolves(statement)):
            wrong.append(str(statement))
    assert wrong == []


def arguments(signature: str) -> ast.arguments:
    function = ast.parse(f"def f({signature}): ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    return function.args


@pytest.mark.parametrize(
    ("old", "new", "fits"),
    [
        ("a, b=1, *, c=2", "a, b=1, *, c=2", True),
        ("a, b=1", "a, b=2, c=3, *, d=4", True),
        ("a, *, c=2", "a, c=2", True),
        ("a", "a, b", False),
        ("a", "b", False),
        ("a, b=1", "a", False),
        ("a, b=1", "a, b", False),
        ("a, *, c=2", "a", False),
        ("a", "a, *, d", False),
        ("*parts", "first, second", False),
        ("a, b", "*parts", True),
    ],
)
def test_signature_that_takes_less_than_before_is_found(old: str, new: str, fits: bool) -> None:
    assert (misfits(arguments(old), arguments(new)) == []) == fits


def test_names_kept_for_older_projects_are_public() -> None:
    assert {*KEPT} <= {module for module, _ in public_names()}

"""The table: which files and dependencies follow from the answers."""

import ast
import json
import re
from pathlib import Path

import pytest

from conftest import KINDS, ROOT, Render, questions
from extensions.features import (
    BLOCKS,
    LOGGER_CHOICES,
    LOGGERS,
    OPTIONS,
    TARGETS,
    TASK_CHOICES,
    TASKS,
    TORCH_BUILDS,
    UPDATES,
    blocks_of,
    left_out,
    owned,
    used_by,
    with_needs,
)

PACKAGE = ROOT / "template" / "project" / "{{package}}"
COMPUTED = {"task": TASK_CHOICES, "logger": LOGGER_CHOICES}
CATALOGUE = {name for name, block in BLOCKS.items() if block.offered}


def choices(question: str) -> set[str]:
    """Return the answers that copier.yml offers."""
    found = questions()[question]["choices"]
    if question in COMPUTED:
        assert found == f"{{{{ {question}_choices }}}}"
        found = json.loads(COMPUTED[question])
    values = found.values() if isinstance(found, dict) else found
    return {value["value"] if isinstance(value, dict) else value for value in values}


def test_questions_offer_what_the_table_knows() -> None:
    assert choices("task") == set(TASKS)
    assert choices("targets") == {"label", *(targets for _, targets in TARGETS)}
    assert choices("logger") == {"csv", *LOGGERS}
    assert choices("torch_source") == {"pypi", *TORCH_BUILDS}
    assert choices("updates") == {"none", *UPDATES}
    assert set(OPTIONS) <= set(questions())


def test_each_task_has_a_folder() -> None:
    folders = {path.name for path in (ROOT / "template" / "tasks").iterdir()}
    assert folders == set(TASKS)


def files_in(kind: str) -> set[str]:
    folder = ROOT / "template" / "tasks" / kind
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_each_task_s_folder_has_the_same_files() -> None:
    assert all(files_in(task) == files_in("custom") for task in TASKS)


def test_a_folder_of_other_targets_has_files_in_the_place_of_the_task_s() -> None:
    for task, targets in TARGETS:
        found = files_in(f"{task}/{targets}")
        assert {"data.py.jinja", "example.toml"} <= found <= files_in(task)


def is_reader(name: str) -> bool:
    return BLOCKS[name].path.startswith("readers/")


def test_each_block_is_in_the_table_and_has_a_test() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for folder in ("layers", "losses", "ops", "readers")
        for path in (PACKAGE / folder).glob("*.py*")
        if path.name != "__init__.py"
    }
    assert found == {block.path for block in BLOCKS.values()}
    for name, block in BLOCKS.items():
        assert Path(block.path).stem == name
        folder = "tests/readers" if is_reader(name) else "template/project/tests"
        assert list((ROOT / folder).glob(f"test_{name}.py*")), name


@pytest.mark.parametrize("name", BLOCKS)
def test_block_needs_what_it_imports(name: str) -> None:
    tree = ast.parse((PACKAGE / BLOCKS[name].path).read_text(encoding="utf-8"))
    imported = {
        (node.module or "").rpartition(".")[2]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level and "engine" not in (node.module or "")
    }
    assert imported == set(BLOCKS[name].needs)


@pytest.mark.parametrize("kind", KINDS)
def test_task_s_blocks_are_those_that_its_files_import(render: Render, kind: str) -> None:
    project = render(**KINDS[kind], package="a", model_name="a")
    files = [project / "a" / "a.py", project / "a" / "data.py", *project.glob("*.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    imports = r"^from (?:a)?\.(?:layers|losses|ops|readers)\.(\w+) import"
    assert with_needs(re.findall(imports, source, re.M)) == used_by(KINDS[kind])


def blocks_in(project: Path) -> set[str]:
    """Return the blocks that a project has, each with its test, but for those that read files."""
    found = {name for name, block in BLOCKS.items() if (project / "a" / block.path).exists()}
    tested = {name for name in BLOCKS if (project / "tests" / f"test_{name}.py").exists()}
    assert tested == {name for name in found if not is_reader(name)}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_block_is_there_when_used_or_asked_for(render: Render, kind: str) -> None:
    used = used_by(KINDS[kind])
    assert blocks_in(render(**KINDS[kind], package="a")) == used
    others = sorted(CATALOGUE - used)
    assert blocks_in(render(**KINDS[kind], package="a", blocks=others)) == used | CATALOGUE


@pytest.mark.parametrize("block", sorted(CATALOGUE - blocks_of("language_modeling")))
def test_block_brings_what_it_needs(block: str) -> None:
    answers = {"task": "language_modeling", "package": "a", "blocks": [block], "logger": []}
    out = left_out(answers | dict.fromkeys(OPTIONS, False) | {"updates": "none"})
    for name in with_needs([block]):
        assert f"/a/{BLOCKS[name].path}" not in out and f"/tests/test_{name}.py" not in out


def test_update_owns_what_was_there_and_not_what_arrives() -> None:
    answers = {
        "task": "image_classification",
        "package": "a",
        "model_name": "resnet",
        "blocks": ["attention"],
    }
    arrive = {"/a/layers/attention.py", "/a/ops/rotary.py", "/tests/test_attention.py"}
    always = {"/README.md", "/a/resnet.py", "/a/data.py", "/a/layers/residual.py"}
    for before, there in (
        ("", True),  # not an update of this folder
        ("blocks: []\n", False),
        ("blocks:\n- rotary\n", False),
        ("blocks:\n- attention\n", True),  # which brought rotary
    ):
        found = set(owned(answers, before))
        assert always <= found
        assert ("/a/layers/attention.py" in found) == there
        assert ("/a/ops/rotary.py" in found) == (there or "rotary" in before)
        assert not there or arrive <= found

"""The table: which files and dependencies follow from the answers."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Render, questions
from extensions.features import BLOCKS, LOGGERS, OPTIONS, TASKS, TORCH_BUILDS, owned

PACKAGE = ROOT / "template" / "project" / "{{package}}"


def choices(question: str) -> set[str]:
    """Return the answers that copier.yml offers."""
    found = questions()[question]["choices"]
    values = found.values() if isinstance(found, dict) else found
    return {value["value"] if isinstance(value, dict) else value for value in values}


def test_questions_offer_what_the_table_knows() -> None:
    assert choices("task") == set(TASKS)
    assert choices("logger") == set(LOGGERS)
    assert choices("torch_source") == {"pypi", *TORCH_BUILDS}
    assert set(OPTIONS) <= set(questions())


def test_each_task_has_a_folder() -> None:
    folders = {path.name for path in (ROOT / "template" / "tasks").iterdir()}
    assert folders == set(TASKS)


def test_each_task_s_folder_has_the_same_files() -> None:
    files = [
        {path.name for path in (ROOT / "template" / "tasks" / task).iterdir()} for task in TASKS
    ]
    assert all(names == files[0] for names in files)


def test_each_block_is_in_the_table_and_has_a_test() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for folder in ("layers", "losses", "ops")
        for path in (PACKAGE / folder).glob("*.py*")
        if path.name != "__init__.py"
    }
    assert found == {block.path for block in BLOCKS.values()}
    for name, block in BLOCKS.items():
        assert Path(block.path).stem == name
        assert list((ROOT / "template/project/tests").glob(f"test_{name}.py*")), name


@pytest.mark.parametrize("name", BLOCKS)
def test_block_needs_what_it_imports(name: str) -> None:
    tree = ast.parse((PACKAGE / BLOCKS[name].path).read_text(encoding="utf-8"))
    imported = {
        (node.module or "").rpartition(".")[2]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    }
    assert imported == set(BLOCKS[name].needs)


@pytest.mark.parametrize("task", TASKS)
def test_task_s_blocks_are_those_that_its_model_imports(render: Render, task: str) -> None:
    project = render(task=task, package="a", model_name="a")
    source = (project / "a" / "a.py").read_text(encoding="utf-8")
    imported = set(re.findall(r"^from \.(?:layers|losses|ops)\.(\w+) import", source, re.M))
    needed = {block for name in imported for block in BLOCKS[name].needs}
    assert imported | needed == set(TASKS[task].blocks)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("block", BLOCKS)
def test_block_is_there_when_used_or_asked_for(render: Render, task: str, block: str) -> None:
    used = block in TASKS[task].blocks
    asked: dict[str, Any] = {} if used else {"blocks": [block]}
    project = render(task=task, package="a", **asked)
    assert (project / "a" / BLOCKS[block].path).exists()
    assert (project / "tests" / f"test_{block}.py").exists()
    assert (render(task=task, package="a") / "a" / BLOCKS[block].path).exists() == used


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

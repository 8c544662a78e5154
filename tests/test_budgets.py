"""How long a rendered file may be: here rather than in a project, whose owner may add to it."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

from conftest import Render
from extensions.features import TASKS

# lines of the file as it is read, in one sitting
TRAIN_LINES = 200
# neither blank nor comment nor docstring
SCRIPT_LINES = 90
MODEL_LINES = 150
ENGINE_LINES = 120


def code_lines(source: str) -> int:
    """Count the lines that are neither blank nor comment nor docstring."""
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in (*silent, tokenize.ENDMARKER):
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            text = node.body[0]
            lines.difference_update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(lines)


@pytest.fixture(params=TASKS)
def longest(request: pytest.FixtureRequest, render: Render) -> Path:
    """A project of each task with what makes its files longest."""
    loggers = ["tensorboard", "wandb", "mlflow", "csv"]
    return render(task=request.param, parallel="ddp", logger=loggers, package="p", model_name="m")


def test_train_is_read_in_one_sitting(longest: Path) -> None:
    assert len((longest / "train.py").read_text(encoding="utf-8").splitlines()) <= TRAIN_LINES


def test_file_is_no_longer_than_its_one_reason_to_exist(longest: Path) -> None:
    budgets = {longest / "p" / "m.py": MODEL_LINES}
    budgets |= dict.fromkeys(longest.glob("[!t]*.py"), SCRIPT_LINES)
    budgets |= dict.fromkeys((longest / "p" / "engine").rglob("*.py"), ENGINE_LINES)
    sizes = {path: code_lines(path.read_text(encoding="utf-8")) for path in budgets}
    assert {path.name: size for path, size in sizes.items() if size > budgets[path]} == {}


def test_comments_and_docstrings_are_not_counted() -> None:
    text = '"""One\ntwo."""\n\n# three\nx = 1  # four\n\n\n'
    text += 'def f():\n    """Five."""\n    return (\n        x\n    )\n'
    assert code_lines(text) == 5

"""What a user is asked, what an answer may be, and what is refused."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment
from markdown_it import MarkdownIt

from conftest import ANSWERS, KINDS, Render, questions
from extensions import names
from extensions.features import LOGGERS, TARGETS, TASKS, Features

OTHER_TARGETS = sorted({task for task, _ in TARGETS})  # the tasks that have some
COPY = (sys.executable, "-m", "copier", "copy", "--trust")
HOSTILE = {
    "quotes": '"double" \'single\' `back` """triple"""',
    "leading_quotes": '"""',
    "backslashes": r"C:\new\table\u0041 ends with \ ".strip() + "\\",
    "newlines": "one\ntwo\r\nthree\ttab\x7f\x00",
    "emoji": "🙂 👩‍💻 é\N{BOM}",
    "jinja": "{{ package }} {% raw %} {# no #}",
    "markup": "# <b>*bold*</b> [link](x) $x$ | a_b_c ![i] &amp; ~~no~~",
    "list": "1. one",
    "yaml": "- a: [b, *c] &d #e",
    "long": "many words " * 30,
    "long_word": "x" * 120,
    "full_stop": "Ends already.",
}


def copy(source: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `copier copy` as a user does."""
    command = (*COPY, "--defaults", *options[:-1], str(source), options[-1])
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr


class Terminal:
    """Copier in a terminal: types keys, reads the screen that a user sees."""

    def __init__(self, folder: Path, *arguments: str):
        pexpect, pyte = pytest.importorskip("pexpect"), pytest.importorskip("pyte")
        self._ended = (pexpect.EOF, pexpect.TIMEOUT)
        self._screen = pyte.Screen(120, 60)
        self._stream = pyte.Stream(self._screen)
        self._process = pexpect.spawn(
            COPY[0], [*COPY[1:], *arguments], cwd=folder, dimensions=(60, 120), encoding="utf-8"
        )

    def wait_for(self, text: str) -> str:
        """Return the screen once the text stands on it."""
        while text not in (shown := "\n".join(self._screen.display)):
            try:
                output = self._process.read_nonblocking(4096, timeout=30)
            except self._ended:
                pytest.fail(f"{text!r} did not appear on\n{shown}")
            self._stream.feed(output)
            # the prompt asks where the cursor is, and waits a second for the answer
            if "\x1b[6n" in output:
                cursor = self._screen.cursor
                self.press(f"\x1b[{cursor.y + 1};{cursor.x + 1}R")
        return shown

    def press(self, keys: str) -> None:
        self._process.send(keys)

    def answer(self, question: str, keys: str = "") -> str:
        """Return the screen with the question on it, then answer and confirm."""
        shown = self.wait_for(questions()[question]["help"].split("?")[0])
        self.press(keys + ENTER)
        return shown


ENTER, DOWN = "\r", "\x1b[B"
QUICK = (
    *("project_name", "task", "targets", "device", "amp", "accumulate", "parallel", "logger"),
    "more",
)


def test_quick_path_asks_eight_things_and_whether_to_choose_more(
    template: Path, tmp_path: Path
) -> None:
    terminal = Terminal(tmp_path, str(template), "My Project")
    for question in QUICK:
        terminal.answer(question)
    assert "cd 'My Project'" in terminal.wait_for("uv run train.py")
    answers = yaml.safe_load((tmp_path / "My Project" / ".copier-answers.yml").read_text())
    assert answers["project_name"] == "My Project"
    assert answers["package"] == "my_project"


def test_impossible_choice_is_shown_with_its_reason(template: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, str(template), "x")
    terminal.answer("project_name")
    terminal.answer("task")
    terminal.answer("targets")
    terminal.answer("device", keys=DOWN * 3)
    assert "a CPU computes in bf16, not in fp16" in terminal.answer("amp")


def test_wrong_name_is_answered_with_a_valid_one(template: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "--data", "more=true", str(template), "x")
    for question in QUICK[:-1]:
        terminal.answer(question)
    terminal.answer("package", keys="\x15My-Package")
    terminal.wait_for("try my_package")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"device": "cpu", "amp": "fp16"}, "a CPU computes in bf16"),
        ({"device": "mps", "parallel": "ddp"}, "a Mac has one GPU"),
        ({"device": "cuda", "torch_source": "cpu"}, "sees no CUDA device"),
        ({"device": "mps", "torch_source": "cu12x"}, "a Mac has no CUDA"),
        ({"device": "mps", "torch_source": "cu13x"}, "a Mac has no CUDA"),
        ({"device": "mps", "torch_source": "rocm"}, "a Mac has no ROCm"),
        ({"accumulate": 0}, "use 1 or more"),
        ({"task": "tabular", "targets": "number"}, f"for {', '.join(OTHER_TARGETS)} only"),
        (
            {"task": "language_modeling", "blocks": ["attention"]},
            "attention: the task uses it already",
        ),
    ],
)
def test_impossible_answers_name_the_reason(
    render: Render, answers: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        render(**answers)


def test_each_question_has_a_default_and_a_help() -> None:
    for name, question in questions().items():
        assert "default" in question, name
        assert question["help"], name


def test_advanced_questions_record_their_default() -> None:
    # with `when`, a later change of a default would change projects that exist
    assert tuple(questions())[: len(QUICK)] == QUICK
    for name, question in questions().items():
        assert "when" not in question
        if name != "targets":
            assert question.get("ask") == (None if name in QUICK else "{{ more }}")


def test_targets_are_asked_for_where_a_task_has_several() -> None:
    environment = Environment(extensions=[Features])
    ask = environment.from_string(questions()["targets"]["ask"])
    assert [task for task in sorted(TASKS) if ask.render(task=task) == "True"] == OTHER_TARGETS


@pytest.mark.parametrize(
    ("check", "name", "fix"),
    [
        (names.check_package, "My-Package", "my_package"),
        (names.check_package, "1st", "st"),
        (names.check_package, "torch", "torch_project"),
        (names.check_package, "json", "json_project"),
        (names.check_package, "con", "con_project"),
        (names.check_package, "class", "class_project"),
        (names.check_package, "a" * 25, "a" * 24),
        (names.check_package, "../x", "x"),
        (names.check_package, "", "my_project"),
        (names.check_model_name, "data", "data_net"),
        (names.check_model_name, "ResNet 50", "resnet_50"),
        (names.check_model_class, "resnet", "Resnet"),
        (names.check_model_class, "my model", "MyModel"),
        (names.check_model_class, "Tensor", "TensorNet"),
        (names.check_model_class, "A" * 25, "A" * 24),
    ],
)
def test_refused_name_comes_with_a_valid_one(
    check: Callable[[str], str], name: str, fix: str
) -> None:
    assert check(name).endswith(f"try {fix}")
    assert check(fix) == ""


def test_names_of_the_standard_library_do_not_depend_on_the_python_that_runs_copier() -> None:
    assert {"asyncore", "json", "telnetlib", "tomllib", "compression"} <= names.TAKEN_PACKAGES
    mine = {name for name in sys.stdlib_module_names if re.fullmatch(r"[a-z][a-z0-9_]*", name)}
    assert mine <= names.TAKEN_PACKAGES


@pytest.mark.parametrize("text", [*HOSTILE.values(), "torch", "class", "7", "_", "Über-Straße 2"])
def test_derived_package_is_valid_for_any_project_name(text: str) -> None:
    assert names.check_package(names.package_name(text)) == ""


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_arrives_unbroken(render: Render, text: str) -> None:
    project = render(project_name=text, description=text, user_name=text, package="a")
    line = " ".join("".join(c if c.isprintable() or c == "\u200d" else " " for c in text).split())

    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["description"] == line
    assert metadata["authors"] == [{"name": line, "email": ANSWERS["user_email"]}]
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert answers["description"] == answers["project_name"] == text
    assert line in (project / "LICENSE").read_text(encoding="utf-8")

    source = (project / "a" / "__init__.py").read_text(encoding="utf-8")
    space: dict[str, Any] = {}
    exec(compile(source, "__init__.py", "exec"), space)
    assert " ".join(space["__doc__"].split()) == line.rstrip(".") + "."
    checks = [["check"], ["format", "--check"]]
    for check in checks:
        command = ["ruff", *check, "--no-cache", "--quiet", str(project / "a" / "__init__.py")]
        assert subprocess.run(command, check=False).returncode == 0, source

    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(names.markdown(text) + "\n")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {token.type for token in children} <= {"text", "text_special"}
    assert "".join(token.content for token in children) == line


def test_quoted_text_means_the_same_in_every_language() -> None:
    text = "".join(map(chr, [*range(0x300), 0x2028, 0x2029, 0xFEFF, 0xFFFD, 0x1F642]))
    for load in (json.loads, yaml.safe_load, eval):
        assert load(names.quoted(text)) == text
    assert tomllib.loads(f"x = {names.quoted(text)}")["x"] == text


@pytest.mark.parametrize("name", ["A", "GPT", "M" * 24, "Mm" * 12, "a" * 24, "engine_2", "zz"])
def test_imports_are_sorted_as_ruff_sorts_them(tmp_path: Path, name: str) -> None:
    module = name.lower()
    text = names.sort_imports(
        f"from {module}.zebra import g, F, f, A\n"
        f"from {module}.{module} import (\n    Accuracy,\n    {name},\n    z,\n    CONSTANT,\n)\n"
        f"from {module}.engine.run import Accuracy, CrossEntropy, {name}\n"
        f"from {module}.engine import Accuracy, {name}, evaluate, train, test\n"
        f"from {module}.engine import more\n"
        f"import {module}\n"
    )
    package = tmp_path / module
    for file in ("__init__", "zebra", module, "engine/__init__", "engine/run"):
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{file}.py").touch()
    (tmp_path / "ruff.toml").write_text('line-length = 100\nlint.select = ["I", "E501"]')
    (tmp_path / "script.py").write_text(text)
    for command in (["check"], ["format", "--diff"]):
        subprocess.run(["ruff", *command, "--no-cache", str(tmp_path)], check=True)


@pytest.mark.parametrize("text", ["import a\nx = 1\n", "import a as b\n", "from a import b  # c\n"])
def test_only_plain_imports_can_be_sorted(text: str) -> None:
    with pytest.raises(ValueError, match="only plain import statements"):
        names.sort_imports(text)


def bound_names(source: str) -> set[str]:
    """Return the names that a module's top level binds."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_model_class_can_not_hide_another_name(render: Render, kind: str) -> None:
    project = render(**KINDS[kind], package="a", model_class="Model9", logger=list(LOGGERS))
    model = TASKS[KINDS[kind]["task"]].model_name
    paths = [*project.glob("*.py"), project / "a" / f"{model}.py", project / "tests/test_model.py"]
    free = {
        name
        for path in paths
        for name in bound_names(path.read_text(encoding="utf-8"))
        if not names.check_model_class(name)
    }
    assert free <= {"Model9"}


@pytest.mark.parametrize("task", TASKS)
def test_package_can_not_hide_another_module(render: Render, task: str) -> None:
    project = render(task=task, package="a", logger=list(LOGGERS), notebook=True)
    modules = {path.stem for path in project.iterdir() if path.suffix in ("", ".py")}
    for path in project.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add((node.module or "").partition(".")[0])
    assert {name for name in modules if not names.check_package(name)} <= {"a"}


@pytest.mark.parametrize("task", TASKS)
def test_model_s_module_can_not_hide_another(render: Render, task: str) -> None:
    package = render(task=task, package="a", model_name="b") / "a"
    modules = {path.stem for path in package.iterdir() if path.suffix in ("", ".py")}
    assert {name for name in modules if not names.check_model_name(name)} == {"b"}


def test_git_missing_is_one_line(template: Path, tmp_path: Path) -> None:
    result = copy(template, str(tmp_path / "x"), PATH="", COPIER_PYTORCH_WITHOUT_GIT="")
    assert_refused(result, "git is not installed")
    assert not (tmp_path / "x").exists()


def test_template_without_history_is_one_line(template: Path, tmp_path: Path) -> None:
    result = copy(template, str(tmp_path / "x"), COPIER_PYTORCH_WITHOUT_GIT="")
    assert_refused(result, "git clone")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("typed", "meant"), [("acumulate", "accumulate"), ("licence", "license")])
def test_misspelt_answer_is_one_line(
    template: Path, tmp_path: Path, typed: str, meant: str
) -> None:
    result = copy(template, "--data", f"{typed}=2", str(tmp_path / "x"))
    assert_refused(result, typed, meant)
    assert not (tmp_path / "x").exists()


def test_answer_to_a_question_of_another_version_is_ignored(template: Path, tmp_path: Path) -> None:
    assert copy(template, "--data", "gone=2", str(tmp_path / "x")).returncode == 0


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (["package=My-Package"], ["package=My-Package", "try my_package"]),
        (["device=tpu"], ["device=tpu", "auto, cuda, mps, cpu"]),
        (["accumulate=two"], ["accumulate=two", "whole number"]),
        (["logger=wandb"], ["logger=wandb", "'logger=[tensorboard]'"]),
        (["device=cpu", "amp=fp16"], ["amp=fp16", "a CPU computes in bf16"]),
        (["description=\n\t"], ["nothing to read"]),
    ],
)
def test_wrong_answer_in_data_is_one_line(
    template: Path, tmp_path: Path, answers: list[str], words: list[str]
) -> None:
    options = [part for answer in answers for part in ("--data", answer)]
    assert_refused(copy(template, *options, str(tmp_path / "x")), *words)
    assert not (tmp_path / "x").exists()


def test_occupied_destination_is_one_line(template: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    result = copy(template, str(tmp_path))
    assert_refused(result, "README.md", "choose a new folder")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_new_git_repository_is_a_destination(template: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert copy(template, str(tmp_path)).returncode == 0
    assert (tmp_path / "train.py").exists()


def test_no_address_of_an_index_but_pytorch_s(render: Render) -> None:
    for source in ("pypi", "cpu", "cu12x", "cu13x", "rocm"):
        text = (render(torch_source=source) / "pyproject.toml").read_text(encoding="utf-8")
        addresses = re.findall(r"https?://[^/\"]+", text)
        assert addresses == ([] if source == "pypi" else ["https://download.pytorch.org"])

"""Whatever is answered, Copier refuses in one line or renders a sound project."""

import ast
import json
import re
import subprocess
import sys
import tempfile
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

import yaml
from copier import run_copy
from copier.errors import UserMessageError
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from conftest import questions
from extensions import names
from extensions.features import BLOCKS, LOGGERS, TASKS

# what breaks quoting, templates, markup, terminals or encodings
SPECIAL = (
    *("{{", "}}", "{%", "%}", "{#", "{{ 1/0 }}", "{% raw %}", '"', "'", '"""', "\\", "\\n", "\\N{"),
    *("\n", "\r\n", "\t", "\0", "\x1b[2J", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\ufffe"),
    *(
        "\u202e",
        "\u2066",
        "\u200b",
        "\u200d",
        "\ud800",
        "\udcff",
        "🙂",
        "👩‍💻",
        "🇦🇶",
        "é",
        "字" * 60,
    ),
    *(
        "#",
        "- ",
        ": ",
        "&a",
        "*b",
        "!c",
        "|",
        ">",
        "[x](y)",
        "<b>",
        "`",
        "$x$",
        "---",
        "...",
        "1. ",
    ),
    *("null", "true", "1e3", "0x10", "2024-01-01", "~", "=", "%s", "$(id)", ";", "../..", "C:\\"),
    *("word " * 40, "w" * 200, "# noqa", "# fmt: off", "# type: ignore", "’"),
)
ANYTHING = st.characters() | st.characters(categories=["Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp"])
TEXT = st.lists(st.text(ANYTHING, max_size=20) | st.sampled_from(SPECIAL), max_size=8).map("".join)
READABLE = TEXT.map(lambda text: text if plain(text) else f"{text}x")
MODULE = st.from_regex(r"[a-z][a-z0-9_]{0,23}", fullmatch=True)
CLASS = st.from_regex(r"[A-Z][A-Za-z0-9]{0,23}", fullmatch=True)
TYPED = {
    "project_name": READABLE,
    "description": READABLE,
    "user_name": TEXT,
    "user_email": st.from_regex(r"[\w.+-]{1,8}@[\w.-]{1,8}\w", fullmatch=True) | TEXT,
    "package": MODULE.filter(lambda name: not names.check_package(name)),
    "model_name": MODULE.filter(lambda name: not names.check_model_name(name)),
    "model_class": CLASS.filter(lambda name: not names.check_model_class(name)),
    "accumulate": st.integers(1, 10**6),
}


def chosen(name: str, question: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What may be answered to a question, if the others allow it."""
    if name in TYPED:
        return TYPED[name]
    if question["type"] == "bool":
        return st.booleans()
    computed = {"blocks": [n for n, block in BLOCKS.items() if block.offered], "task": list(TASKS)}
    computed["logger"] = [*LOGGERS, "csv"]
    choices = computed.get(name, question["choices"])
    if isinstance(choices, dict):
        choices = [c["value"] if isinstance(c, dict) else c for c in choices.values()]
    if question.get("multiselect"):
        return st.lists(st.sampled_from(choices), unique=True, max_size=4)
    return st.sampled_from(choices)


ANSWERS = st.fixed_dictionaries(
    {}, optional={name: chosen(name, question) for name, question in questions().items()}
)
WRONG = st.none() | st.integers() | st.floats() | TEXT | st.lists(TEXT) | st.dates()
WRONG_ANSWER = st.dictionaries(st.sampled_from(list(questions())) | TEXT, WRONG, max_size=1)


def is_text(char: str) -> bool:
    """Return whether a reader sees it, or it joins what they see."""
    number = ord(char)
    never = number % 0x10000 >= 0xFFFE or 0xFDD0 <= number <= 0xFDEF
    unseen = unicodedata.category(char) in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
    return char == "\N{ZERO WIDTH JOINER}" or not (never or unseen)


def plain(text: str) -> str:
    """Return what stands in a project for a text that somebody typed."""
    return " ".join("".join(char if is_text(char) else " " for char in text).split())


def markdown_text(source: str) -> str:
    """Return what a reader of one line of Markdown sees, if it is nothing but text."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(source + "\n")
    assert len(tokens) == 3, source
    children = tokens[1].children or []
    assert {token.type for token in children} <= {"text", "text_special"}, source
    return "".join(token.content for token in children)


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8").replace("\r\n", "\n")


def assert_sound(project: Path) -> None:
    """Each file is what its name says, formatted and without a finding."""
    parsers = {
        ".py": lambda text: compile(text, "x", "exec", dont_inherit=True),
        ".toml": tomllib.loads,
        ".yml": yaml.safe_load,
        ".yaml": yaml.safe_load,
        ".ipynb": json.loads,
    }
    for path in project.rglob("*"):
        if path.is_file():
            text = read(path)
            if path.suffix in parsers:
                parsers[path.suffix](text)
    for check in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, "--no-cache", "--quiet", "."]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def assert_arrived(project: Path, answers: dict[str, Any]) -> None:
    """What was typed stands where it belongs, and says what it said."""
    recorded = yaml.safe_load(read(project / ".copier-answers.yml"))
    for name in answers.keys() & {"project_name", "description", "user_name", "user_email"}:
        assert recorded[name] == str(answers[name]), name

    metadata = tomllib.loads(read(project / "pyproject.toml"))["project"]
    assert metadata["description"] == plain(recorded["description"])
    author = metadata.get("authors", [{}])[0]
    assert author.get("name", "") == plain(recorded["user_name"])
    assert author.get("email", recorded["user_email"]) == recorded["user_email"]

    title, _, about, *_ = read(project / "README.md").splitlines()
    assert title.startswith("# ")
    assert markdown_text(title.removeprefix("# ")) == plain(recorded["project_name"])
    assert markdown_text(about) == plain(recorded["description"])

    docstring = ast.get_docstring(ast.parse(read(project / recorded["package"] / "__init__.py")))
    assert " ".join((docstring or "").split()) == plain(recorded["description"]).rstrip(" .") + "."
    holder = plain(recorded["user_name"]) or plain(recorded["project_name"])
    assert recorded["license"] == "Apache-2.0" or holder in read(project / "LICENSE")


def is_refused(template: Path, answers: dict[str, Any]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "project")
        try:
            run_copy(str(template), project, answers, defaults=True, unsafe=True, quiet=True)
        except UserMessageError as error:
            assert str(error) == plain(str(error)) and len(str(error)) < 300
            assert not project.exists()
            return True
        assert_sound(project)
        assert_arrived(project, answers)
        return False


# a render takes half a second: too long to look for the shortest input that fails
RENDERS = settings(
    max_examples=settings().max_examples // 2, phases=(Phase.explicit, Phase.generate)
)


@RENDERS
@given(ANSWERS)
@example({"project_name": "字 " * 60, "description": "字 " * 60, "user_name": "\udcff"})
def test_answers_make_a_sound_project(template: Path, answers: dict[str, Any]) -> None:
    # only a device that lacks something, or a block that the task has already, is a reason
    reasons = answers.get("device", "auto") != "auto" or answers.get("blocks")
    assert not is_refused(template, answers) or reasons


@RENDERS
@given(ANSWERS, WRONG_ANSWER)
def test_wrong_answer_is_refused_in_one_line_or_does_no_harm(
    template: Path, answers: dict[str, Any], wrong: dict[str, Any]
) -> None:
    is_refused(template, answers | wrong)


@settings(max_examples=40 * settings().max_examples)
@given(TEXT)
def test_text_means_the_same_in_every_language(text: str) -> None:
    line = names.one_line(text)
    assert line == plain(text)
    for load in (json.loads, yaml.safe_load, ast.literal_eval):
        assert load(names.quoted(line)) == line
    assert tomllib.loads(f"x = {names.quoted(line)}") == {"x": line}
    assert "\n" not in names.markdown(text)
    if line:
        assert markdown_text(names.markdown(text)) == line
        found = ast.literal_eval(f'"""{names.docstring(text)}."""')
        assert " ".join(found.split()) == line.rstrip(" .") + "."


@settings(max_examples=40 * settings().max_examples)
@given(TEXT)
def test_each_refused_name_comes_with_a_valid_one(text: str) -> None:
    assert names.check_package(names.package_name(text)) == ""
    for check in (names.check_package, names.check_model_name, names.check_model_class):
        if message := check(text):
            assert check(re.split(" try ", message)[-1]) == ""

"""A project of the newest release, and a later one that is made up: see tests/later.py."""

import functools
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from copier import VcsRef, run_copy
from copier._cli import CopierApp

import releases
from conftest import ANSWERS, SAMPLE, SAMPLED, questions
from extensions import context
from extensions.features import LOGGERS, OPTIONS, TASKS, TORCH_BUILDS, owned
from forked import FLAGS
from later import CAME, CHANGES, GONE, make
from migrations import imports
from releases import BEFORE, NEXT, SINCE, answers_of, commit, copy, files, git, update

pytestmark = [pytest.mark.update, pytest.mark.usefixtures("quick_updates")]

# what the later release changes in a project of ANSWERS
CHANGED = {
    *(".copier-answers.yml", "pyproject.toml", "ruff.toml", "train.py"),
    *(f"my_project/engine/{name}.py" for name in (GONE, CAME, "runtime", "writer")),
}
EVERYTHING: dict[str, Any] = {
    **dict.fromkeys(OPTIONS, True),
    "parallel": "ddp",
    "logger": [*LOGGERS],
    "blocks": ["one_hot"],
}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def given(project: Path) -> dict[str, Any]:
    return {name: value for name, value in answers_of(project).items() if name[0] != "_"}


def is_owned(name: str, project: Path) -> bool:
    theirs = owned(answers_of(project))
    return any(f"/{name}/".startswith(f"{path}/") for path in theirs)


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def command(project: Path, *arguments: str) -> Done:
    """Update on the command line, as an owner does, in this process."""
    call = ["copier", "update", "--trust", "--defaults", *arguments]
    with releases.output() as told, redirect_stderr(StringIO()) as errors, chdir(project):
        try:
            _, code = CopierApp.run(call, exit=False)
        except Exception:  # which would end a process
            code = 1
    return Done(code, told[0], errors.getvalue())


def status(project: Path) -> list[str]:
    return git(project, "status", "--porcelain").splitlines()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with its releases."""
    return releases.clone(tmp_path_factory.mktemp("template") / "copier-pytorch")


@pytest.fixture(scope="module")
def rendered(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the version before."""
    return copy(template, tmp_path_factory.mktemp("rendered") / "project", SINCE, **ANSWERS)


@pytest.fixture
def project(rendered: Path, tmp_path: Path) -> Iterator[Path]:
    """The same, to change; after the test, no conflict is in a file of its owner."""
    project = shutil.copytree(rendered, tmp_path / "project")
    yield project
    unmerged = git(project, "diff", "--name-only", "--diff-filter=U").splitlines()
    assert [name for name in unmerged if is_owned(name, project)] == []
    assert not list(project.rglob("*.rej"))


def differing(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """Return the files that only one of them has, and those that are not the same."""
    names = found.keys() | expected.keys()
    return sorted(name for name in names if found.get(name) != expected.get(name))


# the gate: nothing is released that fails here

GATE = [(task, {}) for task in TASKS] + [(task, EVERYTHING) for task in TASKS]


@functools.cache
def fresh_render(template: Path, answers: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return files(copy(template, Path(folder) / "project", NEXT, **json.loads(answers)))


@pytest.mark.parametrize(
    ("task", "answers"),
    [
        pytest.param(
            *(task, answers),
            id=f"{task}{'-everything' if answers else ''}",
            marks=pytest.mark.thorough if answers and task != SAMPLE[0] else (),
        )
        for task, answers in GATE
    ],
)
def test_untouched_project_becomes_a_fresh_render(
    template: Path, tmp_path: Path, task: str, answers: dict[str, Any]
) -> None:
    asked = ANSWERS | {"task": task} | answers
    project = copy(template, tmp_path / "project", SINCE, **asked)
    before = files(project)
    with releases.output() as told:
        update(project)
    assert "What changed in this project" in told[0] and "moved or deleted" not in told[0]
    assert git(project, "diff", "--name-only", "--diff-filter=U") == ""
    theirs = {name: content for name, content in before.items() if is_owned(name, project)}
    fresh = fresh_render(template, json.dumps(asked))
    # no update brings what is the owner's: a block that the task imports only now
    fresh = {n: c for n, c in fresh.items() if n in before or not is_owned(n, project)}
    assert differing(files(project), fresh | theirs) == []
    assert broken_imports(project) == []


def broken_imports(project: Path) -> list[str]:
    modules = imports.Modules(project, answers_of(project)["package"])
    return imports.broken(modules, [n for n in files(project) if n.endswith((".py", ".ipynb"))])


def trained(project: Path, *command: str) -> None:
    call = [sys.executable, *command]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    done = subprocess.run(
        call, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]


@pytest.mark.parametrize("task", SAMPLED)
def test_updated_project_trains_a_step_with_a_flag_that_is_new(
    template: Path, tmp_path: Path, task: str
) -> None:
    project = copy(template, tmp_path / "project", SINCE, **ANSWERS, task=task, logger=["csv"])
    update(project)
    small = runpy.run_path(str(project / "tests" / "small.py"))
    small["make_data"](project)
    trained(project, "train.py", *small["FLAGS"], *FLAGS, "--threads=1", "--max-steps=1")


@pytest.mark.thorough
@pytest.mark.parametrize("task", TASKS)
def test_owner_s_tests_pass_after_an_update(template: Path, tmp_path: Path, task: str) -> None:
    project = copy(template, tmp_path / "project", SINCE, **ANSWERS, task=task, logger=["csv"])
    update(project)
    theirs = [name for name in files(project) if is_owned(name, project)]
    tests = sorted(name for name in theirs if Path(name).name.startswith("test_"))
    assert len(tests) > 3
    for names in (["tests/test_scripts.py", "-k", "is_trained_scored_used_and_exported"], tests):
        trained(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names)


def test_renamed_helper_in_an_owner_s_file_is_found_in_a_project_that_lacks_it(
    template: Path, tmp_path: Path
) -> None:
    newer = shutil.copytree(template, tmp_path / "template")
    for name in ("data.py.jinja", "predict.py.jinja"):
        path = newer / "template" / "tasks" / "image_classification" / name
        edit(path, "ImageFiles", "PictureFiles")
    commit(newer)
    git(newer, "tag", "v1001.0.0")
    project = copy(newer, tmp_path / "project", SINCE, **ANSWERS)
    update(project)
    assert [line.partition(": ")[2] for line in broken_imports(project)] == [
        "my_project.data.PictureFiles"
    ]


def test_question_that_is_new_renders_what_was_there_before(template: Path) -> None:
    config = yaml.safe_load(git(template, "show", f"v{SINCE}:copier.yml"))
    for name, question in questions().items():
        if name not in config:
            assert question["default"] in (False, "none", []), name
    gone = {name for name in config if name[0] != "_"} - questions().keys()
    assert gone == set(), "a question that an answers file has"


def test_change_of_the_later_release_that_finds_no_place_says_so(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import torch\n")
    with pytest.raises(RuntimeError, match="has no .* any more: let the made-up release"):
        make(tmp_path, CHANGES[0])


# the break: no update leads from 0.x to here


@pytest.fixture(scope="module")
def old(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    [release] = BEFORE
    return copy(template, tmp_path_factory.mktemp("old") / "project", release, **ANSWERS)


@pytest.mark.parametrize(
    ("its_commit", "how"),
    [
        *(("tag", ()), ("tag", ("--quiet",)), ("describe", ("--vcs-ref=HEAD",))),
        *(("hash", ("--data=docker=true",)), ("hash", ("--quiet",))),
    ],
)
def test_project_of_0x_is_refused_in_one_line_before_anything_is_written(
    template: Path, old: Path, tmp_path: Path, its_commit: str, how: tuple[str, ...]
) -> None:
    project = shutil.copytree(old, tmp_path / "project")
    [tag] = BEFORE
    if its_commit != "tag":
        template = shutil.copytree(template, tmp_path / "template")
        its_hash = git(template, "rev-parse", "--short", f"v{tag}").strip()
        named = {"hash": its_hash, "describe": f"v{tag}-0-g{its_hash}"}[its_commit]
        if its_commit == "hash":
            git(template, "tag", "--delete", f"v{tag}")
        answers = project / ".copier-answers.yml"
        edit(answers, f"_commit: v{tag}\n", f"_commit: {named}\n")
        edit(answers, f"{answers_of(project)['_src_path']}\n", f"{template}\n")
        commit(project)
    before = files(project)
    done = command(project, *how)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(".copier-answers.yml: this ")
    assert done.stderr.endswith("/docs/from-0.x.md\n")
    assert files(project) == before and status(project) == []


def test_refusal_of_a_project_of_0x_has_no_traceback_and_asks_nothing(old: Path) -> None:
    call = [sys.executable, "-m", "copier", "update", "--trust"]
    done = subprocess.run(call, cwd=old, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "no update leads from 0.x" in done.stderr


# an owner's edits


def test_update_keeps_the_owner_s_edits(template: Path, project: Path, tmp_path: Path) -> None:
    for name in files(project):
        if is_owned(name, project):
            append(project / name, "\n# mine\n")
    deleted = [project / "tests/test_model.py", project / "my_project/layers/residual.py"]
    for path in deleted:
        path.unlink()
    (project / "my_project" / "layers" / "mine.py").write_text("# mine\n")
    edit(project / "train.py", "highest learning rate", "my learning rate")
    edit(project / "pyproject.toml", '  "numpy', '  "einops",\n  "numpy')
    edit(project / "ruff.toml", "line-length = 100", "line-length = 80")
    commit(project)
    before = files(project)

    update(project)

    after = files(project)
    for name in before:
        if is_owned(name, project):
            assert after[name] == before[name], name
    assert not any(path.exists() for path in deleted)
    engine = "my_project/engine/runtime.py"
    assert after[engine] == files(copy(template, tmp_path / "fresh", NEXT, **ANSWERS))[engine]
    for name, line in (
        ("train.py", b"my learning rate"),
        ("pyproject.toml", b'"einops"'),
        ("ruff.toml", b"line-length = 80"),
    ):
        assert line in after[name]
    assert b"args.threads" in after["train.py"] and b"docstring-code" in after["ruff.toml"]
    assert git(project, "diff", "--name-only", "--diff-filter=U") == ""


def test_renamed_package_is_still_updated(project: Path) -> None:
    git(project, "mv", "my_project", "mine")
    for name, content in files(project).items():
        text = content.decode(errors="surrogateescape").replace("my_project", "mine")
        (project / name).write_bytes(text.encode(errors="surrogateescape"))
    append(project / "mine" / "engine" / "order.py", "\n# mine\n")
    commit(project)
    update(project)
    assert {line[3:].replace("mine/", "my_project/") for line in status(project)} == CHANGED


# the closing message


def test_update_changes_what_is_not_the_owner_s_and_tells_what_came(project: Path) -> None:
    done = command(project)
    assert done.returncode == 0, done.stderr
    assert {line[3:] for line in status(project)} == CHANGED
    assert done.stdout == (
        f"""From {SINCE} to {NEXT}.

What changed in this project:
- a change of the loop,
  in two lines (P07: `train.py`, `engine/runtime.py`)

Changed in files that are yours, which no update touches; take it over if you like:
- a mend of a block (P04: `layers/residual.py`)

New, and to be had with copier update --vcs-ref=:current: --data name=value:
- with `docker=true` a smaller image (`Dockerfile`)

Look at it with git diff, then:

    uv run pytest
    git add --all
    git commit -m "Update to copier-pytorch {NEXT}"
"""
    )
    commit(project)
    assert command(project).stdout.startswith(f"Still at {NEXT}.\n\nLook at it with git diff, then")


def test_conflicts_are_in_the_file_and_listed(project: Path) -> None:
    append(project / "ruff.toml", "\n# mine\n")
    commit(project)
    done = command(project)
    assert done.returncode == 0
    assert "look for <<<<<<< in:\nruff.toml\n\nLook at it with git diff, solve" in done.stdout
    text = (project / "ruff.toml").read_text(encoding="utf-8")
    assert text.index("<<<<<<<") < text.index("# mine") < text.index("docstring-code")


def test_rejected_changes_are_listed(project: Path) -> None:
    append(project / "ruff.toml", "\n# mine\n")
    commit(project)
    done = command(project, "--conflict=rej")
    assert "put them in by hand, then delete:\nruff.toml.rej\n\nLook" in done.stdout
    (project / "ruff.toml.rej").unlink()


def test_change_in_a_moved_file_is_told(project: Path) -> None:
    (project / "scripts").mkdir()
    git(project, "mv", "train.py", "scripts/train.py")
    commit(project)
    done = command(project)
    assert "you have moved or deleted:\n- a change of the loop" in done.stdout
    assert not (project / "train.py").exists()


def test_changed_file_that_the_template_drops_is_named_before_and_after_it_is_deleted(
    project: Path,
) -> None:
    dropped = project / "my_project" / "engine" / f"{GONE}.py"
    append(dropped, "MINE = 2\n")
    commit(project)
    done = command(project)
    before, after = done.stdout.split(f"From {SINCE} to {NEXT}.")
    head = git(project, "rev-parse", "--short", "HEAD").strip()
    for told, title in ((before, "This update deletes"), (after, "so deleted, though changed by")):
        line, end = told.split(title)[1].splitlines()[1:3]
        assert line.split()[-1] == f"{head}:./my_project/engine/{GONE}.py" and not end
        shown = git(project, *line.split()[1:]).splitlines()
        assert [text for text in shown if text[0] in "+-"][2:] == ["+MINE = 2"]
    assert not dropped.exists()
    assert "MINE = 2" not in command(project).stdout


def test_unchanged_file_that_the_template_drops_goes_with_its_folder(
    template: Path, tmp_path: Path
) -> None:
    newer = shutil.copytree(template, tmp_path / "template")
    part = newer / "template" / "project" / "parts" / "part.py"
    part.parent.mkdir()
    part.write_text("PART = 1\n")
    commit(newer)
    git(newer, "tag", "v1001.0.0")
    project = copy(newer, tmp_path / "project", "1001.0.0", **ANSWERS)
    part.unlink()
    commit(newer)
    git(newer, "tag", "v1002.0.0")
    done = command(project)
    assert done.returncode == 0 and "delete" not in done.stdout
    assert not (project / "parts").exists()


def test_changed_file_that_an_answer_takes_away_is_named(template: Path, tmp_path: Path) -> None:
    project = copy(template, tmp_path / "project", NEXT, **ANSWERS, docker=True, notebook=True)
    append(project / "Dockerfile", "ENV MINE=1\n")
    commit(project)
    done = command(project, "--vcs-ref=:current:", "--data=docker=no", "--data=notebook=no")
    line = done.stdout.split("so deleted, though changed by")[1].splitlines()[1]
    assert line.endswith(":./Dockerfile")
    assert "+ENV MINE=1" in git(project, *line.split()[1:]).splitlines()
    assert not (project / "Dockerfile").exists()
    assert not (project / "notebooks").exists()


def test_import_that_finds_nothing_any_more_is_told_with_where_its_name_is(project: Path) -> None:
    (project / "mine.py").write_text("from my_project.engine.inspection import Inspection, fail\n")
    commit(project)
    told = command(project).stdout.split("Imports that find nothing any more")[1].splitlines()[1:3]
    assert told == [
        f"mine.py:1: my_project.engine.{GONE}.Inspection, now in my_project.engine.{CAME}",
        f"mine.py:1: my_project.engine.{GONE}.fail, now in my_project.engine.errors",
    ]


def test_entry_that_touches_only_the_answers_file_counts_where_an_answer_changed(
    project: Path,
) -> None:
    done = command(project, "--data=docker=true")
    assert "- a change of no file but this (`.copier-answers.yml`)" in done.stdout


def test_update_of_a_project_in_a_folder_of_a_repository(template: Path, tmp_path: Path) -> None:
    project = copy(template, tmp_path / "all" / "project", SINCE, **ANSWERS)
    shutil.rmtree(project / ".git")
    git(tmp_path / "all", "init", "--quiet")
    commit(tmp_path / "all")
    append(project / "ruff.toml", "\n# mine\n")
    commit(tmp_path / "all")
    done = command(project)
    assert done.returncode == 0, done.stderr
    assert "in two lines (P07: `train.py`, `engine/runtime.py`)" in done.stdout
    assert "look for <<<<<<< in:\nruff.toml\n" in done.stdout


def test_closing_message_never_ends_an_update(template: Path, project: Path) -> None:
    arguments = [sys.executable, str(template / "migrations" / "after_update.py"), "no such file"]
    ends = {"VERSION_PEP440_FROM": "1", "VERSION_PEP440_TO": "2"}
    done = subprocess.run(
        arguments, cwd=project, env=os.environ | ends, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith("The update is done, but what it did can't be told")
    assert status(project) == []


# an answer is changed later

LATER: dict[str, list[Any]] = {
    "parallel": ["ddp"],
    "accumulate": [4],
    "logger": [["mlflow"], [*LOGGERS], ["wandb"], ["csv"]],
    "torch_source": [*TORCH_BUILDS],
    "amp": ["none", "fp16"],
    "device": ["cpu", "cuda"],
    "python": ["3.12", "3.14"],
    "license": ["Apache-2.0", "proprietary"],
    "project_name": ["Other"],
    "description": ["It is another."],
    "user_name": ["Bob"],
    "user_email": ["bob@example.com"],
    "updates": ["github", "renovate"],
    "blocks": [["attention", "f1"], ["dice", "f1"]],
    **{
        name: [not question["default"]]
        for name, question in questions().items()
        if question["type"] == "bool"
    },
}
SINGLY = [{name: value} for name, values in LATER.items() for value in values]
TOGETHER = [
    {name: values[number] for name, values in LATER.items() if number < len(values)}
    for number in range(max(map(len, LATER.values())))
]


def test_each_option_is_among_those_changed_later() -> None:
    assert LATER.keys() | context.FOR_GOOD.keys() == questions().keys()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(TOGETHER[:1], id="once"),
        pytest.param(TOGETHER, id="together", marks=pytest.mark.thorough),
        pytest.param(SINGLY, id="singly", marks=pytest.mark.thorough),
    ],
)
def test_answers_changed_later_and_back_bring_and_take_exactly_what_is_theirs(
    template: Path, tmp_path: Path, changes: list[dict[str, Any]]
) -> None:
    project = copy(template, tmp_path / "project", NEXT, **ANSWERS)
    first, answers = files(project), given(project)
    seeds = first
    for number, later in enumerate(changes):
        update(project, data=later, vcs_ref=VcsRef.CURRENT)
        assert given(project) == given(project) | later
        fresh = files(copy(template, tmp_path / f"fresh-{number}", NEXT, **given(project)))
        # what is the owner's is as it came: README.md says what the answers were then
        seeds = {name: seeds.get(name, content) for name, content in fresh.items()}
        theirs = {name: seeds[name] for name in fresh if is_owned(name, project)}
        assert differing(files(project), fresh | theirs) == [], later
        commit(project)
    update(project, data=answers, vcs_ref=VcsRef.CURRENT)
    assert differing(files(project), first) == []


def test_what_arrives_later_is_the_owner_s_from_then_on(template: Path, project: Path) -> None:
    later = {"blocks": ["attention"]}
    update(project, data=later, vcs_ref=VcsRef.CURRENT)
    commit(project)
    attention = project / "my_project" / "layers" / "attention.py"
    attention.unlink()
    append(project / "my_project" / "ops" / "rotary.py", "# mine\n")
    commit(project)
    update(project)
    assert not attention.exists()
    assert (project / "my_project" / "ops" / "rotary.py").read_text().endswith("# mine\n")


def test_block_that_is_no_longer_asked_for_stays_if_it_was_changed(
    template: Path, tmp_path: Path
) -> None:
    asked = {"blocks": ["attention", "one_hot"], "notebook": True}
    project = copy(template, tmp_path / "project", NEXT, **ANSWERS | asked)
    for name in ("tests/test_attention.py", "notebooks/explore.ipynb"):
        append(project / name, "\n")
    # of the same name as one that was not asked for
    own = project / "my_project" / "losses" / "dice.py"
    own.write_text("# mine\n")
    commit(project)
    before = files(project)
    done = command(project, "--vcs-ref=:current:", "--data=blocks=[]", "--data=notebook=no")
    kept = ["my_project/layers/attention.py", "my_project/ops/rotary.py", "notebooks/explore.ipynb"]
    kept += ["tests/test_attention.py", "tests/test_rotary.py"]
    assert "\n".join(["or what needs them:", *kept, ""]) in done.stdout
    gone = {"my_project/ops/one_hot.py", "tests/test_one_hot.py"}
    assert before.keys() - files(project).keys() == gone
    assert own.read_text() == "# mine\n"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "task" else pytest.mark.thorough)
        for name in context.FOR_GOOD
    ],
)
def test_answer_that_the_owner_s_files_are_written_for_can_not_change(
    project: Path, name: str
) -> None:
    others = {"task": "tabular", "targets": "number", "model_class": "Other"}
    value = others.get(name, "other")
    done = command(project, f"--data={name}={value}")
    assert done.returncode == 1
    # Copier names the version and what it runs before
    lines = [line for line in done.stderr.splitlines() if line and " > Running" not in line]
    assert lines[1].startswith(f"{name}: ")
    assert f"can't become {value} by an update; " in done.stderr
    assert len(lines) == 2
    assert status(project) == []


# what goes wrong


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: image_classification", "task: cooking", "task=cooking: use image_classification,"),
        ("task: image_classification\n", "", "task is missing; git log has the file as it was"),
        ("accumulate: 1", "accumulate: many", "accumulate=many: use a whole number"),
        ("docker: false", "docker: perhaps", "docker=perhaps: use yes or no"),
        ("- tensorboard", "- paper", "logger=['paper']: use tensorboard, wandb, mlflow, csv"),
        ("package: my_project", "package: import", "package=import: this name is taken"),
        ("device: auto", "device: {a: b}", "device={'a': 'b'}: use text, a number"),
    ],
)
def test_nonsense_in_the_answers_file_is_one_line(
    project: Path, old: str, new: str, message: str
) -> None:
    edit(project / ".copier-answers.yml", old, new)
    commit(project)
    done = command(project)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line]
    assert len(told) == 2 and told[1].startswith(f"the answers file: {message}")
    assert status(project) == []


def break_migration(template: Path) -> None:
    edit(
        template / "copier.yml",
        "_migrations:\n",
        "_migrations:\n  - command: exit 3\n    when: true\n",
    )


def break_file(template: Path) -> None:
    """Let a file fail to render that comes late, after others were written."""
    append(template / "template" / "project" / "train.py.jinja", "{{ nothing_of_the_kind }}\n")


@pytest.mark.parametrize("fault", [break_migration, break_file])
def test_failed_update_leaves_the_project_as_it_was(
    template: Path, tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    template = shutil.copytree(template, tmp_path / "template")
    project = copy(template, tmp_path / "project", SINCE, **ANSWERS)
    before = files(project)
    fault(template)
    commit(template)
    git(template, "tag", "--force", f"v{NEXT}")
    assert command(project).returncode != 0
    # the way back that docs/updating.md names
    git(project, "restore", "--staged", "--worktree", ".")
    git(project, "clean", "--force", "-d")
    assert files(project) == before


def test_project_with_changes_or_without_git_is_refused_in_one_line(project: Path) -> None:
    append(project / "train.py", "# mine\n")
    for reason in ("dirty", "git-tracked"):
        done = command(project)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1 and reason in done.stderr
        hidden = project.with_name("git")
        if reason == "dirty":
            (project / ".git").rename(hidden)
    hidden.rename(project / ".git")


def test_template_without_tags_can_be_updated_from(tmp_path: Path) -> None:
    template = releases.copy_parts(tmp_path / "copier-pytorch")
    git(template, "init", "--quiet")
    commit(template)
    how: dict[str, Any] = {"defaults": True, "unsafe": True, "quiet": True, "vcs_ref": "HEAD"}
    run_copy(str(template), tmp_path / "project", ANSWERS, **how)
    project = tmp_path / "project"
    git(project, "init", "--quiet")
    commit(project)
    append(template / "template" / "project" / "ruff.toml", "# newer\n")
    commit(template)
    update(project, vcs_ref="HEAD")
    assert (project / "ruff.toml").read_text().endswith("# newer\n")


def test_project_made_from_a_relative_path_can_be_updated(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(template, tmp_path / "template")
    monkeypatch.chdir(tmp_path)
    project = copy(Path("template"), tmp_path / "project", SINCE, **ANSWERS)
    done = command(project)
    assert done.returncode == 0, done.stderr
    assert "ruff.toml" in {line[3:] for line in status(project)}

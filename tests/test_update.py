"""A project of each release and the template as it is now."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import yaml
from copier import VcsRef, run_copy

import releases
from conftest import ANSWERS, SAMPLE, questions
from extensions import context
from extensions.features import KEPT, LOGGERS, OPTIONS, TASKS, TORCH_BUILDS, kept, owned
from migrations import imports
from releases import NEXT, RELEASES, answers_of, commit, copy, files, git, update

pytestmark = pytest.mark.update

FIRST, *_, LAST = RELEASES
# what of a text file of each kind differs in NEXT, so that there is something to merge
NEWER = "\n# newer\n"
CHANGED = (
    *("project/{{package}}/engine/errors.py", "scripts/train.py.jinja", "project/ruff.toml"),
    *("tasks/image_classification/model.py.jinja", "project/{{package}}/layers/residual.py"),
)
# and what it no longer has
DROPPED = ("{{package}}/engine/old_part.py", "tests/engine/test_old_part.py")
CHANGELOG = """# Changelog

## Unreleased

- a change of the loop,
  in two lines (P07: `train.py`, `engine/errors.py`)
- a change of no file but this (`.copier-answers.yml`)
- a mend of a block (P04: `layers/residual.py`)
- what another task has (P04: `layers/transformer_block.py`)
- with `docker=true` a smaller image (`Dockerfile`)

## {0}, 2026-01-01

- an older change (P07: `train.py`)
"""
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


def command(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Update on the command line, as an owner does."""
    call = [sys.executable, "-m", "copier", "update", "--trust", "--defaults", *arguments]
    return subprocess.run(call, cwd=project, capture_output=True, text=True, check=False)


def status(project: Path) -> list[str]:
    return git(project, "status", "--porcelain").splitlines()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with its releases, and as it is now."""
    return releases.clone(tmp_path_factory.mktemp("template") / "copier-pytorch")


@pytest.fixture(scope="module")
def changed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with a change in a file of each owner between the last two versions."""
    folder = tmp_path_factory.mktemp("changed") / "copier-pytorch"
    shutil.copytree(template, folder)
    for name in DROPPED:
        (folder / "template" / "project" / name).parent.mkdir(exist_ok=True)
        (folder / "template" / "project" / name).write_text("PART = 1\n")
    commit(folder)
    git(folder, "tag", "v999.0.0")
    for name in DROPPED:
        (folder / "template" / "project" / name).unlink()
    for name in CHANGED:
        append(folder / "template" / name, NEWER)
    (folder / "CHANGELOG.md").write_text(CHANGELOG.format("999.0.0"), encoding="utf-8")
    commit(folder)
    git(folder, "tag", "--force", f"v{NEXT}")
    return folder


@pytest.fixture(scope="module")
def rendered(changed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the version before."""
    return copy(changed, tmp_path_factory.mktemp("rendered") / "project", "999.0.0", **ANSWERS)


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

GATE = [(release, task, {}) for release in RELEASES for task in TASKS]
GATE += [(release, task, EVERYTHING) for release in RELEASES for task in SAMPLE]
# each task in turn of another release; with every option, the first and the last release
SHORT = {(release, task) for release, task in zip(cycle(RELEASES), TASKS, strict=False)}
SHORT_EVERYTHING = {*zip((FIRST, LAST), SAMPLE, strict=True)}


@functools.cache
def fresh_render(template: Path, answers: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return files(copy(template, Path(folder) / "project", NEXT, **json.loads(answers)))


@pytest.mark.parametrize(
    ("release", "task", "answers"),
    [
        pytest.param(
            *(release, task, answers),
            id=f"{task}-{release}{'-everything' if answers else ''}",
            marks=()
            if (release, task) in (SHORT_EVERYTHING if answers else SHORT)
            else pytest.mark.thorough,
        )
        for release, task, answers in GATE
    ],
)
def test_untouched_project_of_a_release_becomes_a_fresh_render(
    template: Path,
    tmp_path: Path,
    release: str,
    task: str,
    answers: dict[str, Any],
    capfd: pytest.CaptureFixture[str],
) -> None:
    asked = known_to(template, release, ANSWERS | {"task": task} | answers)
    project = copy(template, tmp_path / "project", release, **asked)
    before = files(project)
    update(project)
    told = capfd.readouterr().out
    assert "What changed in this project" in told and "moved or deleted" not in told
    assert git(project, "diff", "--name-only", "--diff-filter=U") == ""
    theirs = {name: content for name, content in before.items() if is_owned(name, project)}
    fresh = fresh_render(template, json.dumps(asked))
    # no update brings what is the owner's: a block that the task imports only now
    fresh = {n: c for n, c in fresh.items() if n in before or not is_owned(n, project)}
    assert differing(files(project), fresh | theirs | kept_for(theirs, project)) == []
    assert broken_imports(project) == []


def known_to(template: Path, release: str, answers: dict[str, Any]) -> dict[str, Any]:
    """Return the answers to what a release asks."""
    known = yaml.safe_load(git(template, "show", f"v{release}:copier.yml"))
    return {name: answer for name, answer in answers.items() if name in known}


def imports_of(project: Path, names: Iterable[str]) -> list[imports.Import]:
    modules = imports.Modules(project, answers_of(project)["package"])
    code = [name for name in names if name.endswith((".py", ".ipynb"))]
    return [found for name in code for found in modules.of_file(name)]


def broken_imports(project: Path) -> list[str]:
    modules = imports.Modules(project, answers_of(project)["package"])
    return imports.broken(modules, [n for n in files(project) if n.endswith((".py", ".ipynb"))])


def kept_for(theirs: Iterable[str], project: Path) -> dict[str, bytes]:
    """Return the modules of older releases that files of these names import."""
    answers = answers_of(project)
    engine = f"{answers['package']}.engine"
    found = {
        text
        for one in imports_of(project, theirs)
        for text in (one.module, f"{one.module}.{one.name}")
    }
    names = [name for name in kept(answers) if f"{engine}.{name}" in found]
    source = releases.ROOT / "template" / "project" / "{{package}}" / "engine"
    return {
        f"{answers['package']}/engine/{name}.py": (source / f"{name}.py").read_bytes()
        for name in names
    }


@pytest.mark.parametrize(
    ("release", "task"),
    [
        pytest.param(
            *(release, task),
            id=f"{task}-{release}",
            marks=() if release == FIRST and task in SAMPLE else pytest.mark.thorough,
        )
        for release in RELEASES
        for task in TASKS
    ],
)
def test_updated_project_trains_and_its_owner_s_tests_pass(
    template: Path, tmp_path: Path, release: str, task: str
) -> None:
    project = copy(template, tmp_path / "project", release, **ANSWERS, task=task, logger=["csv"])
    update(project)
    theirs = [name for name in files(project) if is_owned(name, project)]
    tests = sorted(name for name in theirs if Path(name).name.startswith("test_"))
    assert len(tests) > 3
    for names in (["tests/test_scripts.py", "-k", "is_trained_scored_used_and_exported"], tests):
        call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100"}
        done = subprocess.run(
            call, cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-5000:]


def test_renamed_helper_in_an_owner_s_file_is_found_in_older_projects(
    template: Path, tmp_path: Path
) -> None:
    newer = shutil.copytree(template, tmp_path / "template")
    for name in ("data.py.jinja", "predict.py.jinja"):
        path = newer / "template" / "tasks" / "image_classification" / name
        edit(path, "ImageFiles", "PictureFiles")
    commit(newer)
    git(newer, "tag", "v1001.0.0")
    project = copy(newer, tmp_path / "project", FIRST, **ANSWERS)
    update(project)
    assert [line.partition(": ")[2] for line in broken_imports(project)] == [
        "my_project.data.PictureFiles"
    ]


def test_module_kept_for_an_older_project_stays_with_it_and_comes_to_no_other(
    template: Path, tmp_path: Path
) -> None:
    newer = shutil.copytree(template, tmp_path / "template")
    names = [f"{{{{package}}}}/engine/{name}.py" for name in KEPT]
    for name in names:
        append(newer / "template" / "project" / name, NEWER)
    commit(newer)
    git(newer, "tag", "v1001.0.0")
    answers = ANSWERS | {"task": "object_detection"}
    older = copy(template, tmp_path / "older", FIRST, **answers)
    new = copy(template, tmp_path / "new", NEXT, **answers)
    for source in (template, newer, newer):
        for project in (older, new):
            edit(
                project / ".copier-answers.yml",
                f"{answers_of(project)['_src_path']}\n",
                f"{source}\n",
            )
            commit(project)
            update(project)
            commit(project)
        for name in KEPT:
            path = older / "my_project" / "engine" / f"{name}.py"
            assert path.read_text(encoding="utf-8").endswith(NEWER) == (source == newer)
            assert not (new / "my_project" / "engine" / path.name).exists()


def test_question_that_is_new_renders_what_was_there_before(template: Path) -> None:
    for release in RELEASES:
        config = yaml.safe_load(git(template, "show", f"v{release}:copier.yml"))
        for name, question in questions().items():
            if name not in config:
                assert question["default"] in (False, "none", []), name
        gone = {name for name in config if name[0] != "_"} - questions().keys()
        assert gone == set(), "a question that an answers file has"


# an owner's edits


def test_update_changes_what_is_not_the_owner_s(project: Path) -> None:
    update(project)
    theirs = {"my_project/engine/errors.py", "train.py", "ruff.toml"}
    theirs |= {name.replace("{{package}}", "my_project") for name in DROPPED}
    assert {line[3:] for line in status(project)} == theirs | {".copier-answers.yml"}


def test_update_keeps_the_owner_s_edits(changed: Path, project: Path, tmp_path: Path) -> None:
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
    errors = "my_project/engine/errors.py"
    assert after[errors] == files(copy(changed, tmp_path / "fresh", NEXT, **ANSWERS))[errors]
    for name, line in (
        ("train.py", b"my learning rate"),
        ("pyproject.toml", b'"einops"'),
        ("ruff.toml", b"line-length = 80"),
    ):
        assert line in after[name]
    assert NEWER.encode() in after["train.py"] and NEWER.encode() in after["ruff.toml"]
    assert git(project, "diff", "--name-only", "--diff-filter=U") == ""


def test_renamed_package_is_still_updated(project: Path) -> None:
    git(project, "mv", "my_project", "mine")
    for name, content in files(project).items():
        text = content.decode(errors="surrogateescape").replace("my_project", "mine")
        (project / name).write_bytes(text.encode(errors="surrogateescape"))
    append(project / "mine" / "engine" / "order.py", "\n# mine\n")
    commit(project)
    update(project)
    theirs = {"mine/engine/errors.py", "train.py", "ruff.toml"}
    theirs |= {name.replace("{{package}}", "mine") for name in DROPPED}
    assert {line[3:] for line in status(project)} == theirs | {".copier-answers.yml"}


# the closing message


def test_update_tells_what_came_and_what_to_do(project: Path) -> None:
    done = command(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"""From 999.0.0 to {NEXT}.

What changed in this project:
- a change of the loop,
  in two lines (P07: `train.py`, `engine/errors.py`)

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
    assert text.index("<<<<<<<") < text.index("# mine") < text.index("# newer")


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
    dropped = [name.replace("{{package}}", "my_project") for name in DROPPED]
    for name in dropped:
        append(project / name, "MINE = 2\n")
    commit(project)
    done = command(project)
    before, after = done.stdout.split(f"From 999.0.0 to {NEXT}.")
    head = git(project, "rev-parse", "--short", "HEAD").strip()
    for told, title in ((before, "This update deletes"), (after, "so deleted, though changed by")):
        lines = told.split(title)[1].splitlines()[1:3]
        assert [line.split()[-1] for line in lines] == [f"{head}:./{name}" for name in dropped]
        for line in lines:
            shown = git(project, *line.split()[1:]).splitlines()
            assert [text for text in shown if text[0] in "+-"][2:] == ["+MINE = 2"]
    assert not any((project / name).exists() for name in dropped)
    assert "MINE = 2" not in command(project).stdout


def test_unchanged_file_that_the_template_drops_goes_with_its_folder(project: Path) -> None:
    done = command(project)
    assert "delete" not in done.stdout
    assert not (project / "my_project/engine/old_part.py").exists()
    assert not (project / "tests" / "engine").exists()


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
    (project / "mine.py").write_text("from my_project.engine.old_part import PART, fail\n")
    commit(project)
    told = command(project).stdout.split("Imports that find nothing any more")[1].splitlines()[1:3]
    assert told == [
        "mine.py:1: my_project.engine.old_part.PART",
        "mine.py:1: my_project.engine.old_part.fail, now in my_project.engine.errors",
    ]


def test_entry_that_touches_only_the_answers_file_counts_where_an_answer_changed(
    project: Path,
) -> None:
    done = command(project, "--data=docker=true")
    assert "- a change of no file but this (`.copier-answers.yml`)" in done.stdout


def test_update_of_a_project_in_a_folder_of_a_repository(changed: Path, tmp_path: Path) -> None:
    project = copy(changed, tmp_path / "all" / "project", "999.0.0", **ANSWERS)
    shutil.rmtree(project / ".git")
    git(tmp_path / "all", "init", "--quiet")
    commit(tmp_path / "all")
    append(project / "ruff.toml", "\n# mine\n")
    commit(tmp_path / "all")
    done = command(project)
    assert done.returncode == 0, done.stderr
    assert "in two lines (P07: `train.py`, `engine/errors.py`)" in done.stdout
    assert "look for <<<<<<< in:\nruff.toml\n" in done.stdout


def test_closing_message_never_ends_an_update(changed: Path, project: Path) -> None:
    arguments = [sys.executable, str(changed / "migrations" / "after_update.py"), "no such file"]
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
    "blocks": [["attention", "focal"], ["dice", "focal"]],
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
        pytest.param(TOGETHER, id="together"),
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


def test_what_arrives_later_is_the_owner_s_from_then_on(changed: Path, project: Path) -> None:
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
    asked = {"blocks": ["attention", "focal"], "notebook": True}
    project = copy(template, tmp_path / "project", NEXT, **ANSWERS | asked)
    for name in ("tests/test_attention.py", "notebooks/explore.ipynb"):
        append(project / name, "\n")
    own = (
        project / "my_project" / "losses" / "dice.py"
    )  # of the same name as one that was not asked for
    own.write_text("# mine\n")
    commit(project)
    before = files(project)
    done = command(project, "--vcs-ref=:current:", "--data=blocks=[]", "--data=notebook=no")
    kept = ["my_project/layers/attention.py", "my_project/ops/rotary.py", "notebooks/explore.ipynb"]
    kept += ["tests/test_attention.py", "tests/test_rotary.py"]
    assert "\n".join(["or what needs them:", *kept, ""]) in done.stdout
    gone = {"my_project/ops/focal.py", "tests/test_focal.py"}
    assert before.keys() - files(project).keys() == gone
    assert own.read_text() == "# mine\n"


@pytest.mark.parametrize("name", context.FOR_GOOD)
def test_answer_that_the_owner_s_files_are_written_for_can_not_change(
    project: Path, name: str
) -> None:
    value = "tabular" if name == "task" else "Other" if name == "model_class" else "other"
    done = command(project, f"--data={name}={value}")
    assert done.returncode == 1
    # Copier names the version and what it runs before
    lines = [line for line in done.stderr.splitlines() if " > Running task" not in line]
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
    told = done.stderr.splitlines()
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
    changed: Path, tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    template = shutil.copytree(changed, tmp_path / "template")
    project = copy(template, tmp_path / "project", "999.0.0", **ANSWERS)
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
    changed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(changed, tmp_path / "template")
    monkeypatch.chdir(tmp_path)
    project = copy(Path("template"), tmp_path / "project", "999.0.0", **ANSWERS)
    done = command(project)
    assert done.returncode == 0, done.stderr
    assert "ruff.toml" in {line[3:] for line in status(project)}

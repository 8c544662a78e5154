"""What becomes of owners' edits in an update: a sample of benchmarks/updates.py."""

import shutil
from pathlib import Path
from random import Random

import pytest

from benchmarks.updates import ANSWERS, OWNER, Files, Study, check, compiles, history
from conftest import SAMPLED, Render
from edits import KINDS, NoPlaceError, add_after, moved_script, reformatted_train, renamed_package
from releases import NEXT, SINCE, clone, commit, copy, files, git, output, update

pytestmark = [pytest.mark.update, pytest.mark.usefixtures("quick_updates")]

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(1, 9))]
BASE = {"train.py": b"one\ntwo\nthree\nfour\nfive\n", "my/data.py": b"a = 1\n", "ruff.toml": b"x\n"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone(tmp_path_factory.mktemp("clone") / "copier-pytorch")
    git(folder, "gc", "--quiet")  # each update clones it
    return folder


@pytest.fixture(scope="module")
def study(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    return Study(repository, folder, SINCE, "image_classification")


@pytest.mark.parametrize("task", SAMPLED)
def test_each_kind_of_edit_changes_a_project_and_leaves_python(
    render: Render, task: str, tmp_path: Path
) -> None:
    project = shutil.copytree(render(**ANSWERS, task=task), tmp_path / "project")
    git(project, "init", "--quiet")
    commit(project)
    before = files(project)
    for edit in OWNER:
        edit(project, ANSWERS["package"], Random(1))
        after = files(project)
        changed = {name for name in after if after[name] != before.get(name)}
        assert changed or len(after) < len(before), edit.__name__
        assert [name for name in changed if not compiles(name, after)] == [], edit.__name__
        git(project, "reset", "--quiet", "--hard")
        git(project, "clean", "-d", "--force", "--quiet")


def test_edit_without_a_place_says_so(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    (tmp_path / ".copier-answers.yml").write_text("model_class: Net\nmodel_name: net\n")
    # an empty file can be moved and formatted
    for edit in {*KINDS["shared"]} - {moved_script, reformatted_train}:
        with pytest.raises(NoPlaceError):
            edit(tmp_path, "my_project", Random(1))


@pytest.mark.parametrize("seed", SEEDS)
def test_history_of_edits_survives_an_update(study: Study, tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    outcome = study.try_update(tmp_path / "project", history(rng, list(OWNER)), rng)
    assert outcome is None or outcome.faults == []


def test_edits_in_files_of_the_owner_s_never_conflict(study: Study, tmp_path: Path) -> None:
    outcome = study.try_update(tmp_path / "project", list(KINDS["yours"]), Random(1))
    assert outcome
    assert (outcome.conflicts, outcome.faults) == ([], [])
    assert len(outcome.edits) >= len(KINDS["yours"]) - 1


def test_package_renamed_by_the_recipe_is_updated(study: Study, tmp_path: Path) -> None:
    outcome = study.try_update(tmp_path / "project", [renamed_package], Random(1))
    assert outcome
    assert (outcome.conflicts, outcome.faults) == ([], [])


def test_conflict_is_in_the_file_and_in_the_closing_list(repository: Path, tmp_path: Path) -> None:
    later = tmp_path / "copier-pytorch"
    shutil.copytree(repository, later)
    git(later, "switch", "--quiet", "--create", "later", f"v{NEXT}")
    script = later / "template" / "scripts" / "train.py.jinja"
    line = "            scheduler.step()\n"
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace(line, f"{line}            theirs()\n"), encoding="utf-8")
    commit(later)
    git(later, "tag", "v1001.0.0")

    project = copy(later, tmp_path / "project", NEXT, **ANSWERS)
    add_after(project / "train.py", "mine()", "scheduler.step()")
    commit(project)
    with output() as told:
        update(project)
    text = (project / "train.py").read_text(encoding="utf-8")
    mine, _, theirs = text.partition("<<<<<<< before")[2].partition("=======")
    assert "mine()" in mine
    assert "theirs()" in theirs.partition(">>>>>>> after")[0]
    assert git(project, "diff", "--name-only", "--diff-filter=U") == "train.py\n"
    assert "train.py" in told[0].split()


# what the check of an update would notice


def fault(before: Files, fresh: Files, after: Files, *conflicts: str) -> str:
    return "\n".join(check(BASE, before, fresh, after, {"my"}, [*conflicts]))


def test_owner_s_file_that_was_touched_is_a_fault() -> None:
    before, after = BASE | {"my/data.py": b"a = 2\n"}, BASE
    assert fault(before, BASE, after) == "my/data.py: the owner's, and not as it was"
    assert fault(before, BASE, before) == ""
    assert fault(BASE | {"mine.py": b""}, BASE, BASE) == "mine.py: the owner's, and not as it was"


def test_deleted_file_that_comes_back_is_a_fault() -> None:
    before = {name: content for name, content in BASE.items() if name != "ruff.toml"}
    assert fault(before, BASE, BASE) == "ruff.toml: deleted, and there again"
    assert fault(before, BASE, before) == ""


def test_lost_line_is_a_fault_also_where_a_file_conflicts() -> None:
    before = BASE | {"train.py": BASE["train.py"] + b"mine\n"}
    fresh = BASE | {"train.py": b"zero\n" + BASE["train.py"]}
    assert fault(before, fresh, fresh) == "train.py: lost ['mine']"
    half = {"train.py": b"<<<<<<< before updating\n>>>>>>> after updating\n" + fresh["train.py"]}
    assert "lost" in fault(before, fresh, BASE | half, "train.py")


def test_line_in_another_place_is_a_fault() -> None:
    before = BASE | {"train.py": BASE["train.py"] + b"mine\n"}
    fresh = BASE | {"train.py": b"zero\n" + BASE["train.py"]}
    assert fault(before, fresh, BASE | {"train.py": fresh["train.py"] + b"mine\n"}) == ""
    moved = BASE | {"train.py": b"mine\n" + fresh["train.py"]}
    assert fault(before, fresh, moved) == "train.py: not what git's three-way merge makes of it"


def test_change_of_the_template_s_that_did_not_arrive_is_a_fault() -> None:
    fresh = BASE | {"ruff.toml": b"y\n"}
    assert fault(BASE, fresh, BASE) == "ruff.toml: not what git's three-way merge makes of it"


def test_edited_file_that_the_template_drops_is_kept() -> None:
    fresh = {name: content for name, content in BASE.items() if name != "ruff.toml"}
    before = BASE | {"ruff.toml": b"mine\n"}
    reason = "ruff.toml: no longer the template's, and not left as it was"
    assert fault(before, fresh, fresh) == reason
    assert fault(before, fresh, before) == fault(BASE, fresh, fresh) == ""


def test_markers_that_git_does_not_list_are_a_fault() -> None:
    marked = b"<<<<<<< before updating\nx\n=======\n>>>>>>> after updating\n"
    assert "markers" in fault(BASE, BASE, BASE | {"ruff.toml": marked})
    assert "markers" in fault(BASE, BASE, BASE, "ruff.toml")


def test_same_seed_is_the_same_history() -> None:
    def names(seed: int) -> list[str]:
        return [edit.__name__ for edit in history(Random(seed), list(OWNER))]

    assert names(1) == names(1)
    assert len({tuple(names(seed)) for seed in range(9)}) > 1

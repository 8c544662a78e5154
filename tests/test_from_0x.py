"""What docs/from-0.x.md says is followed, by a project of 0.3.0 and its checkpoint."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ANSWERS
from forked import FLAGS
from releases import BEFORE, NEXT, ROOT, answers_of, clone, copy, git

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the commands are for a POSIX shell")

PAGE = (ROOT / "docs" / "from-0.x.md").read_text(encoding="utf-8")
TRAIN = ("train.py", *FLAGS, "--max-steps=2", "--eval-every=2")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("template") / "copier-pytorch")


def fenced(number: int, **names: str) -> str:
    """Return the commands of a block of the page, with what is ours instead of its examples."""
    text = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[number]
    names |= {"uvx --with copier-template-extensions": f"{sys.executable} -m"}
    names |= {"uv run": sys.executable, "network.py": names.pop("model")}
    names["https://github.com/copier-pytorch/copier-pytorch"] = names.pop("template")
    for old, new in names.items():
        text = text.replace(old, new)
    return text


def run(place: Path, command: str) -> str:
    surroundings = os.environ | {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com"}
    surroundings |= {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.com"}
    surroundings |= {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["sh", "-ec", command],
        cwd=place,
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def small(project: Path) -> list[str]:
    """Make the small data of a project in its folder; return the flags that read it."""
    content = runpy.run_path(str(project / "tests" / "small.py"))
    content["make_data"](project)
    return [*content["FLAGS"]]


@pytest.mark.parametrize("task", ["custom", "image_to_image"])
def test_page_leads_from_an_old_project_to_a_new_one_that_goes_on_from_its_weights(
    template: Path, tmp_path: Path, task: str
) -> None:
    [release] = BEFORE
    old = copy(template, tmp_path / "old", release, **ANSWERS, task=task, logger=["csv"])
    was = answers_of(old)
    ours = {"template": str(template), "model": f"{was['model_name']}.py"}
    network = old / was["package"] / ours["model"]
    network.write_text(network.read_text(encoding="utf-8") + "\nMINE = 1\n", encoding="utf-8")
    run(old, " ".join([sys.executable, *TRAIN, *small(old), "--run-dir=runs/first"]))

    run(tmp_path, fenced(0, **ours))
    new = tmp_path / "new"
    now = answers_of(new)
    assert now["_commit"] == f"v{NEXT}"
    assert {name: now[name] for name in was if name[0] != "_"} == {
        name: value for name, value in was.items() if name[0] != "_"
    }
    run(new, fenced(1, **ours))
    assert "MINE = 1" in (new / now["package"] / ours["model"]).read_text(encoding="utf-8")
    theirs = fenced(2, **ours).strip().replace("train.py", " ".join([*TRAIN, *small(new)]))
    assert re.search(r"(\d+) of \1 tensors taken over; as they were: none", run(new, theirs))
    assert [*new.glob("runs/*/checkpoints/best.pt")]


def test_commands_that_show_an_owner_s_changes_do(template: Path, tmp_path: Path) -> None:
    [release] = BEFORE
    old = copy(template, tmp_path / "old", release, **ANSWERS)
    (old / "train.py").write_text("MINE = 1\n", encoding="utf-8")
    git(old, "commit", "--quiet", "--all", "--message", "mine")
    first = re.findall(r"`(git log [^`]*)`", PAGE)[0]
    its_commit = run(old, first).strip()
    assert "+MINE = 1\n" in git(old, "diff", its_commit, "--", "train.py")
    shutil.rmtree(old)

"""What earlier versions wrote can be read; what a seed gives is what it gave.

`python tests/golden/make.py` writes what is missing, and says when it may be renewed.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from conftest import ROOT, Fork
from extensions.features import TASKS
from forked import PACKAGE, Project
from golden import make

GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture
def engine(fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(fork(next(iter(TASKS))).folder)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("format-*.pt")), ids=lambda path: path.stem)
def test_checkpoint_of_this_format_resumes_in_all_its_parts(
    engine: None, path: Path, tmp_path: Path
) -> None:
    values = json.loads(path.with_name(f"{path.stem}-values.json").read_text())
    run = make.Run(tmp_path, seed=2)
    checkpoint = import_module(f"{PACKAGE}.engine.storage").load_checkpoint(path)
    assert run.checkpoints.restore(checkpoint) == 3
    assert run.state() == values["saved"]
    run.step(4)
    ours, theirs = (state["net"] for state in (run.state(), values["after one step more"]))
    for name, weights in ours.items():
        torch.testing.assert_close(torch.tensor(weights), torch.tensor(theirs[name]))


def test_each_format_has_its_checkpoint(engine: None) -> None:
    newest = import_module(f"{PACKAGE}.engine.storage").FORMAT
    found = {path.name for path in GOLDEN.glob("format-*.pt")}
    assert found == {f"format-{number}.pt" for number in range(1, newest + 1)}


@pytest.fixture(scope="module", params=TASKS)
def project(request: pytest.FixtureRequest, fork: Fork) -> Project:
    return fork(request.param)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_first_losses_are_what_they_were(project: Project, tmp_path: Path) -> None:
    place = project.make_data(tmp_path)
    golden = json.loads((GOLDEN / f"{project.task}.json").read_text())
    found = make.trace(project, place, "run")
    assert found.keys() == golden.keys()
    for name, values in golden.items():
        # kernels round differently from one machine to the next
        assert found[name] == pytest.approx(values, rel=1e-4), name
    other = make.trace(project, place, "other", "--seed", "2")["train/loss"]
    assert other != pytest.approx(golden["train/loss"], rel=1e-3), "the trace would miss a change"

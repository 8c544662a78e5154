import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from project import check_resume as module
from project.check_resume import LAST, check_resume, differs
from project.engine.checkpoint import Checkpoints
from project.engine.errors import MISMATCH, USAGE
from project.engine.launch import launch
from project.engine.runtime import mix, seed_noise
from project.engine.storage import load_checkpoint
from torch import Tensor, nn

from rendered import SEVERAL

PROCESS = torch.Generator()  # seeded by nobody, as what differs from one process to the next


class Guard:
    """The part of the state that holds the loss of the newest step that was logged."""

    loss = 0.0

    def end_if_diverged(self) -> None:
        """Go on."""

    def state_dict(self) -> dict[str, float]:
        return {"loss": self.loss}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.loss = state["loss"]


def train(fault: str, command: list[str], folder: Path, *flags: str) -> None:
    """Train in a few lines, as in a process of its own."""
    seed_noise(1)
    net, guard = nn.Linear(3, 1), Guard()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    state = {"net": net, "optimizer": optimizer, "guard": guard}
    if fault == "not in the state":
        del state["optimizer"]
    about = {"model": {}, "data": {}, "config": {}}
    checkpoints = Checkpoints(folder, state, about, every=1, keep=LAST)
    resume = [flag.removeprefix("--resume=") for flag in flags if flag.startswith("--resume=")]
    first = checkpoints.restore(load_checkpoint(Path(resume[0]))) if resume else 0
    for calls, step in enumerate(range(first + 1, LAST + 1)):
        if fault != "no seed":
            seed_noise(mix(1, step))
        inputs = torch.randn(4, 3)
        if fault == "counter":
            inputs = inputs + calls
        if fault == "kernel":
            inputs = inputs + 1e-6 * torch.rand(1, generator=PROCESS)
        loss = net(inputs).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        guard.loss = loss.item()
        checkpoints.save(step, {"loss": float(calls) if fault == "scores" else loss.item()})


def check(monkeypatch: pytest.MonkeyPatch, *command: str) -> int:
    """Return the code that the command line ends with."""
    monkeypatch.setattr(sys, "argv", list(command or (__file__, "--lr", "0.1")))
    with pytest.raises(SystemExit) as ended:
        launch(check_resume)
    return int(ended.value.code or 0)


def test_a_run_that_resumes_exactly_passes(monkeypatch, capsys):
    monkeypatch.setattr(module, "train", partial(train, ""))
    assert check(monkeypatch) == 0
    assert "steps 4 to 6 are the same, bit for bit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "place", "reason"),
    [
        ("counter", "net at ", "that no seed sets"),
        ("no seed", "net at ", "that no seed sets"),
        ("not in the state", "net at ", "not in train.py's `state`"),
        ("kernel", "net at ", "so do two runs without a stop, at step 1"),
        ("scores", "the scores at loss", "not in train.py's `state`"),
    ],
)
def test_what_does_not_resume_is_named_with_step_place_and_reason(
    monkeypatch, capsys, fault, place, reason
):
    monkeypatch.setattr(module, "train", partial(train, fault))
    assert check(monkeypatch) == MISMATCH == 78
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and "step 4 differs in " in error[0]
    assert place in error[0] and reason in error[0]


def test_a_run_that_fails_is_its_last_line_and_its_code(monkeypatch, capsys, tmp_path):
    script = tmp_path / "train.py"
    script.write_text("import sys\nprint('one\\nno such file', file=sys.stderr)\nsys.exit(65)\n")
    assert check(monkeypatch, str(script), "--check-resume") == 65
    assert capsys.readouterr().err.endswith("ended: no such file\n")


@pytest.mark.parametrize("flag", ["--resume", "--resume=auto"])
def test_a_resumed_run_is_not_checked(monkeypatch, capsys, flag):
    assert check(monkeypatch, __file__, flag) == USAGE
    assert "--check-resume" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["nowhere.py"], ["--lr", "0.1"]])
def test_a_script_has_to_be_named(capsys, command):
    module_ = [sys.executable, "-m", "project.check_resume", *command]
    done = subprocess.run(module_, cwd=SEVERAL, capture_output=True, text=True)
    assert done.returncode == USAGE and "train.py" in done.stderr and done.stderr.count("\n") == 1


def other(tensor: Tensor) -> Tensor:
    return torch.nextafter(tensor, tensor + 1)


ONES = torch.ones(2)


@pytest.mark.parametrize(
    ("ours", "theirs", "where"),
    [
        ({"a": {"b": [ONES, 1]}}, {"a": {"b": [ONES.clone(), 1]}}, None),
        ({"a": {"b": [ONES, 1]}}, {"a": {"b": [other(ONES), 1]}}, "a.b.0"),
        ({"a": {"b": (ONES, 1)}}, {"a": {"b": (ONES, 2)}}, "a.b.1"),
        ({"a": 1}, {"b": 1}, ""),
        ({"a": [1]}, {"a": [1, 2]}, "a"),
    ],
)
def test_the_first_difference_has_a_path(ours, theirs, where):
    assert differs(ours, theirs) == where

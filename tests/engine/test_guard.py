import copy
import json
import math
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from project.engine import guard as module
from project.engine.accumulate import micro_batches
from project.engine.checkpoint import Checkpoints, newest_whole
from project.engine.errors import DIVERGED, Ending
from project.engine.guard import REMEMBERED, Guard
from project.engine.launch import status
from project.engine.loader import Loader
from project.engine.optimize import clip_gradients, learning_rate
from project.engine.prefetch import prefetch
from project.engine.runtime import set_seed
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.utils.data import Dataset

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")
STEPS = 6


@pytest.fixture(autouse=True)
def _compiled_code_runs_again() -> Iterator[None]:
    yield
    torch.compiler.set_stance("default")


class Points(Dataset):
    """12 points, of which the bad ones lie at 0."""

    in_memory = True

    def __init__(self, *bad: int) -> None:
        self.inputs = torch.randn(12, 2, generator=torch.Generator().manual_seed(1))
        self.inputs[list(bad)] = 0

    def __len__(self) -> int:
        return 12

    def batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return self.inputs[indices], indices[:, None].float()


class Pole(nn.Module):
    """(B, D) -> (B, D); at 0, something is not finite."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.aside = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "nan":
            return x * (x / x)
        if self.kind == "inf":
            return x + 1e-6 / x.abs()
        if self.kind == "aside":
            self.aside(x / x)
            return x
        return x + 0 * x.abs().sqrt()  # its gradient


class Criterion(nn.MSELoss):
    def count(self, targets: Tensor) -> Tensor:
        return targets.new_tensor(targets.numel())


class Training:
    """What train.py sets up, at toy size."""

    def __init__(
        self,
        folder: Path,
        *bad: int,
        kind: str = "nan",
        shuffle: bool = False,
        scaled: bool = False,
        **flags,
    ) -> None:
        set_seed(3, deterministic=True)
        args = {"on_nonfinite": "stop", "max_skips": 20, "replay_step": None, "dry_run": False}
        args |= {"check_finite": False} | flags
        self.net = nn.Sequential(nn.Linear(2, 4, bias=False), Pole(kind), nn.Linear(4, 1))
        groups = [{"params": list(self.net.parameters())}]
        self.optimizer = torch.optim.AdamW(groups, lr=0.1, fused=True)
        self.scheduler = learning_rate(self.optimizer, "linear", 0.0, STEPS)
        self.loader = Loader(Points(*bad), 2, shuffle=shuffle, seed=3)
        self.scaler = GradScaler("cpu", init_scale=1024.0, enabled=scaled)
        self.guard = Guard(
            self.net, self.optimizer, self.scaler, self.loader, CPU, folder, Namespace(**args)
        )
        self.weights: dict[int, dict[str, Tensor]] = {}  # after each step

    def run(self, first: int = 0, log: Callable[[int], bool] = lambda step: True) -> None:
        self.weights[first] = copy.deepcopy(self.net.state_dict())
        batches = prefetch(self.loader.steps(range(first, STEPS)), CPU)
        for step, batch in self.guard.watch(enumerate(batches, first + 1)):
            loss = torch.zeros(())
            for inputs, targets, share in micro_batches(batch, self.net, Criterion(), (3, step)):
                part = nn.functional.mse_loss(self.net(inputs), targets) * share
                self.scaler.scale(part).backward()
                loss += part.detach()
            self.scaler.unscale_(self.optimizer)
            self.guard.step(step, loss, clip_gradients(self.net, 1.0, 0.0))
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()
            self.scheduler.step()
            if log(step):
                self.numbers = self.guard.numbers(step)
            self.weights[step] = copy.deepcopy(self.net.state_dict())

    def run_without(self, *left_out: int) -> None:
        """Train by a plain loop, without the steps left out."""
        for step, batch in enumerate(self.loader.steps(range(STEPS)), 1):
            for inputs, targets in batch.micro_batches:
                nn.functional.mse_loss(self.net(inputs), targets).backward()
            clip_gradients(self.net, 1.0, 0.0)
            if step not in left_out:
                self.optimizer.step()
            self.optimizer.zero_grad()
            self.scheduler.step()

    def elsewhere(self) -> "Training":
        """Return it as on a device that is waited for only where numbers are logged."""
        self.guard.device = ELSEWHERE
        return self


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def step_of(training: Training, sample: int) -> int:
    return next(n for n in range(1, STEPS + 1) if sample in training.loader.sample_ids(n))


@pytest.mark.parametrize(
    ("kind", "loss", "first"),
    [
        ("nan", "nan", "the output of 1"),
        ("inf", "inf", "the output of 1"),
        ("gradient", "", "the gradient of 0.weight"),
    ],
)
def test_a_step_that_is_not_finite_ends_the_run_and_is_explained(
    tmp_path, capsys, kind, loss, first
):
    training = Training(tmp_path, 7, kind=kind, shuffle=True)
    bad = step_of(training, 7)
    with pytest.raises(Ending) as stopped:
        training.run(log=lambda step: False)
    assert stopped.value.code == DIVERGED == 70
    error = capsys.readouterr().err
    assert f"step {bad}: loss {loss}" in error and first in error and error.count("\n") == 1
    report = json.loads((tmp_path / "non_finite_0.json").read_text())
    assert report["first"] == first and report["step"] == bad
    assert 7 in report["samples"] == training.loader.sample_ids(bad)
    assert not math.isfinite(float(report["grad_norm"]))
    assert same(dict(training.net.state_dict()), training.weights[bad - 1])


def test_what_is_said_names_no_file_of_a_dry_run_and_no_flag_that_is_given(tmp_path, capsys):
    training = Training(tmp_path, 7, dry_run=True)
    with pytest.raises(Ending):
        training.run()
    error = capsys.readouterr().err
    assert "non_finite" not in error and error.rstrip().endswith(", or --on-nonfinite skip")
    training = Training(tmp_path, *range(10), on_nonfinite="skip", max_skips=1)
    with pytest.raises(Ending):
        training.run()
    error = capsys.readouterr().err
    assert error.rstrip().endswith("try a lower --lr or --clip-norm") and "non_finite" in error


def test_check_finite_sees_what_never_reaches_the_loss(tmp_path, capsys):
    Training(tmp_path, 0, kind="aside").run()
    training = Training(tmp_path, 0, kind="aside", check_finite=True)
    with pytest.raises(Ending) as stopped:
        training.run()
    assert stopped.value.code == DIVERGED
    assert "step 1:" in (error := capsys.readouterr().err) and "the output of 1.aside" in error
    report = json.loads((tmp_path / "non_finite_0.json").read_text())
    assert report["samples"] == [0, 1] and math.isfinite(float(report["loss"]))


@pytest.mark.parametrize("seen", [3, 5, 6])
def test_where_it_is_seen_late_the_weights_are_those_before_the_step(
    tmp_path, monkeypatch, capsys, seen
):
    monkeypatch.setattr(module, "prefetch", lambda batches, device: batches)
    training = Training(tmp_path, 4).elsewhere()  # in step 3
    with pytest.raises(Ending):
        training.run(log=lambda step: step == seen)
    assert "step 3: loss nan, the output of 1 is not finite" in capsys.readouterr().err
    assert max(training.weights) == seen
    assert same(dict(training.net.state_dict()), training.weights[2])


@pytest.mark.parametrize("kind", ["nan", "inf", "gradient"])
@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("how", [{"on_nonfinite": "skip"}, {"scaled": True}])
def test_a_skipped_step_is_left_out_and_counted(tmp_path, kind, waits, how):
    training = Training(tmp_path, 4, 9, kind=kind, **how)  # in steps 3 and 5
    reference = Training(tmp_path, 4, 9, kind=kind)
    if not waits:
        training.elsewhere()
    training.run()
    reference.run_without(3, 5)
    assert same(dict(training.net.state_dict()), dict(reference.net.state_dict()))
    ours, theirs = training.optimizer.state_dict(), reference.optimizer.state_dict()
    assert all(same(ours["state"][place], theirs["state"][place]) for place in ours["state"])
    assert training.numbers["train/skipped_steps"] == 2


@pytest.mark.parametrize("waits", [True, False])
def test_a_run_without_a_bad_step_is_as_without_a_guard(tmp_path, waits):
    training, reference = Training(tmp_path), Training(tmp_path)
    if not waits:
        training.elsewhere()
    training.run()
    reference.run_without()
    assert same(dict(training.net.state_dict()), dict(reference.net.state_dict()))
    assert training.numbers["train/skipped_steps"] == 0


@pytest.mark.parametrize("how", [{"on_nonfinite": "skip"}, {"scaled": True}])
def test_too_many_in_a_row_end_the_run_at_the_first_of_them(tmp_path, capsys, how):
    training = Training(tmp_path, 0, 4, 6, 8, max_skips=2, **how)  # in steps 1, and 3, 4 and 5
    with pytest.raises(Ending) as stopped:
        training.run()
    assert stopped.value.code == DIVERGED and "step 3" in capsys.readouterr().err
    assert max(training.weights) == 5
    assert same(dict(training.net.state_dict()), training.weights[2])


def test_as_many_apart_do_not(tmp_path):
    training = Training(tmp_path, 0, 4, 8, on_nonfinite="skip", max_skips=1)
    training.run()
    assert training.numbers["train/skipped_steps"] == 3


def test_the_row_is_counted_through_a_restart(tmp_path):
    flags = {"on_nonfinite": "skip", "max_skips": 2}
    first = Training(tmp_path, 4, 6, 8, **flags)
    states = {}

    def save(step: int) -> bool:
        states[step] = first.guard.state_dict()
        return True

    with pytest.raises(Ending):
        first.run(log=save)
    second = Training(tmp_path, 4, 6, 8, **flags)
    second.guard.load_state_dict(states[4])
    with pytest.raises(Ending):
        second.run(first=4)
    assert max(second.weights) == max(first.weights) == 5
    assert second.guard.again == first.guard.again == 3


def test_a_run_that_has_to_end_saves_nothing_more(tmp_path):
    training = Training(tmp_path, 4)
    state = {"net": training.net, "guard": training.guard}
    checkpoints = Checkpoints(tmp_path, state, {}, every=1, keep=2)
    checkpoints.save(2)
    with pytest.raises(Ending):
        training.run()
    checkpoints.save(3)
    newest = newest_whole(tmp_path)
    assert newest is not None and newest.name == "step-2.pt"
    assert status.unsaved is not None and "3" in status.unsaved


def test_a_replayed_step_is_said_and_written_nowhere(tmp_path, capsys):
    training = Training(tmp_path, replay_step=3)
    with pytest.raises(Ending) as stopped:
        training.run()
    assert stopped.value.code == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["step"], report["first"]) == (3, None)
    assert report["samples"] == training.loader.sample_ids(3) == [4, 5]
    assert not list(tmp_path.iterdir())


def numbers(guard: Guard, loss: float, norm: float = 1.0) -> dict[str, float]:
    guard.latest = torch.tensor([loss, norm])
    return guard.numbers(5)


def test_a_spike_is_said_against_what_is_usual(tmp_path, capsys):
    guard = Training(tmp_path).guard
    for loss in (9.0, 2.0, 2.0, 5.9):
        numbers(guard, loss)
    assert capsys.readouterr().err == ""
    numbers(guard, math.inf)  # which is said by what leaves the step out
    numbers(guard, 40.0)
    error = capsys.readouterr().err
    assert "step 5" in error and "40" in error and error.count("\n") == 1


def test_vanished_gradients_are_said(tmp_path, capsys):
    guard = Training(tmp_path).guard
    numbers(guard, 1.0, 1e-6)
    assert capsys.readouterr().err == ""
    numbers(guard, 1.0, 1e-9)
    assert "vanished" in capsys.readouterr().err


def test_what_is_usual_is_finite_and_recent(tmp_path):
    guard = Training(tmp_path, on_nonfinite="skip").guard
    for loss in (math.nan, math.inf, *range(1, REMEMBERED + 3)):
        numbers(guard, float(loss))
    assert guard.logged == list(map(float, range(3, REMEMBERED + 3)))

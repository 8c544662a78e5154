import copy
from argparse import Namespace
from collections.abc import Callable

import pytest
import torch
from project.engine.checkpoint import Checkpoints, newest_whole
from project.engine.errors import DIVERGED, Ending
from project.engine.guard import FiniteCheck, Guard
from project.engine.loader import Loader, prefetch
from project.engine.optimize import clip_gradients, learning_rate, micro_batches
from project.engine.runtime import set_seed
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.utils.data import Dataset

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")
STEPS = 6
FP16 = {"scaled": True, "max_skips": 1}


class Points(Dataset):
    """12 points, of which the bad ones lie at 0."""

    in_memory = True

    def __init__(self, *bad: int) -> None:
        self.inputs = torch.randn(12, 2, generator=torch.Generator().manual_seed(1))
        self.inputs[list(bad)] = 0

    def __len__(self) -> int:
        return 12

    def whole_batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
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
        *bad: int,
        kind: str = "nan",
        shuffle: bool = False,
        scaled: bool = False,
        sgd: bool = False,
        **flags,
    ) -> None:
        set_seed(3, deterministic=True)
        args = {"on_nonfinite": "stop", "max_skips": 20, "check_finite": False} | flags
        self.net = nn.Sequential(nn.Linear(2, 4, bias=False), Pole(kind), nn.Linear(4, 1))
        groups = [{"params": list(self.net.parameters())}]
        self.optimizer = torch.optim.AdamW(groups, lr=0.1, fused=True)
        if sgd:
            self.optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, fused=True)
        self.scheduler = learning_rate(self.optimizer, "linear", 0.0, STEPS)
        self.loader = Loader(Points(*bad), 2, shuffle=shuffle, seed=3)
        self.scaler = GradScaler("cpu", init_scale=1024.0, enabled=scaled)
        self.guard = Guard(
            self.net, self.optimizer, self.scaler, self.loader, CPU, Namespace(**args)
        )
        self.weights: dict[int, dict[str, Tensor]] = {}  # after each step
        self.saved: dict[int, dict] = {}  # the optimizer's state

    def run(self, first: int = 0, log: Callable[[int], bool] = lambda step: True) -> None:
        self.weights[first] = copy.deepcopy(self.net.state_dict())
        batches = prefetch(self.loader.steps(range(first, STEPS)), CPU)
        for step, batch in enumerate(batches, first + 1):
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
                self.numbers = self.guard.numbers()
            self.weights[step] = copy.deepcopy(self.net.state_dict())
            self.saved[step] = copy.deepcopy(self.optimizer.state_dict())

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


@pytest.mark.parametrize(("kind", "loss"), [("nan", "nan"), ("inf", "inf"), ("gradient", "")])
def test_a_step_that_is_not_finite_ends_the_run_and_is_named(capsys, kind, loss):
    training = Training(7, kind=kind, shuffle=True)
    bad = step_of(training, 7)
    with pytest.raises(Ending) as stopped:
        training.run(log=lambda step: False)
    assert stopped.value.code == DIVERGED == 70
    error = capsys.readouterr().err
    assert error.startswith(f"step {bad}: loss {loss}") and error.count("\n") == 1
    assert "--resume auto --check-finite" in error and ", or --on-nonfinite skip" in error
    samples = training.loader.sample_ids(bad)
    assert 7 in samples and error.endswith(f"samples {', '.join(map(str, samples))}\n")
    assert same(dict(training.net.state_dict()), training.weights[bad - 1])


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("nan", "the output of 1"),
        ("inf", "the output of 1"),
        ("gradient", "the gradient of 0.weight"),
        ("aside", "the output of 1.aside"),  # never reaches the loss
    ],
)
def test_check_finite_names_the_layer_of_the_step_that_ended_the_run(capsys, kind, first):
    before = Training(5, kind=kind)  # in step 3
    if kind == "aside":
        before.run()
    else:
        with pytest.raises(Ending):
            before.run()
    again = Training(5, kind=kind, check_finite=True)
    again.net.load_state_dict(before.weights[1])
    again.optimizer.load_state_dict(before.saved[1])
    capsys.readouterr()
    with pytest.raises(Ending) as stopped:
        again.run(first=1)
    assert stopped.value.code == DIVERGED
    error = capsys.readouterr().err
    assert error.startswith(f"step 3: {first} is not finite") and "samples 4, 5" in error
    assert same(dict(again.net.state_dict()), before.weights[2])


@pytest.mark.parametrize("seen", [3, 5, 6])
@pytest.mark.parametrize(("how", "steps"), [({}, "step 3"), (FP16, "steps 3 to 4")])
def test_where_it_is_seen_late_the_weights_are_those_before_the_step(capsys, seen, how, steps):
    training = Training(4, 6, **how).elsewhere()  # in steps 3 and 4
    first = seen if how == {} else max(seen, 4)
    with pytest.raises(Ending):
        training.run(log=lambda step: step == first)
    assert f"{steps}: loss nan" in capsys.readouterr().err
    assert max(training.weights) == first - 1  # after the optimizer, before it was noted
    assert same(dict(training.net.state_dict()), training.weights[2])


@pytest.mark.parametrize("kind", ["nan", "inf", "gradient"])
@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("how", [{"on_nonfinite": "skip"}, {"scaled": True}])
def test_a_skipped_step_is_left_out_and_counted(kind, waits, how):
    training = Training(4, 9, kind=kind, **how)  # in steps 3 and 5
    reference = Training(4, 9, kind=kind)
    if not waits:
        training.elsewhere()
    training.run()
    reference.run_without(3, 5)
    assert same(dict(training.net.state_dict()), dict(reference.net.state_dict()))
    ours, theirs = training.optimizer.state_dict(), reference.optimizer.state_dict()
    assert all(same(ours["state"][place], theirs["state"][place]) for place in ours["state"])
    assert training.numbers["train/skipped_steps"] == 2


@pytest.mark.parametrize("waits", [True, False])
def test_a_run_without_a_bad_step_is_as_without_a_guard(waits):
    training, reference = Training(), Training()
    if not waits:
        training.elsewhere()
    training.run()
    reference.run_without()
    assert same(dict(training.net.state_dict()), dict(reference.net.state_dict()))
    assert training.numbers["train/skipped_steps"] == 0


@pytest.mark.parametrize("how", [{"on_nonfinite": "skip"}, {"scaled": True}])
def test_too_many_in_a_row_end_the_run_at_the_first_of_them(capsys, how):
    training = Training(0, 4, 6, 8, max_skips=2, **how)  # in steps 1, and 3, 4 and 5
    with pytest.raises(Ending) as stopped:
        training.run()
    assert stopped.value.code == DIVERGED and "steps 3 to 5" in capsys.readouterr().err
    assert max(training.weights) == 4
    assert same(dict(training.net.state_dict()), training.weights[2])


def test_as_many_apart_do_not():
    training = Training(0, 4, 8, on_nonfinite="skip", max_skips=1)
    training.run()
    assert training.numbers["train/skipped_steps"] == 3


def test_the_row_is_counted_through_a_restart(capsys):
    flags = {"on_nonfinite": "skip", "max_skips": 2}
    first = Training(4, 6, 8, **flags)
    states = {}

    def save(step: int) -> bool:
        states[step] = first.guard.state_dict()
        return True

    with pytest.raises(Ending):
        first.run(log=save)
    second = Training(4, 6, 8, **flags)
    second.guard.load_state_dict(states[4])
    with pytest.raises(Ending):
        second.run(first=4)
    assert max(second.weights) == max(first.weights) == 4
    reasons = capsys.readouterr().err.splitlines()
    assert len(reasons) == 2 and reasons[0] == reasons[1] and "steps 3 to 5" in reasons[0]


def test_a_run_that_has_to_end_saves_nothing_more(tmp_path):
    training = Training(4).elsewhere()
    state = {"net": training.net, "guard": training.guard}
    checkpoints = Checkpoints(tmp_path, state, {}, every=1, keep=2)
    checkpoints.save(2)
    training.run(log=lambda step: False)
    with pytest.raises(Ending) as stopped:
        checkpoints.save(6)
    assert stopped.value.code == DIVERGED
    newest = newest_whole(tmp_path)
    assert newest is not None and newest.name == "step-2.pt"


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
@pytest.mark.parametrize("how", [{"on_nonfinite": "skip"}, {"scaled": True}])
def test_momentum_begins_with_the_first_step_that_is_not_left_out(how):
    training = Training(0, sgd=True, **how).elsewhere()  # in step 1
    reference = Training(0, sgd=True)
    training.run()
    reference.run_without(1)
    assert same(dict(training.net.state_dict()), dict(reference.net.state_dict()))


class Divide(nn.Module):
    """(B, T) -> (B, T)"""

    def __init__(self) -> None:
        super().__init__()
        self.by = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / self.by


def make_net(divide: nn.Module | None = None) -> nn.Sequential:
    inner = nn.Sequential(divide or Divide(), nn.ReLU())
    return nn.Sequential(nn.Linear(4, 4), inner, nn.Linear(4, 2))


def train_step(net: nn.Module) -> torch.Tensor:
    loss = net(torch.ones(3, 4)).square().sum()
    loss.backward()
    return loss


@pytest.mark.parametrize("compiled", [False, True])
def test_the_first_layer_that_is_not_finite_is_named(compiled):
    divide = Divide()
    net = make_net(divide)
    check = FiniteCheck(net)
    if compiled:
        net.compile(backend="eager")
    assert check.first(train_step(net)) is None
    divide.by = 0.0
    assert check.first(train_step(net)) == "the output of 1.0"


def test_a_gradient_is_named_from_the_loss_backwards():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    check = FiniteCheck(nn.Sequential(first, second))
    first.weight.grad = torch.full_like(first.weight, torch.nan)
    second.bias.grad = torch.full_like(second.bias, torch.inf)
    assert check.first(torch.zeros(())) == "the gradient of 1.bias"


def test_gradients_may_be_infinite_under_a_gradient_scaler():
    layer = nn.Linear(4, 4)
    check = FiniteCheck(layer, gradients=False)
    layer.weight.grad = torch.full_like(layer.weight, torch.inf)
    assert check.first(torch.zeros(())) is None


def test_a_loss_that_alone_is_not_finite_is_named():
    check = FiniteCheck(make_net())
    assert check.first(torch.tensor(torch.nan)) == "the loss"


def test_the_test_pass_is_not_looked_at():
    net = make_net()
    check = FiniteCheck(net)
    with torch.inference_mode():
        net(torch.full((3, 4), torch.nan))
    assert check.first(torch.zeros(())) is None

import numpy as np
import pytest
import torch
from project.engine.errors import DATA, USAGE
from project.engine.evaluate import Best, evaluate, predict, train_mode
from project.engine.loader import Loader
from project.engine.optimize import freeze
from project.engine.runtime import Precision
from torch import Tensor, nn
from torch.utils.data import Dataset

PRECISION = Precision(torch.device("cpu"), "none")


class Points(Dataset):
    in_memory = True

    def __init__(self, length: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(length, 3, generator=generator, dtype=torch.float64)
        self.targets = torch.randn(length, 1, generator=generator, dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.inputs)

    def whole_batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return self.inputs[indices], self.targets[indices]


class SquaredError(nn.MSELoss):
    def count(self, targets: Tensor) -> Tensor:
        return torch.tensor(targets.numel())


class Furthest:
    """Counts errors above 1."""

    def reset(self) -> None:
        self.counters = torch.zeros(2, dtype=torch.int64)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        far = (outputs - targets).abs() > 1
        self.counters += torch.tensor([far.sum().item(), far.numel()])

    def compute(self) -> dict[str, float]:
        far, seen = self.counters.tolist()
        return {"far": far / seen}


def make_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1)).double()


@pytest.mark.parametrize("batch_size", [1, 4, 7, 11, 64])
def test_the_mean_is_exact_over_uneven_batches(batch_size):
    net, points, criterion, metric = make_net(), Points(11), SquaredError(), Furthest()
    scores = evaluate(net, Loader(points, batch_size), criterion, metric, PRECISION)
    net.eval()
    errors = (net(points.inputs) - points.targets).detach()
    far = (errors.abs() > 1).double()
    expected = {"loss": errors.square().mean().item(), "far": far.mean().item()}
    assert scores == pytest.approx(expected, rel=1e-14)


def test_a_test_set_without_a_target_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(SquaredError, "count", lambda self, targets: torch.tensor(0))
    with pytest.raises(SystemExit) as stopped:
        evaluate(make_net(), Loader(Points(3), 2), SquaredError(), Furthest(), PRECISION)
    assert stopped.value.code == DATA
    assert "nothing in the set has a target" in capsys.readouterr().err


def test_a_second_pass_starts_from_nothing():
    net, loader, metric = make_net(), Loader(Points(11), 4), Furthest()
    first = evaluate(net, loader, SquaredError(), metric, PRECISION)
    assert evaluate(net, loader, SquaredError(), metric, PRECISION) == first


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), torch.tensor(0.5)])
def test_a_score_of_any_library_is_a_float(monkeypatch, value):
    monkeypatch.setattr(Furthest, "compute", lambda self: {"far": value})
    scores = evaluate(make_net(), Loader(Points(3), 2), SquaredError(), Furthest(), PRECISION)
    assert scores["far"] == 0.5 and type(scores["far"]) is float


def test_frozen_parts_stay_in_evaluation_mode():
    def part() -> nn.Sequential:
        return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))

    net = nn.Sequential(part(), part()).double()
    freeze(net, ["0.*"])
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    points = Points(5)
    train_mode(net)
    net(points.inputs)
    evaluate(net, Loader(points, 4), SquaredError(), Furthest(), PRECISION)
    predict(net, points.inputs, PRECISION)
    net(points.inputs)
    same = {name for name, buffer in net.named_buffers() if torch.equal(buffer, before[name])}
    assert same == {name for name in before if name.startswith("0.")}
    modes = {name: module.training for name, module in net.named_modules()}
    assert modes == {name: name[:1] != "0" for name in modes}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_scripts_move_the_loss_to_the_device_too(run, monkeypatch):
    moved: list[str] = []
    to = nn.Module.to

    def note(module: nn.Module, *where, **how) -> nn.Module:
        moved.append(type(module).__name__)
        return to(module, *where, **how)

    monkeypatch.setattr(nn.Module, "to", note)
    flags = ("--dataset", "shapes", "--image-size", "8", "--device", "cpu", "--workers", "0")
    size = ("--batch-size", "8", "--max-steps", "1", "--eval-batches", "1", "--run-dir", "here")
    assert run("train.py", *flags, *size)[0] == 0
    assert "CrossEntropy" in moved
    moved.clear()
    assert run("evaluate.py", "here", "--device", "cpu", "--workers", "0")[0] == 0
    assert "CrossEntropy" in moved


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_eval_inside_and_afterwards_what_it_was(training):
    net, modes = make_net().train(training), []
    net.register_forward_hook(lambda module, inputs, outputs: modes.append(module.training))
    evaluate(net, Loader(Points(5), 4), SquaredError(), Furthest(), PRECISION)
    predict(net, Points(5).inputs, PRECISION)
    assert modes == [False, False, False]
    assert all(module.training == training for module in net.modules())


def test_outputs_have_no_gradient_and_cost_no_graph():
    outputs = predict(make_net(), Points(5).inputs, PRECISION)
    assert outputs.is_inference() and outputs.grad_fn is None


def test_predict_and_the_test_pass_agree():
    net, points = make_net(), Points(9)
    scores = evaluate(net, Loader(points, 4), SquaredError(), Furthest(), PRECISION)
    outputs = predict(net, points.inputs, PRECISION)
    loss = (outputs - points.targets).square().mean().item()
    assert scores["loss"] == pytest.approx(loss, rel=1e-14)


def test_the_pass_draws_nothing_from_the_global_generator():
    net = make_net()
    state = torch.get_rng_state()
    evaluate(net, Loader(Points(9), 4), SquaredError(), Furthest(), PRECISION)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.usefixtures("bf16")
def test_autocast_reaches_the_network():
    dtypes = []
    net = nn.Linear(3, 1)
    net.register_forward_hook(lambda module, inputs, outputs: dtypes.append(outputs.dtype))
    predict(net, torch.ones(2, 3), Precision(torch.device("cpu"), "bf16"))
    assert dtypes == [torch.bfloat16]


@pytest.mark.parametrize(("higher", "expected"), [(True, [1, 0, 1, 0]), (False, [1, 1, 0, 1])])
def test_best_follows_the_direction_of_its_score(higher, expected):
    best = Best("score", higher=higher, patience=0)
    assert [best.update({"score": score}) for score in (5.0, 4.0, 6.0, 3.0)] == expected


def test_patience_counts_passes_without_gain_and_survives_a_restart():
    best = Best("score", higher=True, patience=2)
    stale = []
    for score in (1.0, 1.0, 2.0, 1.5, 1.5):
        again = Best("score", higher=True, patience=2)
        again.load_state_dict(best.state_dict())
        best = again
        best.update({"score": score})
        stale.append(best.stale())
    assert stale == [False, False, False, False, True]


def test_patience_0_never_ends():
    best = Best("score", higher=True, patience=0)
    for _ in range(5):
        best.update({"score": 1.0})
    assert not best.stale()


def test_a_score_that_is_no_number_is_never_the_best():
    best = Best("score", higher=False, patience=0)
    scores = (float("nan"), 2.0, float("nan"), 1.0)
    assert [best.update({"score": score}) for score in scores] == [False, True, False, True]


def test_a_score_that_the_test_pass_does_not_give_is_named(capsys):
    with pytest.raises(SystemExit) as stopped:
        Best("error", higher=False, patience=0).update({"loss": 1.0, "accuracy": 0.5})
    assert stopped.value.code == USAGE
    line = capsys.readouterr().err
    assert "'error'" in line and "loss, accuracy" in line and line.count("\n") == 1

import pytest
import torch
from project.engine.errors import DATA
from project.engine.evaluate import evaluate, measure, predict
from project.engine.loader import Loader
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

    def batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return self.inputs[indices], self.targets[indices]


class SquaredError(nn.MSELoss):
    def count(self, targets: Tensor) -> Tensor:
        return torch.tensor(targets.numel())


class Furthest:
    """Counts errors above 1."""

    def reset(self, device: torch.device) -> None:
        self.counters = torch.zeros(2, dtype=torch.int64, device=device)

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
    assert "nothing in the test set has a target" in capsys.readouterr().err


def test_a_second_pass_starts_from_nothing():
    net, loader, metric = make_net(), Loader(Points(11), 4), Furthest()
    first = evaluate(net, loader, SquaredError(), metric, PRECISION)
    assert evaluate(net, loader, SquaredError(), metric, PRECISION) == first


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


def test_autocast_reaches_the_network():
    dtypes = []
    net = nn.Linear(3, 1)
    net.register_forward_hook(lambda module, inputs, outputs: dtypes.append(outputs.dtype))
    predict(net, torch.ones(2, 3), Precision(torch.device("cpu"), "bf16"))
    assert dtypes == [torch.bfloat16]


def test_a_metric_alone_is_that_of_the_whole_pass():
    net, points, metric = make_net(), Points(11), Furthest()
    loader = Loader(points, 4)
    scores = evaluate(net, loader, SquaredError(), metric, PRECISION)
    found = measure(net, loader, metric, PRECISION)
    assert found == {name: score for name, score in scores.items() if name != "loss"}
    assert net.training

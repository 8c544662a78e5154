import pytest
import torch
from project.engine.debug import FiniteCheck
from torch import nn


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

import pytest
import torch
import torch.nn.functional as F
from project.engine.loader import Batch, Loader
from project.engine.optimize import micro_batches
from torch import Tensor, nn

from engine.padded import IGNORED, Criterion, Texts


def make_net(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3)).double()


def gradient(net: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


def accumulated(batch: Batch, net: nn.Module, step: int = 0) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of one step, as train.py computes them."""
    criterion, step_loss = Criterion(), torch.zeros((), dtype=torch.float64)
    net.zero_grad()
    for inputs, targets, share in micro_batches(batch, net, criterion, (1, step)):
        loss = criterion(net(inputs), targets) * share
        loss.backward()
        step_loss += loss.detach()
    return step_loss, gradient(net)


def plain(net: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    net.zero_grad()
    outputs = net(inputs).flatten(0, 1)
    loss = F.cross_entropy(outputs, targets.flatten(), ignore_index=IGNORED)
    loss.backward()
    return loss.detach(), gradient(net)


@pytest.mark.parametrize("accumulate", [1, 3, 4, 5, 12, 13])
@pytest.mark.parametrize("length", [12, 13, 20, 35])
def test_accumulating_equals_one_big_batch_remainder_included(length, accumulate):
    texts = Texts(length)
    loader = Loader(texts, 12, shuffle=True, seed=1, accumulate=accumulate)
    net = make_net()
    for step, batch in enumerate(loader.steps(range(2 * len(loader)))):
        _, indices = loader.order.batch(step)
        expected = plain(net, *texts.whole_batch(indices, seed=0))
        for ours, theirs in zip(accumulated(batch, net), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-15)


def test_a_micro_batch_in_which_nothing_counts_adds_nothing():
    texts = Texts(4)
    texts.targets[2:] = IGNORED
    halves = [texts.whole_batch(torch.arange(2), 0), texts.whole_batch(torch.arange(2, 4), 0)]
    net = make_net()
    ours = accumulated(Batch(halves, first=0, weight=1.0), net)
    for mine, theirs in zip(ours, plain(net, *halves[0]), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-13, atol=1e-15)


def test_a_step_in_which_nothing_counts_is_0_not_nan():
    texts = Texts(4)
    texts.targets[:] = IGNORED
    halves = [texts.whole_batch(torch.arange(2), 0), texts.whole_batch(torch.arange(2, 4), 0)]
    for value in accumulated(Batch(halves, first=0, weight=1.0), make_net()):
        assert not value.any()


def test_dropout_depends_on_seed_step_and_place_alone():
    texts = Texts(8)
    halves = [texts.whole_batch(torch.arange(4), 0), texts.whole_batch(torch.arange(4, 8), 0)]
    net = make_net(dropout=0.5)
    batch = Batch(halves, first=0, weight=1.0)
    _, first = accumulated(batch, net, step=3)
    torch.manual_seed(5)
    assert torch.equal(accumulated(batch, net, step=3)[1], first)
    assert not torch.equal(accumulated(batch, net, step=4)[1], first)


def test_dropout_is_the_same_on_whichever_process_a_part_is():
    texts = Texts(8)
    halves = [texts.whole_batch(torch.arange(4), 0), texts.whole_batch(torch.arange(4, 8), 0)]
    net = make_net(dropout=0.5)
    whole = Batch(halves, first=0, weight=1.0)
    masks = []
    for batch in (whole, Batch(halves[1:], first=1, weight=1.0)):
        for inputs, _, _ in micro_batches(batch, net, Criterion(), (1, 0)):
            masks.append(net(inputs))
    assert torch.equal(masks[1], masks[2])
    assert not torch.equal(masks[0], masks[1])


def test_one_micro_batch_on_one_process_is_not_even_counted():
    class Uncounted(Criterion):
        def count(self, targets: Tensor) -> Tensor:
            raise AssertionError("counted")

    batch = Batch([Texts(4).whole_batch(torch.arange(4), 0)], first=0, weight=1.0)
    assert [share for _, _, share in micro_batches(batch, make_net(), Uncounted(), (1, 0))] == [1.0]

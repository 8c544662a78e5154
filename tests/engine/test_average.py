import pytest
import torch
from project.engine.average import Average
from torch import nn


def test_the_average_follows_its_formula():
    torch.manual_seed(0)
    net = nn.Linear(3, 2).double()
    average = Average(net, decay=0.6)
    expected = net.weight.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            net.weight.add_(torch.randn_like(net.weight))
        average.update(step)
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net.weight.detach()
        torch.testing.assert_close(average.net.weight, expected, rtol=0, atol=1e-14)


def test_buffers_are_copied_not_averaged():
    net = nn.BatchNorm1d(2)
    average = Average(net, decay=0.9)
    net(torch.randn(8, 2))
    average.update(1)
    ours, theirs = average.net.state_dict(), net.state_dict()
    assert theirs["running_mean"].any()
    assert torch.equal(ours["running_mean"], theirs["running_mean"])
    assert ours["num_batches_tracked"] == 1


def test_the_averaged_network_is_apart_from_the_trained_one():
    net = nn.Linear(2, 2)
    average = Average(net, decay=0.9)
    assert not any(parameter.requires_grad for parameter in average.net.parameters())
    assert all(parameter.requires_grad for parameter in net.parameters())
    with torch.no_grad():
        net.weight.zero_()
    assert average.net.weight.any()


def test_decay_0_is_the_trained_network_itself():
    net = nn.Linear(2, 2)
    average = Average(net, decay=0.0)
    average.update(1)
    assert average.net is net
    assert average.state_dict() == {}


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_a_restored_average_continues_as_the_one_that_was_saved(decay):
    torch.manual_seed(0)
    net = nn.Linear(2, 2)
    first = Average(net, decay)
    with torch.no_grad():
        net.weight.add_(1)
    first.update(1)
    second = Average(net, decay)
    second.load_state_dict(first.state_dict())
    for average in (first, second):
        average.update(2)
    assert torch.equal(first.net.weight, second.net.weight)

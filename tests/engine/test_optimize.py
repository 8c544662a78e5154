import math

import pytest
import torch
from project.engine.errors import USAGE
from project.engine.optimize import (
    RATES,
    Average,
    LambdaLR,
    clip_gradients,
    decay_groups,
    freeze,
    learning_rate,
)
from torch import nn


def make_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))


def backward(net: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    (100 * net(torch.randn(16, 4)).square().sum()).backward()
    return net


def gradients(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


@pytest.mark.parametrize(("norm", "value"), [(0.0, 0.0), (1.0, 0.0), (0.0, 0.5), (2.0, 0.5)])
def test_clipping_is_what_torch_does_by_hand(norm, value):
    net, reference = backward(make_net()), backward(make_net())
    if value:
        nn.utils.clip_grad_value_(reference.parameters(), value)
    length = torch.linalg.vector_norm(gradients(reference))
    if norm:
        nn.utils.clip_grad_norm_(reference.parameters(), norm)
    torch.testing.assert_close(clip_gradients(net, norm, value), length)
    assert torch.equal(gradients(net), gradients(reference))


def test_clipping_bounds_the_gradient():
    net = backward(make_net())
    before = clip_gradients(net, 1.0, 0.0)
    assert before > 1
    assert torch.linalg.vector_norm(gradients(net)) <= 1 + 1e-5
    net = backward(make_net())
    clip_gradients(net, 0.0, 0.25)
    assert gradients(net).abs().max() == 0.25


def test_clipping_that_is_off_does_not_touch_the_gradients(monkeypatch):
    def refuse(*_):
        raise AssertionError("scaled")

    monkeypatch.setattr(nn.utils, "clip_grads_with_norm_", refuse)
    assert clip_gradients(backward(make_net()), 0.0, 0.0) > 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_is_returned_and_clips_nothing(value):
    net = backward(make_net())
    bias = net.get_parameter("2.bias")
    assert bias.grad is not None
    bias.grad[0] = value
    before = gradients(net)
    assert not clip_gradients(net, 1.0, 0.0).isfinite()
    torch.testing.assert_close(gradients(net), before, rtol=0, atol=0, equal_nan=True)


def test_only_matrices_decay_and_every_parameter_is_in_one_group():
    net = make_net()
    matrices, vectors = decay_groups(net, 0.1)
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in matrices["params"]} == {2}
    assert {p.ndim for p in vectors["params"]} == {1}
    found = [id(p) for group in (matrices, vectors) for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in net.parameters())


@pytest.mark.parametrize("patterns", [["0.*"], ["0.weight", "2.*"], ["*.bias"]])
def test_frozen_weights_do_not_move_and_the_others_do(patterns):
    net = make_net()
    freeze(net, patterns)
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = torch.optim.AdamW(decay_groups(net, 0.1), lr=0.1)
    for _ in range(3):
        backward(net)
        clip_gradients(net, 1.0, 0.0)
        optimizer.step()
        optimizer.zero_grad()
    same = {name for name, p in net.named_parameters() if torch.equal(p, before[name])}
    assert same == frozen and 0 < len(frozen) < len(before)


@pytest.mark.parametrize(
    ("patterns", "part"), [(["stem.*"], "0, 1, 2"), (["*"], "nothing is left")]
)
def test_a_freeze_that_makes_no_sense_is_one_line(capsys, patterns, part):
    with pytest.raises(SystemExit) as stopped:
        freeze(make_net(), patterns)
    assert stopped.value.code == USAGE
    error = capsys.readouterr().err
    assert f"--freeze {patterns[0]}" in error and part in error and error.count("\n") == 1


def rates(schedule: str, warmup: float, total: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = learning_rate(optimizer, schedule, warmup, total)
    found = []
    for _ in range(total + 1):
        found.append(float(scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(("warmup", "total"), [(0.0, 10), (0.05, 100), (0.3, 17), (0.9, 10)])
def test_the_schedule_follows_its_formula(warmup, total):
    rise = round(warmup * total)
    rising = [2 * (step + 1) / (rise + 1) for step in range(rise)]
    falling = [(step - rise) / (total - rise) for step in range(rise, total + 1)]
    shapes = {
        "cosine": [1 + math.cos(math.pi * done) for done in falling],
        "linear": [2 * (1 - done) for done in falling],
        "wsd": [2.0 if done < 0.8 else 10 * (1 - done) for done in falling],
        "constant": [2.0 for _ in falling],
    }
    assert shapes.keys() == RATES.keys()
    for name, shape in shapes.items():
        assert rates(name, warmup, total) == pytest.approx(rising + shape, abs=1e-12)


@pytest.mark.parametrize("total", [1, 2, 30])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5])
def test_the_schedule_reaches_its_height_and_ends_at_0(warmup, total):
    for schedule in ("cosine", "linear", "wsd"):
        found = rates(schedule, warmup, total)
        assert max(found) == 2 and found[-1] == pytest.approx(0, abs=1e-12)
        assert all(rate > 0 for rate in found[:-1])


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


def stepped(schedule: str, total: int, steps: int) -> tuple[torch.optim.SGD, LambdaLR]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = learning_rate(optimizer, schedule, 0.0, total)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return optimizer, scheduler


@pytest.mark.parametrize("schedule", RATES)
def test_a_run_with_more_steps_goes_on_as_its_schedule_says(capsys, schedule):
    before, now = stepped(schedule, 10, 10), stepped(schedule, 20, 0)
    for part, state in zip(now, before, strict=True):
        part.load_state_dict(state.state_dict())
    expected = stepped(schedule, 20, 10)
    said = capsys.readouterr().out
    assert said.count("\n") == (schedule != "constant") and ("5.0e-01" in said) == (
        schedule == "wsd"
    )
    for _ in range(10):
        assert now[0].param_groups[0]["lr"] == expected[0].param_groups[0]["lr"]
        for optimizer, scheduler in (now, expected):
            optimizer.step()
            scheduler.step()


def test_a_run_with_the_same_steps_keeps_its_learning_rate_bit_for_bit(capsys):
    before, now = stepped("cosine", 10, 7), stepped("cosine", 10, 0)
    for part, state in zip(now, before, strict=True):
        part.load_state_dict(state.state_dict())
    assert now[0].param_groups[0]["lr"] == before[0].param_groups[0]["lr"]
    assert capsys.readouterr().out == ""

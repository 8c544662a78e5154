from pathlib import Path

import pytest
import torch
from project.engine.checkpoint import Checkpoints
from project.engine.errors import DIVERGED, MISMATCH
from project.engine.optimize import Average
from project.engine.storage import load_checkpoint
from project.engine.weights import (
    init_from,
    newest_run,
    pick_checkpoint,
    refuse_non_finite,
    restore_network,
)
from torch import nn


class Net(nn.Sequential):
    """(B, 4) -> (B, 1)"""

    def __init__(self, width: int = 8) -> None:
        super().__init__(nn.Linear(4, width), nn.GELU(), nn.Linear(width, 1))


class Other(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()


def save(folder: Path, net: nn.Module, step: int = 1, **state) -> Path:
    """Save a run's step as its best; return where that is."""
    about = {"model": {"width": 8}}
    checkpoints = Checkpoints(folder, {"net": net, **state}, about, every=1, keep=2)
    checkpoints.save(step, best=True)
    return folder / "checkpoints" / "best.pt"


def same(ours: nn.Module, theirs: nn.Module) -> bool:
    other = theirs.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize("other", [Net(16), nn.Sequential(nn.Linear(4, 8))])
def test_the_weights_of_another_network_are_refused_by_name(tmp_path, capsys, other):
    checkpoint = load_checkpoint(save(tmp_path, other))
    net = Net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    part = "0.weight is (16, 4), here it is (8, 4)" if len(other) > 1 else "2.weight is missing"
    with pytest.raises(SystemExit) as stopped:
        restore_network(net, checkpoint)
    assert stopped.value.code == MISMATCH
    error = capsys.readouterr().err
    assert part in error and error.count("\n") == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_the_averaged_weights_are_those_to_use(tmp_path):
    net = Net()
    average = Average(net, 0.9)
    with torch.no_grad():
        net.get_parameter("0.weight").zero_()
    restored = Net()
    restore_network(restored, load_checkpoint(save(tmp_path, net, average=average)))
    assert same(restored, average.net)
    restore_network(restored, load_checkpoint(save(tmp_path, net, average=Average(net, 0.0))))
    assert same(restored, net)


def test_init_from_takes_what_fits_and_says_what_does_not(tmp_path, capsys):
    theirs, ours = Net(), Net()
    ours[2] = nn.Linear(8, 5)
    before = ours.get_parameter("2.weight").detach().clone()
    init_from(ours, save(tmp_path, theirs))
    assert torch.equal(ours.get_parameter("0.weight"), theirs.get_parameter("0.weight"))
    assert torch.equal(ours.get_parameter("2.weight"), before)
    output = capsys.readouterr().out
    assert "2 of 4 tensors" in output and "2.bias, 2.weight" in output


def test_init_from_a_network_that_shares_nothing_is_refused(tmp_path, capsys):
    path = save(tmp_path, Net())
    with pytest.raises(SystemExit) as stopped:
        init_from(nn.Linear(2, 2), path)
    assert stopped.value.code == MISMATCH
    assert "--init-from" in capsys.readouterr().err


def test_init_from_nothing_changes_nothing(capsys):
    init_from(Net(), None)
    assert capsys.readouterr().out == ""


def test_scripts_take_the_newest_run_a_run_or_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        pick_checkpoint(None, Net)
    assert stopped.value.code == MISMATCH
    assert "train first" in capsys.readouterr().err
    for step, name in enumerate(("a", "b")):
        save(Path("runs") / name, Net(), step)
    assert newest_run() == newest_run("best.pt") == Path("runs/b")
    assert pick_checkpoint(None, Net)["step"] == 1
    for place in (Path("runs/a"), Path("runs/a/checkpoints/best.pt")):
        assert pick_checkpoint(place, Net)["step"] == 0


def test_a_checkpoint_of_another_class_is_refused_before_it_is_built(tmp_path, capsys):
    path = save(tmp_path, Net())
    with pytest.raises(SystemExit) as stopped:
        pick_checkpoint(path, Other)
    assert stopped.value.code == MISMATCH
    error = capsys.readouterr().err
    assert "width" in error and "Other" in error and error.count("\n") == 1


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_the_first_weight_that_is_not_finite_is_named(capsys, value):
    weights = {"a": torch.zeros(3), "n": torch.ones((), dtype=torch.int64), "b": torch.ones(2, 2)}
    refuse_non_finite(weights, 3)
    weights["b"][1, 0] = value
    with pytest.raises(SystemExit) as stopped:
        refuse_non_finite(weights, 3)
    assert stopped.value.code == DIVERGED
    error = capsys.readouterr().err
    assert "step 3: b is not finite" in error and error.count("\n") == 1

import os
import random
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from project.engine import checkpoint as module
from project.engine import storage
from project.engine.checkpoint import (
    Checkpoints,
    init_from,
    newest_run,
    newest_whole,
    pick_checkpoint,
    restore_network,
)
from project.engine.errors import DIVERGED, MISMATCH, NOT_WRITTEN, STOPPED, Ending
from project.engine.evaluate import Best
from project.engine.launch import StopRequest, status
from project.engine.loader import Loader
from project.engine.optimize import (
    Average,
    clip_gradients,
    decay_groups,
    learning_rate,
    micro_batches,
)
from project.engine.runtime import Precision, set_seed
from project.engine.storage import load_checkpoint, write_checkpoint
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.utils.data import Dataset

# Python warns of a fork where there are threads; PyTorch's workers are made for it
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

ABOUT: dict[str, Any] = {"model": {"width": 8}, "data": {"classes": ["cat", "dog"]}, "config": {}}


class Noisy(Dataset):
    """Samples with a random transform."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs = torch.rand(4) * random.random() + index
        return inputs, inputs.sum(dim=0, keepdim=True).sin()


class Criterion(nn.MSELoss):
    def count(self, targets: Tensor) -> Tensor:
        return targets.new_tensor(targets.numel())


def make_net(width: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, width), nn.Dropout(0.4), nn.GELU(), nn.Linear(width, 1))


def train(folder: Path, last: int, *, resume: bool = False, stop_at: int = 0, **how: int) -> dict:
    """Train as train.py does; return the state at the end."""
    args = Namespace(**{"ema": 0.8, "accumulate": 2, "workers": 0} | how)
    set_seed(3 + resume, deterministic=True)  # the weights that a resumed run begins with are lost
    precision, criterion = Precision(torch.device("cpu"), "bf16"), Criterion()
    loader = Loader(
        Noisy(), 4, shuffle=True, seed=3, accumulate=args.accumulate, workers=args.workers
    )
    net = make_net()
    optimizer = torch.optim.AdamW(decay_groups(net, 0.1), lr=0.05, fused=True)
    scheduler = learning_rate(optimizer, "cosine", 0.1, 9)
    scaler, average = precision.scaler(), Average(net, args.ema)
    best = Best("loss", higher=False, patience=0)
    state = {"net": net, "average": average, "optimizer": optimizer, "scaler": scaler}
    state |= {"scheduler": scheduler, "best": best}
    checkpoints = Checkpoints(folder, state, ABOUT, every=2, keep=2)
    path = newest_whole(folder)
    first = checkpoints.restore(load_checkpoint(path) if path and resume else None)
    stop = StopRequest()
    net.train()
    loss = torch.zeros(())
    for step, batch in enumerate(loader.steps(range(first, last)), first + 1):
        for inputs, targets, share in micro_batches(batch, net, criterion, (3, step)):
            with precision.autocast():
                loss = criterion(net(inputs), targets) * share
            scaler.scale(loss).backward()
        clip_gradients(net, 1.0, 0.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        scheduler.step()
        average.update(step)
        best.update({"loss": loss.item()})
        if step == stop_at:
            signal.raise_signal(signal.SIGTERM)
        if stop.asked() or checkpoints.due(step) or step == last:
            checkpoints.save(step)
            stop.leave_if_asked(step)
    return load_checkpoint(folder / "checkpoints" / f"step-{last}.pt")["state"]


def assert_same(ours, theirs) -> None:
    """Compare bit for bit."""
    if isinstance(ours, Tensor):
        assert torch.equal(ours, theirs)
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, list):
        for mine, other in zip(ours, theirs, strict=True):
            assert_same(mine, other)
    else:
        assert ours == theirs


@pytest.mark.parametrize("stop_at", [1, 3, 5, 8])
def test_resumed_equals_uninterrupted_bit_for_bit_wherever_it_stopped(tmp_path, stop_at):
    whole = train(tmp_path / "whole", 9)
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path / "stopped", 9, stop_at=stop_at)
    assert stopped.value.code == STOPPED
    assert_same(train(tmp_path / "stopped", 9, resume=True), whole)


@pytest.mark.parametrize("how", [{"workers": 2}, {"accumulate": 4}, {"ema": 0, "accumulate": 1}])
def test_resumed_equals_uninterrupted_with_other_settings(tmp_path, how):
    whole = train(tmp_path / "whole", 9, **how)
    train(tmp_path / "stopped", 4, **how)
    # another number of workers changes nothing
    again = how | {"workers": 1} if "workers" in how else how
    assert_same(train(tmp_path / "stopped", 9, resume=True, **again), whole)


def save(folder: Path, *steps: int, net: nn.Module | None = None, keep: int = 3, **state) -> Path:
    """Save a run's steps; return where the last of them is."""
    net = net or make_net()
    checkpoints = Checkpoints(folder, {"net": net, **state}, ABOUT, every=1, keep=keep)
    for step in steps:
        checkpoints.save(step)
    return folder / "checkpoints" / f"step-{steps[-1]}.pt"


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "checkpoints").iterdir()}


def refused(capsys: pytest.CaptureFixture[str], code: int, call, *values, **more) -> str:
    """Return the last line of what is said when the run ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        call(*values, **more)
    assert stopped.value.code == code
    return capsys.readouterr().err.splitlines()[-1]


def test_the_newest_are_kept_and_the_best_and_what_is_not_ours(tmp_path):
    save(tmp_path, 8)
    for name in ("mine.pt", "step-one.pt", "step-3.pt.newer"):
        (tmp_path / "checkpoints" / name).write_bytes(b"mine")
    checkpoints = Checkpoints(tmp_path, {"net": make_net()}, ABOUT, every=2, keep=2)
    checkpoints.save(9, {"accuracy": 0.9}, best=True)
    checkpoints.save(10, {"accuracy": 0.8})
    checkpoints.save(11)
    ours = {"best.pt", "step-10.pt", "step-11.pt"}
    assert names(tmp_path) == ours | {"mine.pt", "step-one.pt", "step-3.pt.newer"}
    best, last = (
        load_checkpoint(tmp_path / "checkpoints" / name) for name in ("best.pt", "step-10.pt")
    )
    assert (best["step"], best["scores"]) == (9, {"accuracy": 0.9})
    assert (last["step"], last["scores"]) == (10, {"accuracy": 0.8})
    assert [step for step in range(1, 7) if checkpoints.due(step)] == [2, 4, 6]


def test_the_best_is_written_before_the_step_that_a_restart_goes_on_from(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(module, "write_checkpoint", lambda content, path: written.append(path.name))
    Checkpoints(tmp_path, {"net": make_net()}, ABOUT, every=2, keep=2).save(4, best=True)
    assert written == ["best.pt", "step-4.pt"]


def test_the_names_of_weights_are_bare_when_compiled(tmp_path):
    net = make_net()
    known = set(net.state_dict())
    average = Average(net, 0.9)
    net.compile(backend="eager")
    net(torch.ones(1, 4))
    state = load_checkpoint(save(tmp_path, 1, net=net, average=average))["state"]
    assert set(state["net"]) == set(state["average"]) == known


def test_only_the_main_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "is_main_process", lambda: False)
    assert not save(tmp_path, 1).exists()


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"scores")] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, capsys):
    damage(save(tmp_path, 2, 4, 6))
    found = newest_whole(tmp_path)
    assert found is not None and found.name == "step-4.pt"
    error = capsys.readouterr().err
    assert "step-6.pt" in error and "damaged at " in error
    assert error.count("\n") == 1
    module.set_newer_aside(tmp_path, 4)  # as the run does that goes on from there
    assert names(tmp_path) == {"step-2.pt", "step-4.pt", "step-6.pt.newer"}


def test_where_all_are_damaged_the_run_ends_and_they_are_listed(tmp_path, capsys):
    save(tmp_path, 2, 4, 6)
    for step in (2, 4, 6):
        damage(tmp_path / "checkpoints" / f"step-{step}.pt")
    for _ in range(2):  # and however often it is tried, no new run begins in their place
        line = refused(capsys, MISMATCH, newest_whole, tmp_path)
        assert all(f"step-{step}.pt" in line for step in (2, 4, 6)) and "--run-dir" in line


class KilledError(BaseException):
    pass


def counted(function: Callable, calls: Iterator[int]) -> Callable:
    """Return the function, which ends the process where the calls are used up."""

    def count(*values, **more):
        if next(calls, None) is None:
            raise KilledError
        return function(*values, **more)

    return count


def test_wherever_a_save_ends_as_many_checkpoints_as_before_are_whole(tmp_path, monkeypatch):
    many, ended = 20, 0
    for number in range(many):
        folder, calls = tmp_path / str(number), iter(range(number))
        save(folder, 1, 2, keep=2)
        with monkeypatch.context() as patch:
            for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
                patch.setattr(owner, name, counted(getattr(owner, name), calls))
            try:
                save(folder, 3, keep=2)
            except KilledError:
                ended += 1
        whole = [path for path in (folder / "checkpoints").glob("step-*.pt") if is_whole(path)]
        newest = newest_whole(folder)
        assert len(whole) >= 2 and newest is not None and newest.name in ("step-2.pt", "step-3.pt")
    assert 5 <= ended < many


def is_whole(path: Path) -> bool:
    try:
        storage.read_archive(path, "meta")
    except storage.DamagedError:
        return False
    return True


def test_where_nothing_was_saved_there_is_nothing_to_find(tmp_path):
    assert newest_whole(tmp_path) is None


def test_steps_are_ordered_by_number(tmp_path):
    save(tmp_path, 9, 10, 100)
    newest = newest_whole(tmp_path)
    assert newest is not None and newest.name == "step-100.pt"
    save(tmp_path, 11, keep=2)
    assert names(tmp_path) == {"step-100.pt", "step-11.pt"}


def test_checkpoints_of_later_steps_are_set_aside(tmp_path, capsys):
    save(tmp_path, 2, 4, 6)
    module.set_newer_aside(tmp_path, 2)
    assert names(tmp_path) == {"step-2.pt", "step-4.pt.newer", "step-6.pt.newer"}
    assert capsys.readouterr().out.count("step-4.pt.newer") == 1


def full(number: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_save_that_fails_is_one_line_and_a_later_one_makes_it_good(tmp_path, monkeypatch, capsys):
    path = save(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fsync", full)
        save(tmp_path, 2)
    error = capsys.readouterr().err
    assert "step 2" in error and "No space left on device" in error and error.count("\n") == 1
    assert newest_whole(tmp_path) == path
    save(tmp_path, 3)
    status.fail_if_unsaved()
    assert load_checkpoint(tmp_path / "checkpoints" / "step-3.pt")["step"] == 3


def test_a_last_save_that_fails_ends_the_run_with_its_code(tmp_path, monkeypatch, capsys):
    path = save(tmp_path, 1)
    monkeypatch.setattr(storage.os, "fsync", full)
    save(tmp_path, 2)
    with pytest.raises(Ending) as ended:
        status.fail_if_unsaved()
    assert ended.value.code == NOT_WRITTEN
    assert "step 2" in ended.value.reason and "No space left on device" in ended.value.reason
    assert ended.value.reason in capsys.readouterr().err  # said when it failed
    assert newest_whole(tmp_path) == path


def test_a_stopped_run_that_could_not_save_says_so(tmp_path, monkeypatch, capsys):
    stop = StopRequest()
    monkeypatch.setattr(storage.os, "fsync", full)
    save(tmp_path, 2)
    stop.reason = "SIGTERM"
    with pytest.raises(Ending) as ended:
        stop.leave_if_asked(2)
    assert ended.value.code == NOT_WRITTEN and "step 2" in ended.value.reason
    assert ended.value.reason in capsys.readouterr().err


def test_a_deleted_folder_is_made_again(tmp_path):
    path = save(tmp_path, 1)
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    save(tmp_path, 2)
    assert names(tmp_path) == {"step-2.pt"}


class Metric(dict):
    """A part of the state that cannot be loaded without code."""

    def state_dict(self) -> dict[str, Any]:
        return {"path": Path("a")}


def test_a_state_that_could_not_be_loaded_ends_the_run(tmp_path, capsys):
    line = refused(capsys, NOT_WRITTEN, save, tmp_path, 2, metric=Metric())
    assert "step 2" in line and "state.metric.path: pathlib" in line
    assert newest_whole(tmp_path) is None


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("broken", ["net", "average", "critic"])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, capsys, broken, value):
    average = Average(make_net(), 0.9)
    nets = {"net": make_net(), "average": average.net, "critic": make_net()}
    with torch.no_grad():
        nets[broken].get_parameter("3.weight")[0, 2] = value
    parts = {**nets, "average": average}
    assert "3.weight" in refused(capsys, DIVERGED, save, tmp_path, 2, **parts)
    assert newest_whole(tmp_path) is None


@pytest.mark.parametrize("other", [make_net(16), nn.Sequential(nn.Linear(4, 8))])
def test_another_network_is_refused_by_name_before_anything_is_loaded(tmp_path, capsys, other):
    checkpoint = load_checkpoint(save(tmp_path, 1, net=other))
    net = make_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    part = "0.weight is (16, 4), here it is (8, 4)" if len(other) > 1 else "3.weight is missing"
    checkpoints = Checkpoints(tmp_path, {"net": net}, ABOUT, every=1, keep=2)
    assert part in refused(capsys, MISMATCH, checkpoints.restore, checkpoint)
    assert_same(dict(net.state_dict()), before)


@pytest.mark.parametrize(
    ("about", "part"),
    [
        ({"data": {"classes": ["cat", "cow"]}}, "classes is ['cat', 'dog'], here it is ['cat', 'c"),
        ({"data": {"tokenizer": "bytes"}}, "tokenizer is missing, here it is bytes"),
        ({"model": {"width": 9}}, "width is 8, here it is 9"),
    ],
)
def test_other_data_is_refused_with_what_differs(tmp_path, capsys, about, part):
    checkpoint = load_checkpoint(save(tmp_path, 1))
    checkpoints = Checkpoints(tmp_path, {"net": make_net()}, ABOUT | about, every=1, keep=2)
    assert part in refused(capsys, MISMATCH, checkpoints.restore, checkpoint)


def test_another_kind_of_optimizer_is_refused(tmp_path, capsys):
    net = make_net()
    adam, sgd = torch.optim.AdamW(net.parameters()), torch.optim.SGD(net.parameters())
    checkpoint = load_checkpoint(save(tmp_path, 1, net=net, optimizer=adam))
    checkpoints = Checkpoints(tmp_path, {"net": net, "optimizer": sgd}, ABOUT, every=1, keep=2)
    line = refused(capsys, MISMATCH, checkpoints.restore, checkpoint)
    assert "optimizer is AdamW, here it is SGD" in line


@pytest.mark.parametrize("before", ["none", "bf16", "fp16"])
@pytest.mark.parametrize("now", ["none", "bf16", "fp16"])
def test_a_run_goes_on_with_another_precision(tmp_path, before, now):
    cpu = torch.device("cpu")
    scaler = Precision(cpu, "none").scaler() if before != "fp16" else GradScaler("cpu", 2.0**9)
    checkpoint = load_checkpoint(save(tmp_path, 3, scaler=scaler))
    scaler = GradScaler("cpu", 2.0**4, enabled=now == "fp16")
    state = {"net": make_net(), "scaler": scaler}
    assert Checkpoints(tmp_path, state, ABOUT, every=1, keep=2).restore(checkpoint) == 3
    if now == "fp16":
        assert scaler.get_scale() == (2.0**9 if before == "fp16" else 2.0**4)


def made_by_hand(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """Return a checkpoint with some parts of its state changed."""
    net = make_net()
    optimizer = torch.optim.AdamW(net.parameters())
    checkpoint = load_checkpoint(save(tmp_path, 5, net=net, optimizer=optimizer))
    checkpoint["state"] |= changes
    return checkpoint


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"net": None}, "no weights"),
        ({"net": []}, "no weights"),
        ({"net": {"0.weight": 1.0}}, "no weights"),
        ({"optimizer": {"lr": 0.1}}, "optimizer"),
        ({"optimizer": [1]}, "optimizer"),
        ({"optimizer": {"state": {}, "param_groups": []}}, "optimizer"),
        ({"best": "0.5"}, "best"),
        ({"best": {"score": 0.5}}, "best"),
    ],
)
def test_a_state_made_by_hand_is_refused_in_one_line(tmp_path, capsys, changes, part):
    checkpoint, net = made_by_hand(tmp_path, **changes), make_net()
    optimizer = torch.optim.AdamW(net.parameters())
    best = Best("loss", higher=False, patience=0)
    state = {"net": net, "optimizer": optimizer, "best": best}
    checkpoints = Checkpoints(tmp_path, state, ABOUT, every=1, keep=2)
    assert part in refused(capsys, MISMATCH, checkpoints.restore, checkpoint)


def test_weights_without_a_step_are_nothing_to_go_on_from(tmp_path, capsys):
    checkpoint = made_by_hand(tmp_path) | {"step": 0}
    checkpoints = Checkpoints(tmp_path, {"net": make_net()}, ABOUT, every=1, keep=2)
    assert "--init-from" in refused(capsys, MISMATCH, checkpoints.restore, checkpoint)


def test_scores_of_any_library_are_saved_as_numbers(tmp_path):
    best = Best("accuracy", higher=True, patience=0)
    checkpoints = Checkpoints(tmp_path, {"net": make_net(), "best": best}, ABOUT, every=1, keep=2)
    scores: dict[str, Any] = {"accuracy": np.float32(0.5), "f1": np.float64(1)}
    scores["loss"] = torch.tensor(0.25)
    checkpoints.save(1, scores, best=best.update(scores))
    saved = load_checkpoint(tmp_path / "checkpoints" / "best.pt")
    assert saved["scores"] == {"accuracy": 0.5, "loss": 0.25, "f1": 1.0}
    numbers = [*saved["scores"].values(), saved["state"]["best"]["score"]]
    assert {type(number) for number in numbers} == {float}


def test_an_older_checkpoint_without_some_parts_restores_the_others(tmp_path):
    checkpoint = load_checkpoint(save(tmp_path, 5))
    checkpoint["kinds"] = {}
    best = Best("loss", higher=False, patience=0)
    net, theirs = make_net(), checkpoint["state"]["net"]
    state = {"net": net, "best": best}
    assert Checkpoints(tmp_path, state, ABOUT, every=1, keep=2).restore(checkpoint) == 5
    assert best.score is None
    assert_same(dict(net.state_dict()), dict(theirs))


def test_restoring_frees_the_loaded_file(tmp_path):
    checkpoint = load_checkpoint(save(tmp_path, 5))
    Checkpoints(tmp_path, {"net": make_net()}, ABOUT, every=1, keep=2).restore(checkpoint)
    assert not checkpoint


def test_the_best_one_that_did_not_fit_is_written_when_there_is_space(tmp_path, monkeypatch):
    net, best = make_net(), Best("accuracy", higher=True, patience=0)
    checkpoints = Checkpoints(tmp_path, {"net": net, "best": best}, ABOUT, every=1, keep=2)

    def full(*values) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_checkpoint", full)
        checkpoints.save(1, {"accuracy": 0.9}, best=best.update({"accuracy": 0.9}))
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        net.get_parameter("0.weight").zero_()
    checkpoints.save(2, {"accuracy": 0.8}, best=best.update({"accuracy": 0.8}))
    kept = load_checkpoint(tmp_path / "checkpoints" / "best.pt")
    assert (kept["step"], kept["state"]["best"]["score"]) == (1, 0.9)
    assert_same(dict(kept["state"]["net"]), weights)


# weights, for scripts and for runs that begin with them


class Net(nn.Sequential):
    """(B, 4) -> (B, 1)"""

    def __init__(self, width: int = 8) -> None:
        super().__init__(nn.Linear(4, width), nn.GELU(), nn.Linear(width, 1))


class Other(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()


def save_best(folder: Path, net: nn.Module, step: int = 1, **state) -> Path:
    """Save a run's step as its best; return where that is."""
    about = {"model": {"width": 8}, "data": {}, "config": {}}
    checkpoints = Checkpoints(folder, {"net": net, **state}, about, every=1, keep=2)
    checkpoints.save(step, best=True)
    return folder / "checkpoints" / "best.pt"


def same(ours: nn.Module, theirs: nn.Module) -> bool:
    other = theirs.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize("other", [Net(16), nn.Sequential(nn.Linear(4, 8))])
def test_the_weights_of_another_network_are_refused_by_name(tmp_path, capsys, other):
    checkpoint = load_checkpoint(save_best(tmp_path, other))
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
    restore_network(restored, load_checkpoint(save_best(tmp_path, net, average=average)))
    assert same(restored, average.net)
    restore_network(restored, load_checkpoint(save_best(tmp_path, net, average=Average(net, 0.0))))
    assert same(restored, net)


def test_init_from_takes_what_fits_and_says_what_does_not(tmp_path, capsys):
    theirs, ours = Net(), Net()
    ours[2] = nn.Linear(8, 5)
    before = ours.get_parameter("2.weight").detach().clone()
    init_from(ours, save_best(tmp_path, theirs))
    assert torch.equal(ours.get_parameter("0.weight"), theirs.get_parameter("0.weight"))
    assert torch.equal(ours.get_parameter("2.weight"), before)
    output = capsys.readouterr().out
    assert "2 of 4 tensors" in output and "2.bias, 2.weight" in output


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
def test_names_that_wrappers_gave_are_those_of_the_network(tmp_path, prefix):
    theirs = Net()
    checkpoint = load_checkpoint(save_best(tmp_path, theirs))
    weights = {f"{prefix}{name}": tensor for name, tensor in theirs.state_dict().items()}
    write_checkpoint({**checkpoint, "path": None, "state": {"net": weights}}, tmp_path / "a.pt")
    begun, restored, resumed = Net(), Net(), Net()
    init_from(begun, tmp_path / "a.pt")
    restore_network(restored, load_checkpoint(tmp_path / "a.pt"))
    checkpoints = Checkpoints(tmp_path, {"net": resumed}, ABOUT | {"data": {}}, every=1, keep=2)
    checkpoints.restore(load_checkpoint(tmp_path / "a.pt"))
    assert same(begun, theirs) and same(restored, theirs) and same(resumed, theirs)


def test_names_of_layers_that_were_compiled_alone_are_bare_and_a_layer_may_be_a_module(tmp_path):
    net = nn.ModuleDict({"module": Net(), "head": nn.Linear(1, 1)})
    weights = {name.replace("head.", "head._orig_mod."): t for name, t in net.state_dict().items()}
    content = {"model": {}, "data": {}, "config": {}, "state": {"net": weights}}
    write_checkpoint(content, tmp_path / "a.pt")
    restored = nn.ModuleDict({"module": Net(), "head": nn.Linear(1, 1)})
    restore_network(restored, load_checkpoint(tmp_path / "a.pt"))
    assert same(restored, net)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_loaded_weights_that_are_not_finite_are_named_with_their_file(tmp_path, capsys, value):
    net = Net()
    weights = {**net.state_dict(), "2.weight": torch.full((1, 8), value)}
    content = {"model": {}, "data": {}, "config": {}, "state": {"net": weights}}
    write_checkpoint(content, tmp_path / "a.pt")
    line = refused(capsys, MISMATCH, init_from, net, tmp_path / "a.pt")
    assert "a.pt" in line and "2.weight" in line and "--lr" not in line
    checkpoint = load_checkpoint(tmp_path / "a.pt")
    line = refused(capsys, MISMATCH, restore_network, net, checkpoint)
    assert "a.pt" in line and "2.weight" in line and "--lr" not in line
    assert all(tensor.isfinite().all() for tensor in net.state_dict().values())


def test_init_from_a_network_that_shares_nothing_is_refused(tmp_path, capsys):
    path = save_best(tmp_path, Net())
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
        save_best(Path("runs") / name, Net(), step)
    assert newest_run() == newest_run("best.pt") == Path("runs/b")
    assert pick_checkpoint(None, Net)["step"] == 1
    for place in (Path("runs/a"), Path("runs/a/checkpoints/best.pt")):
        assert pick_checkpoint(place, Net)["step"] == 0


@pytest.mark.parametrize("part", ["model", "data", "config"])
def test_what_a_script_asks_for_and_a_checkpoint_lacks_is_one_line(tmp_path, capsys, part):
    checkpoint = pick_checkpoint(save_best(tmp_path, Net()), Net)
    assert {**checkpoint["model"]} == {"width": 8} and {**checkpoint["data"]} == {}
    with pytest.raises(SystemExit) as stopped:
        checkpoint[part]["vocabulary"]
    assert stopped.value.code == MISMATCH
    error = capsys.readouterr().err
    assert part in error and "vocabulary" in error and error.count("\n") == 1


def test_a_checkpoint_of_another_class_is_refused_before_it_is_built(tmp_path, capsys):
    path = save_best(tmp_path, Net())
    with pytest.raises(SystemExit) as stopped:
        pick_checkpoint(path, Other)
    assert stopped.value.code == MISMATCH
    error = capsys.readouterr().err
    assert "Other missing a required argument: 'depth'" in error and error.count("\n") == 1

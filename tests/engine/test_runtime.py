import copy
import random
from argparse import Namespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from project.engine import processes, runtime
from project.engine.errors import DEVICE, USAGE
from project.engine.runtime import (
    Precision,
    is_finite,
    mix,
    move,
    open_device,
    pick_device,
    redo_in_float32,
    seed_everything,
    set_seed,
    tensors,
)
from torch import Tensor, nn

CPU = torch.device("cpu")
META = torch.device("meta")  # a device that every machine has


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), torch.rand(()).item()


def test_mixed_seeds_depend_on_the_order_and_on_every_number():
    seeds = {mix(1, 2), mix(2, 1), mix(1, 2, 0), mix(3), mix(0, 3), mix(0), mix(0, 0), mix(-1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_mixed_seeds_are_the_same_on_every_machine():
    assert mix(1, 2, 3) == 6520558355739401531


def test_one_seed_sets_all_generators_and_0_is_one():
    seed_everything(0)
    first = draw()
    assert draw() != first
    seed_everything(0)
    assert draw() == first
    seed_everything(1)
    assert not set(draw()) & set(first)


@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_excludes_the_search_for_fast_kernels(deterministic):
    torch.use_deterministic_algorithms(False)  # whatever a test before left
    set_seed(0, deterministic)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.backends.cudnn.benchmark != deterministic


def test_auto_is_the_accelerator_and_the_cpu_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    assert pick_device("auto") == CPU


def test_cpu_wins_over_an_accelerator(monkeypatch):
    found = torch.device("cuda")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: found)
    assert pick_device("cpu") == CPU


def test_an_accelerator_that_nothing_here_seeds_is_one_line(monkeypatch, capsys):
    found = torch.device("xpu")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: found)
    with pytest.raises(SystemExit) as stopped:
        pick_device("auto")
    assert stopped.value.code == DEVICE
    error = capsys.readouterr().err
    assert "xpu" in error and "--device cpu" in error and error.count("\n") == 1


def test_picking_a_device_touches_nothing(monkeypatch):
    def refuse(*_):
        raise AssertionError("touched")

    monkeypatch.setattr(runtime.ctypes, "CDLL", refuse)
    monkeypatch.setattr(processes, "start", refuse)
    assert pick_device("cpu") == CPU
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda _: Namespace(mallopt=max))
    monkeypatch.setattr(processes, "start", lambda _: None)
    assert open_device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_missing_device_is_one_line(monkeypatch, capsys, name):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    with pytest.raises(SystemExit) as stopped:
        pick_device(name)
    assert stopped.value.code == DEVICE
    error = capsys.readouterr().err
    assert f"--device {name}" in error and "--device cpu" in error and error.count("\n") == 1


@pytest.mark.parametrize(("name", "dtype"), [("bf16", torch.bfloat16), ("none", torch.float32)])
@pytest.mark.usefixtures("bf16")
def test_autocast_computes_in_the_precision_that_was_asked_for(name, dtype):
    precision = Precision(CPU, name)
    layer = nn.Linear(8, 8)
    with precision.autocast():
        outputs = layer(torch.ones(1, 8))
    assert outputs.dtype == dtype
    assert layer(torch.ones(1, 8)).dtype == torch.float32
    assert not precision.scaler().is_enabled()


CONVOLUTIONS = [
    (nn.Conv1d(16, 16, 3, stride=3, padding=1), (1,)),
    (nn.Conv1d(16, 16, 3, stride=2, padding=1), (4,)),
    (nn.Conv2d(16, 16, 3, stride=2, padding=1), (1, 1)),
    (nn.Conv2d(16, 16, 3, stride=2, padding=1), (2, 2)),
    (nn.Conv2d(16, 16, 5, stride=4, padding=2), (2, 2)),
    (nn.Conv2d(16, 16, 3, stride=2, padding=1), (8, 1)),
    (nn.Conv2d(3, 16, 7, stride=2, padding=3), (8, 1)),
    (nn.Conv2d(16, 16, 1, stride=2), (1, 1)),
    (nn.Conv3d(16, 16, 3, stride=2, padding=1), (4, 4, 1)),
    (nn.Conv3d(3, 16, 5, padding=2), (1, 4, 4)),
]


@pytest.mark.parametrize("has", [True, False])
def test_a_cpu_without_bf16_computes_in_float32_and_says_so(monkeypatch, has):
    able = {"avx2": True, "avx512_bf16": has, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    precision = Precision(CPU, "bf16")
    assert precision.dtype == (torch.bfloat16 if has else torch.float32)
    assert ("float32" in precision.note) == (not has)
    assert Precision(CPU, "none").note == ""


@pytest.mark.usefixtures("bf16")
@pytest.mark.parametrize("compiled", [False, True])
def test_weights_of_every_convolution_get_their_gradient_in_bf16(compiled):
    precision = Precision(CPU, "bf16")
    generator = torch.Generator().manual_seed(0)
    for layer, size in copy.deepcopy(CONVOLUTIONS):
        net = nn.Sequential(layer)
        inputs = torch.randn(8, layer.in_channels, *size, generator=generator)
        net(inputs).square().sum().backward()
        expected, layer.weight.grad = layer.weight.grad, None
        precision.prepare(net)
        if compiled:
            net.compile(backend="eager")
        for _ in range(4):
            layer.weight.grad = None
            junk = torch.full_like(layer.weight, 1e6)  # what memory holds that nobody writes to
            del junk
            with precision.autocast():
                outputs = net(inputs)
            assert outputs.dtype == torch.bfloat16
            outputs.float().square().sum().backward()
            assert layer.weight.grad is not None and expected is not None
            error = torch.linalg.vector_norm(layer.weight.grad - expected)
            assert error < 0.05 * torch.linalg.vector_norm(expected), (layer, size)


def test_only_convolutions_that_bf16_would_spoil_compute_in_float32():
    redone = []
    for layer, size in CONVOLUTIONS:
        found = redo_in_float32(layer, (torch.zeros(2, layer.in_channels, *size),), torch.zeros(()))
        redone.append(found is not None)
    assert redone == [True, False, True, False, True, True, True, False, True, True]


def test_fp16_on_a_cpu_is_refused_with_the_way_out(capsys):
    with pytest.raises(SystemExit) as stopped:
        Precision(CPU, "fp16")
    assert stopped.value.code == USAGE
    error = capsys.readouterr().err
    assert "--amp bf16" in error and error.count("\n") == 1


def test_a_scaler_that_is_off_passes_everything_through():
    net = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    scaler = Precision(CPU, "none").scaler()
    before = net.weight.detach().clone()
    scaler.scale(net(torch.ones(1, 2)).sum()).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(net.weight, before - 1)


@pytest.mark.usefixtures("bf16")
def test_sizes_that_tensor_cores_dislike_are_named_where_there_are_some() -> None:
    net = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 10), nn.Conv2d(3, 8, 3))
    precision = Precision(torch.device("cpu"), "bf16")
    assert precision.odd_layers(net) == []
    precision.device = torch.device("cuda")
    assert precision.odd_layers(net) == ["1.weight", "2.weight"]


class Pair(NamedTuple):
    image: Tensor
    name: str


def test_every_tensor_of_a_nested_batch_is_moved():
    batch = {
        "a": [torch.ones(2), (torch.ones(1), {"b": torch.ones(3)})],
        "pair": Pair(torch.ones(4), "x"),
    }
    moved = move(batch, META)
    assert moved["a"][0].device == moved["a"][1][0].device == META
    assert moved["a"][1][1]["b"].shape == (3,) and moved["a"][1][1]["b"].device == META
    assert moved["pair"].image.device == META


def test_what_holds_the_tensors_keeps_its_kind():
    moved = move({"list": [1], "tuple": (2.0, None), "pair": Pair(torch.ones(1), "cat")}, META)
    assert moved["list"] == [1] and moved["tuple"] == (2.0, None)
    assert type(moved["pair"]) is Pair and moved["pair"].name == "cat"


def test_tensors_are_found_however_nested():
    one, two, three = torch.ones(1), torch.ones(2), torch.ones(3)
    batch = {"a": [one, "text"], "b": ({"c": two}, 7, three)}
    assert [len(tensor) for tensor in tensors(batch)] == [1, 2, 3]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_one_number_that_is_not_finite_is_found(value):
    tensor = torch.zeros(3, 2)
    assert is_finite(tensor)
    tensor[1, 1] = value
    assert not is_finite(tensor)
    assert is_finite(torch.tensor([1, 2])) and is_finite(torch.zeros(0))

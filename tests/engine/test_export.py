import sys
from pathlib import Path
from typing import Any

import export
import pytest
import torch
from export import FORMATS, write_as
from project.engine.checkpoint import Checkpoints
from project.engine.errors import MISMATCH, OUTPUT, USAGE
from torch import Tensor, nn
from torch.export import Dim

EXAMPLE = export.example


class Pair(nn.Module):
    """((B, 3), (B, 2)) -> ((B, 4), (B, 4))"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, width), nn.Linear(2, width)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        one, two = inputs
        return self.one(one) + self.two(two), self.one(one).tanh()


CHECKPOINT: dict[str, Any] = {"model": {"width": 4}, "data": {"classes": ["a", "b"]}}


@pytest.fixture(autouse=True)
def _pairs(monkeypatch):
    monkeypatch.setattr(export, "example", example)


def example(checkpoint: dict[str, Any], batch: int) -> tuple[Any, Any]:
    torch.manual_seed(batch)
    inputs = (torch.randn(batch, 3), torch.randn(batch, 2))
    size = Dim("batch")
    return inputs, ({0: size}, {0: size})


def make_net() -> nn.Module:
    torch.manual_seed(0)
    return Pair(4).eval()


def write(name: str, output: Path) -> float:
    for module in {"onnx": ("onnx", "onnxscript", "onnxruntime")}.get(name, (name,)):
        if name in ("onnx", "safetensors"):
            pytest.importorskip(module)
    return write_as(name, make_net(), CHECKPOINT, output)


@pytest.mark.parametrize("name", FORMATS)
def test_several_inputs_and_outputs_come_through_at_any_batch_size(tmp_path, name):
    output = tmp_path / f"model.{name}"
    assert write(name, output) < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_inputs_and_outputs_have_names():
    pair = torch.zeros(1), torch.zeros(1)
    assert export.numbered("inputs", pair[0]) == ["inputs"]
    assert export.numbered("inputs", pair) == ["inputs_0", "inputs_1"]


@pytest.mark.parametrize("factor", [0.5, torch.nan])
def test_a_file_that_computes_otherwise_gets_no_name(tmp_path, monkeypatch, capsys, factor):
    def wrong(net, checkpoint, path):
        path.write_text("")
        return lambda inputs: tuple(factor * output for output in net(inputs))

    monkeypatch.setitem(FORMATS, "pt2", (wrong, ""))
    with pytest.raises(SystemExit) as stopped:
        write("pt2", tmp_path / "model.pt2")
    assert stopped.value.code == MISMATCH
    assert "outputs differ" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_what_is_missing_is_one_line(tmp_path, monkeypatch, capsys):
    def absent(net, checkpoint, path):
        raise ModuleNotFoundError("No module named 'onnxruntime'")

    monkeypatch.setitem(FORMATS, "onnx", (absent, ""))
    for output, name, code in (
        (tmp_path / "model.onnx", "onnx", USAGE),
        (tmp_path / "nowhere" / "model.pt2", "pt2", OUTPUT),
    ):
        with pytest.raises(SystemExit) as stopped:
            write_as(name, make_net(), CHECKPOINT, output)
        assert stopped.value.code == code
        assert capsys.readouterr().err.count("\n") == 1


def test_where_pytorch_refuses_torchscript_one_line_says_what_to_take(
    tmp_path, monkeypatch, capsys
):
    def refuse(*arguments):
        raise RuntimeError("not supported in Python 3.14+\nand more")

    for broken in (refuse, None):
        monkeypatch.setattr(torch.jit, "trace", broken)
        with pytest.raises(SystemExit) as stopped:
            write("torchscript", tmp_path / "model.torchscript")
        line = capsys.readouterr().err
        assert stopped.value.code == USAGE and line.count("\n") == 1
        assert "--format pt2" in line and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "form", "name"),
    [
        ("", "pt2", "best.pt2"),
        ("--format onnx", "onnx", "best.onnx"),
        ("--output m.onnx", "onnx", "m.onnx"),
        ("--output m.onnx --format onnx", "onnx", "m.onnx"),
    ],
)
def test_the_format_is_what_the_output_ends_with(tmp_path, monkeypatch, flags, form, name):
    about = {"model": {"num_classes": 4}, "data": {}, "config": {}}
    net = export.ResNet(num_classes=4)
    Checkpoints(tmp_path, {"net": net}, about, every=1, keep=1).save(1, best=True)
    written = []
    monkeypatch.setattr(export, "write_as", lambda *given: written.append(given) or 0.0)
    monkeypatch.setattr(sys, "argv", ["export.py", str(tmp_path), *flags.split()])
    export.main()
    assert [(one[0], one[3].name) for one in written] == [(form, name)]


def test_a_swapped_network_is_told_what_the_example_asks_for(tmp_path, monkeypatch, capsys):
    about = {"model": {"width": 4}, "data": {}, "config": {}}
    checkpoints = Checkpoints(tmp_path, {"net": make_net()}, about, every=1, keep=1)
    checkpoints.save(1, best=True)
    monkeypatch.setattr(export, "ResNet", Pair)
    monkeypatch.setattr(export, "example", EXAMPLE)
    monkeypatch.setattr(sys, "argv", ["export.py", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        export.main()
    assert stopped.value.code == MISMATCH
    error = capsys.readouterr().err
    assert "image_size" in error and error.count("\n") == 1

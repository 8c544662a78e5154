"""A network as a file for production, which computes the same."""

import json
import math
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import MISMATCH, OUTPUT, USAGE, fail
from .runtime import tensors

Example = Callable[[int], tuple[Any, Any]]  # of a batch size: inputs, and what may vary in them
Run = Callable[[Any], Any]  # inputs, a tensor or a tuple of them, to outputs


def write_as(
    name: str, net: nn.Module, checkpoint: dict[str, Any], example: Example, output: Path
) -> float:
    """Write the network, and return the largest difference of the file's outputs from its own.

    The file gets its name when its outputs are right.
    """
    try:
        with tempfile.TemporaryDirectory(dir=output.parent) as folder:
            draft = Path(folder) / output.name
            write, _ = FORMATS[name]
            run = write(net, checkpoint, example, draft)
            difference = max(compare(net, run, example(batch)[0], batch) for batch in (1, 2, 5))
            draft.replace(output)
    except ImportError as error:
        fail(USAGE, f"--format {name}: {error}; uv sync --extra export")
    except OSError as error:
        fail(OUTPUT, f"--output {output}: {error.strerror}")
    return difference


@torch.inference_mode()
def compare(net: nn.Module, run: Run, inputs: Any, batch: int) -> float:
    """Return the largest difference of an output, as a share of its largest number."""
    pairs = zip(tensors(run(inputs)), tensors(net(inputs)), strict=True)
    shares = [((ours - right).abs().max() / right.abs().max()).item() for ours, right in pairs]
    difference = math.nan if any(map(math.isnan, shares)) else max(shares)
    if not difference < 1e-3:  # other runtimes add up in another order
        fail(MISMATCH, f"not exported: at batch {batch} its outputs differ by {difference:.0e}")
    return difference


def write_pt2(net: nn.Module, checkpoint: dict[str, Any], example: Example, path: Path) -> Run:
    inputs, dims = example(2)
    torch.export.save(torch.export.export(net, (inputs,), dynamic_shapes=(dims,)), path)
    return torch.export.load(path).module()


def write_onnx(net: nn.Module, checkpoint: dict[str, Any], example: Example, path: Path) -> Run:
    import onnxruntime

    inputs, dims = example(2)
    names = numbered("inputs", inputs)
    shown = {"input_names": names, "output_names": numbered("outputs", net(inputs))}
    # one file, of up to 2 GB
    how = {"dynamic_shapes": (dims,), "external_data": False, "verbose": False}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "# The axis name")  # of two inputs that share an axis
        torch.onnx.export(net, (inputs,), path, **shown, **how)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(inputs: Any) -> list[Tensor]:
        arrays = (tensor.numpy() for tensor in tensors(inputs))
        outputs = session.run(None, dict(zip(names, arrays, strict=True)))
        return [torch.from_numpy(output) for output in outputs]

    return run


def numbered(name: str, value: Any) -> list[str]:
    """Return a name for each tensor: inputs, or inputs_0, inputs_1 ... for several."""
    count = len(list(tensors(value)))
    return [name] if count == 1 else [f"{name}_{number}" for number in range(count)]


def write_safetensors(
    net: nn.Module, checkpoint: dict[str, Any], example: Example, path: Path
) -> Run:
    from safetensors.torch import load_model, save_model

    # what rebuilds the network and its inputs, for whoever has this project's code
    about = {name: json.dumps(checkpoint[name]) for name in ("model", "data")}
    save_model(net, str(path), metadata=about)
    copy = type(net)(**checkpoint["model"]).eval()
    load_model(copy, path)
    return copy


def write_torchscript(
    net: nn.Module, checkpoint: dict[str, Any], example: Example, path: Path
) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and the help says so
        torch.jit.save(torch.jit.trace(net, (example(2)[0],)), path)
        return torch.jit.load(path)


FORMATS = {
    "pt2": (write_pt2, "a torch.export program, which needs PyTorch only"),
    "onnx": (write_onnx, "for ONNX Runtime and other runtimes"),
    "safetensors": (write_safetensors, "the weights alone"),
    "torchscript": (write_torchscript, "for old programs; PyTorch has deprecated it"),
}

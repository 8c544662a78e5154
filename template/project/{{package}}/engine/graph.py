"""The network as boxes and arrows, read from torch.export's graph."""

import copy
import io
import logging
from contextlib import redirect_stderr
from typing import Any

import torch
from torch import fx, nn

from .errors import USAGE, fail
from .layout import Box
from .picture import draw
from .runtime import tensors

MOST_BOXES = 64  # with more, whole blocks become one box
# operations that pass values on as they are, or do nothing outside training
PASSING = set(
    "alias arange chunk clone contiguous detach dropout expand feature_dropout flatten getitem "
    "narrow permute reshape select slice split split_with_sizes squeeze sym_size to transpose "
    "unbind unflatten unsqueeze view _assert_tensor_metadata".split()
)


def draw_network(net: nn.Module, inputs: Any) -> str:
    """Return an SVG picture of the network, which keeps its mode."""
    net = copy.deepcopy(net).eval()
    logging.disable()  # PyTorch's page on what fails becomes one line
    try:
        with redirect_stderr(io.StringIO()):
            program = torch.export.export(net, (inputs,))
    except Exception as error:  # export's errors have no class in common
        reason = str(error).strip().partition("\n")[0]
        fail(USAGE, f"--graph: torch.export cannot follow this network: {reason}")
    finally:
        logging.disable(logging.NOTSET)
    batch = next(tensors(inputs)).shape[0]
    deepest = max(len(node.meta.get("nn_module_stack", ())) for node in program.graph.nodes)
    boxes = read_boxes(net, program, deepest, batch)
    while len(boxes) > MOST_BOXES and deepest > 2:
        deepest -= 1
        boxes = read_boxes(net, program, deepest, batch)
    count = sum(parameter.numel() for parameter in net.parameters())
    return draw(boxes, f"{type(net).__name__}: {count:,} parameters")


def read_boxes(
    net: nn.Module, program: torch.export.ExportedProgram, deepest: int, batch: int
) -> list[Box]:
    """Return the boxes in the order of execution; modules at the deepest level are not opened."""
    boxes: list[Box] = []
    calls: dict[str, Box] = {}
    reached: dict[fx.Node, list[Box]] = {}  # the boxes that a node's value comes from
    for node in program.graph.nodes:
        kind = kind_of(node)
        stack = list(node.meta.get("nn_module_stack", {}).items())[1:deepest]
        call, (path, _) = stack[-1] if stack else ("", ("", ""))
        module = net.get_submodule(path)
        is_layer = bool(path) and (len(stack) == deepest - 1 or not any(module.children()))
        box = calls.get(call) if is_layer else None
        sources = dict.fromkeys(box for other in node.all_input_nodes for box in reached[other])
        reached[node] = list(sources)
        if node.op == "placeholder" and node.name not in program.graph_signature.user_inputs:
            continue  # a weight
        if box is None:
            passing = kind in PASSING or not (sources or is_layer)
            if node.op == "call_function" and passing:
                continue
            around = [block_title(path, kind) for _, (path, kind) in stack]
            box = Box(kind, blocks=tuple(around[:-1] if is_layer else around))
            if is_layer:
                box.name, box.kind = path, type(module).__name__
                box.weights = sum(parameter.numel() for parameter in module.parameters())
                calls[call] = box
            boxes.append(box)
        box.sources += [source for source in sources if source not in (box, *box.sources)]
        box.shape = shape_of(node.meta.get("val"), batch) or box.shape
        reached[node] = [box]
    return boxes


def kind_of(node: fx.Node) -> str:
    """Return "add" for aten.add.Tensor, "inputs" and "outputs" for the ends."""
    if node.op != "call_function":
        return "inputs" if node.op == "placeholder" else "outputs"
    name = getattr(node.target, "__name__", str(node.target))  # "add.Tensor", or "getitem"
    return name.partition(".")[0].rstrip("_")


def block_title(path: str, kind: str) -> str:
    """Return "blocks.0: Block"; that something is a Sequential says nothing new."""
    kind = kind.rpartition(".")[2]
    return path if kind == "Sequential" else f"{path}: {kind}"


def shape_of(value: Any, batch: int) -> str:
    """Return "B × 16 × 32", by a value's first tensor."""
    first = next(tensors(value), None)
    if first is None or not first.ndim:
        return ""
    sizes = ["B" if first.shape[0] == batch else str(first.shape[0]), *map(str, first.shape[1:])]
    return " × ".join(sizes)

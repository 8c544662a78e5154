"""GPT-2 with 124M weights on one GPU: python benchmarks/gpu.py PROJECT, of language_modeling

Prints tokens per second, and the share of what the GPU can do at most (MFU), by the size of the
vocabulary (50,257 makes products that are no multiple of 8 wide) and by what is compiled. `sh
tests/gpu.sh render` makes a project in .gpu/language_modeling. Within three minutes on an H200.

With --device cpu --toy: a tiny network for a few steps, to see that this file still works.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch


class Size(NamedTuple):
    """What is measured: one network, and batches of one shape."""

    vocabularies: tuple[int, int]  # as it is, and as it is padded
    batch: int
    context: int
    width: int
    depth: int
    steps: int


GPT2 = Size((50_257, 50_304), batch=16, context=1024, width=768, depth=12, steps=20)
TOY = Size((101, 104), batch=2, context=32, width=64, depth=1, steps=2)
WARM_UP = 3


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure(
    package: str, size: Size, device: torch.device, peak: float, vocabulary: int, compiled: str
) -> str:
    """Train some steps; return a line of numbers."""
    gpt: Any = importlib.import_module(f"{package}.gpt")
    optimize: Any = importlib.import_module(f"{package}.engine.optimize")
    torch._dynamo.reset()
    torch.manual_seed(0)
    heads = size.width // 64
    net = gpt.GPT(vocabulary, size.context, dim=size.width, depth=size.depth, heads=heads)
    net, criterion = net.to(device), gpt.CrossEntropy()
    if compiled != "nothing":
        net.compile()
    if compiled == "network and loss":
        criterion.compile()
    optimizer = torch.optim.AdamW(optimize.decay_groups(net, 0.1), lr=1e-4, fused=True)
    shape = (size.batch, size.context + 1)
    ids = torch.randint(size.vocabularies[0], shape, device=device)
    start = began = time.perf_counter()
    for step in range(WARM_UP + size.steps):
        if step == WARM_UP:
            wait(device)
            start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16):
            loss = criterion(net(ids[:, :-1]), ids[:, 1:])
        loss.backward()
        optimize.clip_gradients(net, 1.0, 0.0)
        optimizer.step()
        optimizer.zero_grad()
    wait(device)
    seconds = (time.perf_counter() - start) / size.steps
    tokens = size.batch * size.context
    used = flops(net, size) * tokens / seconds / peak
    return (
        f"vocabulary {vocabulary:6}, compiled: {compiled:16} {tokens / seconds:11,.0f} tokens/s, "
        f"MFU {used:.1%}, warm-up {start - began:.0f} s"
    )


def flops(net: Any, size: Size) -> int:
    """Return the operations for a token, forward and backward; attention is causal."""
    # the table of tokens is looked up, not multiplied
    weights = sum(parameter.numel() for parameter in net.parameters()) - net.token.weight.numel()
    return 6 * weights + 6 * size.depth * size.context * size.width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, help="folder of a language_modeling project")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--toy", action="store_true", help="tiny, for a few steps")
    parser.add_argument(
        "--peak", type=float, default=989e12, help="bf16 FLOP/s; an H200 by default"
    )
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.exit(1, "benchmarks/gpu.py: this machine's PyTorch sees no CUDA device\n")
    models = [*args.project.glob("*/gpt.py")]
    if not models:
        parser.exit(1, f"benchmarks/gpu.py: {args.project} is no project of language_modeling\n")
    sys.path.insert(0, str(args.project))
    torch.set_float32_matmul_precision("high")
    size, device = TOY if args.toy else GPT2, torch.device(args.device)
    plain, padded = size.vocabularies
    choices = [(plain, "nothing"), (padded, "nothing")]
    if not args.toy:
        choices += [(padded, "network"), (padded, "network and loss")]
    for choice in choices:
        print(measure(models[0].parent.name, size, device, args.peak, *choice), flush=True)


if __name__ == "__main__":
    main()

"""What some practices are worth, measured: python benchmarks/practices.py [P22 P32 ...]

The figures of docs/practices.md that are not from somewhere else. Sizes and errors are the same on
every machine; times are CPU time on one thread, medians of repeats that take turns.
"""

import argparse
import importlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = Path(tempfile.mkdtemp(prefix="practices-"))


@cache
def render(task: str) -> None:
    """Make a project of a task, whose package has the task's name, ready to import."""
    snapshot = FOLDER / "template"
    if not snapshot.exists():
        ignore = shutil.ignore_patterns(".git", ".venv", "__pycache__")
        shutil.copytree(REPOSITORY, snapshot, ignore=ignore)
    data = [f"--data={pair}" for pair in (f"task={task}", f"package={task}")]
    subprocess.run(
        ["copier", "copy", "--quiet", "--trust", "--defaults", *data, snapshot, FOLDER / task],
        check=True,
        env=os.environ | {"COPIER_PYTORCH_WITHOUT_GIT": "1"},
    )
    sys.path.append(str(FOLDER / task))


def part(task: str, module: str) -> Any:
    render(task)
    return importlib.import_module(f"{task}.{module}")


def times(*functions: Callable[[], object], repeats: int = 9) -> list[float]:
    """Return the CPU time of a call of each, in ms."""
    rows = []
    for _ in range(repeats):
        row = []
        for function in functions:
            began = time.process_time()
            function()
            row.append(1000 * (time.process_time() - began))
        rows.append(row)
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def kept(net: nn.Module, inputs: Tensor) -> float:
    """Return the MiB that a forward pass keeps for backward, weights apart."""
    sizes = {parameter.untyped_storage().data_ptr(): 0 for parameter in net.parameters()}
    alive = []

    def pack(tensor: Tensor) -> Tensor:
        sizes.setdefault(tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes())
        alive.append(tensor)  # or another tensor might get its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = net(inputs)
    assert outputs.requires_grad
    return sum(sizes.values()) / 2**20


def p18() -> str:
    net = part("image_classification", "resnet").ResNet(num_classes=8)
    inputs = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8)
    full = kept(net, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = kept(net, inputs)
    return f"forward keeps {half:.0f} MiB for backward with bf16, {full:.0f} MiB without"


def p20() -> str:
    loader = part("language_modeling", "engine.loader")
    micro_batches = part("language_modeling", "engine.loader").micro_batches
    criterion = part("language_modeling", "losses.cross_entropy").CrossEntropy()
    net = nn.Linear(8, 5).double()
    inputs, targets = torch.randn(32, 16, 8).double(), torch.randint(5, (32, 16))
    places = torch.arange(16)
    targets[places >= torch.linspace(1, 16, 32)[:, None]] = -100  # from short to long
    parts = list(zip(inputs.chunk(4), targets.chunk(4), strict=True))
    batch = loader.Batch(parts, 0, 1.0)
    weighed = list(micro_batches(batch, net, criterion, (1, 0)))

    def gradient(loss: Tensor) -> Tensor:
        return torch.autograd.grad(loss, net.weight)[0]

    whole = gradient(criterion(net(inputs), targets))
    exact = gradient(sum(criterion(net(x), y) * share for x, y, share in weighed))  # type: ignore
    means = gradient(sum(criterion(net(x), y) / 4 for x, y in parts))  # type: ignore
    mine, other = ((found - whole).norm() / whole.norm() for found in (exact, means))
    return (
        f"with four parts of unequal size the gradient is that of the whole batch to {mine:.0e}, "
        f"the mean of their means is {100 * other:.0f} % off"
    )


def p22() -> str:
    gpt, ids = part("language_modeling", "gpt").GPT, torch.randint(256, (32, 128))
    nets = [gpt(256, 128, checkpointing=on) for on in (True, False)]
    few, all_of_them = (kept(net, ids) for net in nets)
    slow, quick = times(*(lambda net=net: net(ids).sum().backward() for net in nets), repeats=5)
    return (
        f"forward keeps {few:.0f} MiB for backward rather than {all_of_them:.0f}, "
        f"and both passes take {slow / quick:.1f} times as long"
    )


def p23() -> str:
    storage = part("language_modeling", "engine.storage")
    path = FOLDER / "step-1.pt"
    state = {"net": part("language_modeling", "gpt").GPT(256, 128).state_dict()}
    content = {"step": 1, "model": {}, "data": {}, "config": {}, "state": state}
    storage.write_checkpoint(content, path)
    whole, flips = path.read_bytes(), 300
    taken = {storage.read_checkpoint: 0, torch.load: 0}
    for number in range(flips):
        damaged = bytearray(whole)
        damaged[int(len(whole) * (number + 0.5) / flips)] ^= 1 << number % 8
        path.write_bytes(damaged)
        for load in taken:
            with suppress(Exception):  # as many kinds as there are bytes to damage
                load(path)
                taken[load] += 1
    mine, other = taken.values()
    return f"of {flips} checkpoints with one flipped bit {mine} are loaded, by torch.load {other}"


def p29() -> str:
    import numpy

    array = numpy.zeros(25 * 2**20, dtype=numpy.float32)
    mine, other = times(lambda: torch.from_numpy(array), lambda: torch.tensor(array))
    assert torch.from_numpy(array).data_ptr() == array.ctypes.data
    return f"100 MiB take {mine:.2f} ms and no more memory, a copy {other:.0f} ms and as much again"


def p32() -> str:
    data = part("text_classification", "data")
    loaders = part("text_classification", "engine.loader")
    net = part("text_classification", "text_encoder").TextEncoder
    tokenizer = data.open_tokenizer("bytes")
    texts, _, _, classes = data.open_texts({"context": 512, "split_seed": 0}, tokenizer)
    mine = loaders.Loader(texts, 64, shuffle=True, seed=1)
    lengths = texts.lengths
    del texts.lengths
    other = loaders.Loader(texts, 64, shuffle=True, seed=1)
    texts.lengths = lengths
    model = net(vocabulary=256, patch=tokenizer.patch, context=512, num_classes=len(classes))
    found = [[b.micro_batches[0][0] for b in loader.steps(range(60))] for loader in (mine, other)]
    flat = [torch.cat([ids.flatten() for ids in batches]) for batches in found]
    padding = [100 * (ids == data.PADDING).float().mean() for ids in flat]

    def steps(batches: list[Tensor]) -> None:
        for ids in batches:
            model(ids).sum().backward()

    took = [ms / 60 for ms in times(*(lambda b=b: steps(b) for b in found), repeats=3)]
    return (
        f"{padding[0]:.0f} % of a batch are padding rather than {padding[1]:.0f} %, "
        f"and forward and backward take {took[0]:.0f} ms rather than {took[1]:.0f}"
    )


MEASURED = {"P18": p18, "P20": p20, "P22": p22, "P23": p23, "P29": p29, "P32": p32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", default=[*MEASURED], help="by default all of them")
    numbers = parser.parse_args().numbers
    if unknown := {*numbers} - MEASURED.keys():
        parser.error(f"{', '.join(sorted(unknown))}: measured are {', '.join(MEASURED)}")
    torch.set_num_threads(1)
    try:
        for number in numbers:
            torch.manual_seed(1)
            print(f"{number}  {MEASURED[number]()}", flush=True)
    finally:
        shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()

"""Is this machine fit to train? One line per finding, each problem with its way out."""

import argparse
import os
import platform
import re
import shutil
import tomllib
import warnings
from collections.abc import Iterator
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten

from .engine.errors import DEVICE, fail

try:
    import torch

    from .engine.runtime import has_bf16
except (ImportError, OSError) as broken:
    fail(DEVICE, f"problem PyTorch cannot be imported ({broken}); uv sync, or pip install torch")

WAY_TO_CUDA = "update the driver, or choose the build that fits it at pytorch.org/get-started"
Finding = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--device", choices=("auto", "cuda", "mps", "cpu"), default="auto", help="where to compute")
    add("--compile", action="store_true", help="really compile something: takes up to a minute")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # what they say is a finding
    problems = 0
    for level, text in find(args.device, args.compile):
        print(f"{level:<8} {text}", flush=True)
        problems += level == "problem"
    print("ready to train" if not problems else f"not ready: {problems} to solve")
    raise SystemExit(DEVICE if problems else 0)


def find(device: str, really_compile: bool) -> Iterator[Finding]:
    """Yield what stands in the way of training, and what does not."""
    yield "ok", f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    pyproject = Path(__file__).parents[1] / "pyproject.toml"
    for needed in tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]:
        name = re.split("[<=>~;]", needed)[0]
        if ";" not in needed and not [*distributions(name=name)]:
            yield "problem", f"{name} is missing: uv sync, or pip install {name}"
    if os.path.isdir(shared := "/dev/shm"):  # noqa: S108  where workers hand over their batches
        yield space(shared, 1, "shared memory", "docker run --shm-size=8g, or --workers 0")
    yield space(".", 2, "disk", "checkpoints may not fit; --run-dir elsewhere")
    if not os.access(".", os.W_OK):
        yield "problem", "this folder cannot be written; --run-dir elsewhere"
    yield from examine(device, really_compile)


def space(folder: str, least: int, name: str, way_out: str) -> Finding:
    free = shutil.disk_usage(folder).free / 1e9
    text = f"{free:.1f} GB of {name} free"
    return ("ok", text) if free >= least else ("warning", f"{text}; {way_out}")


def examine(name: str, really_compile: bool) -> Iterator[Finding]:
    """Compute something on each device of the kind, and look at what else it can do."""
    kind = name if name != "auto" else str(torch.accelerator.current_accelerator(True) or "cpu")
    if kind == "cpu" and name == "auto" and shutil.which("nvidia-smi"):
        yield "warning", f"device cpu: PyTorch sees no GPU, but a driver is there; {WAY_TO_CUDA}"
    for index in range(max(1, torch.cuda.device_count()) if kind == "cuda" else 1):
        device = torch.device(kind, index)
        try:
            torch.ones(8, 8, device=device).mm(torch.ones(8, 8, device=device)).cpu()
            free, total = torch.cuda.mem_get_info(device) if kind == "cuda" else (1, 1)
        except (AssertionError, RuntimeError) as error:  # no such device, or no code for it
            yield "problem", f"device {device}: {shorten(str(error), 80)}; {WAY_TO_CUDA}"
            return
        used = "" if free > total / 2 else f": only {free / 1e9:.0f} of {total / 1e9:.0f} GB free"
        yield "warning" if used else "ok", f"device {device}{used}"
    can = {"bf16": has_bf16(torch.device(kind)), "fp16": kind != "cpu", "none": True}
    yield "ok", f"--amp {' or '.join(name for name in can if can[name])}"
    yield compiler(kind, really_compile)


def compiler(kind: str, really_compile: bool) -> Finding:
    compilers = map(shutil.which, ("c++", "g++", "clang++", "cl"))
    if not (find_spec("triton") if kind == "cuda" else any(compilers)):
        return "warning", "--compile needs triton on a GPU, a C++ compiler on a CPU, or stays off"
    if not really_compile:
        return "ok", f"--compile has what it needs; python -m {__package__}.doctor --compile tries"
    try:
        torch.compile(torch.nn.Linear(8, 8).to(kind))(torch.ones(2, 8, device=kind)).sum().item()
    except Exception as error:  # whatever goes wrong in there, training goes without it
        return "warning", f"--compile: {shorten(str(error), 80)}; train without"
    return "ok", "--compile works"


if __name__ == "__main__":
    main()

"""Is this machine fit to train? One line per finding, each problem with its way out."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from .engine.errors import DEVICE, fail

try:
    import torch
except (ImportError, OSError) as broken:
    fail(DEVICE, f"problem PyTorch cannot be imported ({broken}); uv sync, or pip install torch")

from .engine.runtime import usable_cores  # noqa: E402  needs PyTorch

GIB = 2**30
WAY_TO_CUDA = "update the driver, or choose the build that fits it at pytorch.org/get-started"
OK, WARNING, PROBLEM = "ok", "warning", "problem"
Finding = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--device", choices=("auto", "cuda", "mps", "cpu"), default="auto", help="where to compute")
    add("--compile", action="store_true", help="really compile something: takes up to a minute")
    args = parser.parse_args()

    problems = 0
    for level, text in find(args.device, args.compile):
        print(f"{level:<8} {text}", flush=True)
        problems += level == PROBLEM
    print("ready to train" if not problems else f"not ready: {problems} to solve")
    sys.exit(DEVICE if problems else 0)


def find(name: str, really_compile: bool) -> Iterator[Finding]:
    """Yield what stands in the way of training, and what does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is a finding below
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        device = name if name != "auto" else accelerator.type if accelerator else "cpu"
        yield OK, f"Python {platform.python_version()}, {platform.platform(terse=True)}"
        build = torch.version.cuda and f"CUDA {torch.version.cuda}"
        build = build or (torch.version.hip and f"ROCm {torch.version.hip}") or "no CUDA"
        yield OK, f"PyTorch {torch.__version__}, built with {build}"
        if device == "cuda":
            yield from cuda()
        elif device == "mps" and not torch.backends.mps.is_available():
            yield PROBLEM, "device mps: needs macOS 14 on an Apple GPU; try --device cpu"
        elif device == "cpu" and name == "auto" and shutil.which("nvidia-smi"):
            yield WARNING, f"device cpu: {driver()}, but PyTorch sees no GPU; {WAY_TO_CUDA}"
        else:
            yield OK, f"device {device}"
        if device != "cuda" or torch.cuda.is_available():
            yield precision(device)
            yield compiler(device, really_compile)
        yield from machine()
        yield from loggers()


def driver() -> str:
    """Return the NVIDIA driver's version in words."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "no NVIDIA driver"
    return f"NVIDIA driver {done.stdout.split()[0]}"


def cuda() -> Iterator[Finding]:
    """Compare the build, the driver and what each device can run."""
    if torch.version.cuda is None and torch.version.hip is None:
        yield PROBLEM, f"device cuda: this PyTorch has no GPU code; {WAY_TO_CUDA}"
        return
    if not torch.cuda.is_available():
        yield PROBLEM, f"device cuda: {driver()}, and PyTorch sees no GPU; {WAY_TO_CUDA}"
        return
    yield OK, f"{driver()}; the build has code for {' '.join(torch.cuda.get_arch_list())}"
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        title = f"device cuda:{index}: {device.name}, sm_{device.major}{device.minor}"
        if torch.version.cuda and not has_code_for(device.major, device.minor):
            yield PROBLEM, f"{title}, for which this build has no code; {WAY_TO_CUDA}"
            continue
        try:
            ones = torch.ones(8, 8, device=f"cuda:{index}")
            (ones @ ones).sum().item()
        except RuntimeError as error:
            yield PROBLEM, f"{title}: {first_line(error)}"
            continue
        free, total = torch.cuda.mem_get_info(index)
        level = OK if free > total / 2 else WARNING
        yield level, f"{title}, {free / GIB:.0f} of {total / GIB:.0f} GiB free"


def has_code_for(major: int, minor: int) -> bool:
    """Return whether the build has machine code of the same generation, or PTX to compile."""
    for arch in torch.cuda.get_arch_list():
        kind, _, number = arch.partition("_")
        digits = "".join(filter(str.isdigit, number))
        theirs = (int(digits[:-1]), int(digits[-1]))
        if theirs <= (major, minor) and (kind == "compute" or theirs[0] == major):
            return True
    return False


def precision(device: str) -> Finding:
    """Say which --amp pays on the device."""
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return OK, "--amp bf16, fp16 or none"
        return WARNING, "--amp fp16 or none; this GPU has no bf16"
    if device == "cpu":
        fast = any("bf16" in name and has for name, has in torch.cpu.get_capabilities().items())
        return OK, f"--amp bf16 ({'fast' if fast else 'slow'} on this CPU) or none; no fp16"
    return OK, "--amp bf16, fp16 or none"


def compiler(device: str, really_compile: bool) -> Finding:
    """Say whether --compile can work."""
    if device == "cuda":
        missing = [] if find_spec("triton") else ["triton"]
    else:
        names = [os.environ.get("CXX"), "c++", "g++", "clang++", "cl"]
        missing = [] if any(shutil.which(name) for name in names if name) else ["a C++ compiler"]
    if missing:
        return WARNING, f"--compile needs {missing[0]}; install it, or train without"
    if not really_compile:
        return OK, f"--compile has what it needs; python -m {__package__}.doctor --compile tries it"
    try:
        net = torch.nn.Linear(8, 8).to(device)
        net.compile()
        net(torch.ones(2, 8, device=device)).sum().item()
    except Exception as error:  # whatever goes wrong in there, training goes without it
        return WARNING, f"--compile: {first_line(error)}; train without"
    return OK, "--compile works"


def machine() -> Iterator[Finding]:
    """Look at cores, shared memory and disk."""
    yield OK, f"{usable_cores()} cores for this process, which computing and --workers share"
    shared = Path("/dev/shm")  # noqa: S108  where workers hand over their batches
    if shared.is_dir():
        free = shutil.disk_usage(shared).free / GIB
        way_out = "" if free >= 1 else "; docker run --shm-size=8g, or --workers 0"
        yield WARNING if way_out else OK, f"{free:.1f} GiB of shared memory free{way_out}"
    try:
        with tempfile.TemporaryFile(dir="."):
            free = shutil.disk_usage(".").free / GIB
    except OSError as error:
        yield PROBLEM, f"this folder cannot be written ({error.strerror}); use --run-dir elsewhere"
        return
    way_out = "" if free >= 2 else "; checkpoints may not fit: clear some, or --run-dir elsewhere"
    yield WARNING if way_out else OK, f"{free:.1f} GiB of disk free here{way_out}"


def loggers() -> Iterator[Finding]:
    """Look for the package behind each logger, which has the same name."""
    for file in sorted((Path(__file__).parent / "engine" / "loggers").glob("[!_]*.py")):
        try:
            yield OK, f"logger {file.stem} {version(file.stem)}"
        except PackageNotFoundError:
            yield PROBLEM, f"logger {file.stem} is missing: uv add {file.stem}, or pip install it"


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0]


if __name__ == "__main__":
    main()

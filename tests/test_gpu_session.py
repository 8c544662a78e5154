"""What is meant for a GPU says so where there is none, instead of passing."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from releases import ROOT

COMMANDS = [("sh", "tests/gpu.sh"), (sys.executable, "benchmarks/gpu.py", ".")]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.skipif(sys.platform == "win32", reason="no sh")
@pytest.mark.parametrize("command", COMMANDS, ids=["tests", "benchmark"])
def test_without_a_gpu_it_fails_in_one_line(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.endswith(": this machine's PyTorch sees no CUDA device\n")
    assert (done.stderr.count("\n"), done.stdout) == (1, "")

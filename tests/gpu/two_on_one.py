"""torchrun --nproc-per-node=2 two_on_one.py train.py ...: two processes on one GPU, over gloo."""

import runpy
import sys
from pathlib import Path

import torch
from torch import distributed

sys.argv = sys.argv[1:]
sys.path.insert(0, str(Path.cwd()))
choose = torch.accelerator.set_device_index
torch.accelerator.device_count = lambda: 2
torch.accelerator.set_device_index = lambda index: choose(0)
# NCCL refuses to share a GPU
distributed.get_default_backend_for_device = lambda device: "gloo"
runpy.run_path(sys.argv[0], run_name="__main__")

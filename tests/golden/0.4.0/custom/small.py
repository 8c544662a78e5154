"""A run of seconds on made-up data, which test_scripts.py makes; change it along with data.py."""

from pathlib import Path

import torch

FLAGS = ("--data", "samples.pt")  # of train.py
INPUT = ("inputs.pt",)  # of predict.py
PRINTED = "row,prediction"  # by predict.py


def make_data(folder: Path) -> None:
    """Write more than 16 samples to train on; no batch size divides them."""
    inputs = torch.rand(28, 8, generator=torch.Generator().manual_seed(1))
    targets = inputs.sum(dim=1, keepdim=True)
    torch.save({"inputs": inputs, "targets": targets}, folder / "samples.pt")
    torch.save(inputs[:3], folder / "inputs.pt")

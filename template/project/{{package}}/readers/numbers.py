"""Numbers to predict."""

from typing import Any

import polars as pl
import torch

from ..engine.errors import DATA, fail
from .tables import Table

LARGEST = 1e30  # float32 is to hold its square


def number_column(table: Table, name: str) -> pl.DataFrame:
    """Return the column that --target-column names, null where a number is missing."""
    numbers = table.numbers(name, "--target-column")
    for row in (numbers.abs() > LARGEST).arg_true():
        table.refuse(row, name, f"{numbers[row]:g} is too large for float32; take another unit")
    return numbers.to_frame()


def mean_and_unit(dataset: Any) -> dict[str, Any]:
    """Return the mean of a data set's numbers and their standard deviation.

    A data set without `targets`, (N, 1), is read once.
    """
    if hasattr(dataset, "targets"):
        targets = torch.as_tensor(dataset.targets)
    else:
        targets = torch.stack([dataset[index][1] for index in range(len(dataset))])
    numbers = targets.double()
    # rounded: threads may add up in another order when the run goes on
    mean = float(f"{numbers.mean().item():.6g}")
    unit = float(f"{numbers.std(correction=0).item():.6g}")
    if not unit > 1e-5 * abs(mean):
        fail(DATA, f"the numbers to train on hardly differ: {mean:g}, give or take {unit:g}")
    return {"mean": mean, "unit": unit}

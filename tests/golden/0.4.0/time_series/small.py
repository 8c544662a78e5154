"""A run of seconds on made-up data, which test_scripts.py makes; change it along with data.py."""

import math
from datetime import date, timedelta
from pathlib import Path

FLAGS = (*("--data", "series.csv", "--context", "24"), *("--horizon", "4", "--season", "8"))
INPUT = ("series.csv", "--plots", "plots")  # of predict.py
PRINTED = "series,step,time,q0.05"  # by predict.py


def make_data(folder: Path) -> None:
    """Write more than 16 samples to train on; no batch size divides them."""
    lines = ["time,north,south"]
    for day in range(58):
        north = 10 + 3 * math.sin(day * math.pi / 4) + day * 7 % 5
        south = 200 + 40 * math.cos(day * math.pi / 4) + day * 3 % 7
        cells = f"{north:.3f},{south:.3f}" if day % 11 else f"{north:.3f},"  # some are missing
        lines.append(f"{date(2030, 1, 1) + timedelta(day)},{cells}")
    (folder / "series.csv").write_text("\n".join(lines), encoding="utf-8")

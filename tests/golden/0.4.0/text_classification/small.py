"""A run of seconds on made-up data, which test_scripts.py makes; change it along with data.py."""

import csv
from pathlib import Path

FLAGS = ("--data", "texts.csv", "--context", "64")  # of train.py
INPUT = ("It is not bad.", "Never again!")  # of predict.py
PRINTED = "text,class,probability"  # by predict.py


def make_data(folder: Path) -> None:
    """Write more than 16 samples to train on; no batch size divides them."""
    with (folder / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for number in range(29):
            words = " and".join([" good", " cheap", " small"][: number % 3 + 1])
            writer.writerow((f"Number {number} is{' not' * (number % 2)}{words}.", number % 2))

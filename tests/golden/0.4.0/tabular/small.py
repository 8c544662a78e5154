"""A run of seconds on made-up data, which test_scripts.py makes; change it along with data.py."""

import csv
from pathlib import Path

FLAGS = ("--data", "flats.csv", "--target", "rent", "--ignore", "id")  # of train.py
INPUT = ("flats.csv", "--keep", "id")  # of predict.py
PRINTED = "row,id,prediction"  # by predict.py


def make_data(folder: Path) -> None:
    """Write more than 16 samples to train on; no batch size divides them."""
    with (folder / "flats.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "area", "rooms", "town", "rent"))
        for number in range(29):
            area = 20 + 7 * (number * 5 % 13)
            rooms = 1 + area // 30 if number % 6 else ""  # some are missing
            town = ("North", "South", "")[number % 3]
            writer.writerow((number, area, rooms, town, 300 + 11.5 * area + 90 * (number % 3)))

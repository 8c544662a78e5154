"""A run of seconds on made-up data, which test_scripts.py makes; change it along with data.py."""

from pathlib import Path

FLAGS = ("--data", "text.txt", "--context", "16")  # of train.py
INPUT = ("def ", "--tokens", "5")  # of predict.py
PRINTED = "def "  # by predict.py


def make_data(folder: Path) -> None:
    """Write more than 16 samples to train on; no batch size divides them."""
    lines = [f"def add_{n}(a, b):\n    return a + {n * n} * b\n\n\n" for n in range(10)]
    (folder / "text.txt").write_text("".join(lines), encoding="utf-8")

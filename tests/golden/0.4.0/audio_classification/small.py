"""A run of seconds on made-up data, which test_scripts.py makes; change it along with data.py."""

import math
import random
import struct
import wave
from pathlib import Path

FLAGS = ("--data", "sounds", "--rate", "4000", "--seconds", "0.25")  # of train.py
INPUT = ("sounds/low/1.wav", "sounds/high")  # of predict.py
PRINTED = "file,class,probability"  # by predict.py


def make_data(folder: Path) -> None:
    """Write more than 16 samples to train on; no batch size divides them."""
    noise = random.Random(1)
    for name, number, pitch in (("low", 13, 300), ("high", 15, 1200)):
        (folder / "sounds" / name).mkdir(parents=True)
        for index in range(number):
            turns = (pitch * time / 8000 for time in range(1900 + 20 * index))
            tone = (math.sin(2 * math.pi * turn) for turn in turns)
            samples = [round(8000 * sample + noise.gauss(0, 2000)) for sample in tone]
            with wave.open(str(folder / "sounds" / name / f"{index}.wav"), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes(struct.pack(f"<{len(samples)}h", *samples))

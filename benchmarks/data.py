"""What it costs to read data: python benchmarks/data.py table, or shards"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def render(task: str, folder: Path, **answers: str) -> Path:
    """Return a project of this task, made in the folder."""
    template, project = folder / "template", folder / task
    ignore = shutil.ignore_patterns(".git", ".venv", "__pycache__")
    shutil.copytree(REPOSITORY, template, ignore=ignore, dirs_exist_ok=True)
    answers |= {"task": task, "package": "bench"}
    data = [f"--data={name}={answer}" for name, answer in answers.items()]
    subprocess.run(
        ["copier", "copy", "--quiet", "--trust", "--defaults", *data, template, project],
        check=True,
        env=os.environ | {"COPIER_PYTORCH_WITHOUT_GIT": "1"},
    )
    return project


def used() -> tuple[float, float]:
    """Return the CPU time of this process in seconds, and the most memory it had, in bytes."""
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime, now.ru_maxrss * 1024


def table() -> None:
    """Read a CSV file like that of nycflights13, 336,776 rows of 19 columns, into three sets."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sys.path.insert(0, str(render("tabular", folder)))
        open_rows = import_module("bench.data").open_rows
        config = {"target": "arr_delay", "split_seed": 0, "skip_bad_samples": True}
        # in a process of its own, whose memory is not this one's
        subprocess.run([sys.executable, "-c", FLIGHTS], check=True, cwd=folder)
        open_rows(config | {"data": [folder / "few.csv"]})  # what is imported when it is needed
        before = used()
        open_rows(config | {"data": [folder / "flights.csv"]})
        seconds, memory = (now - then for now, then in zip(used(), before, strict=True))
        size = (folder / "flights.csv").stat().st_size
    share = f"{memory / size:.1f} times the file of {size / 1e6:.0f} MB"
    print(f"table: {seconds:.2f} s of CPU, {share}")


FLIGHTS = """
import numpy as np
import polars as pl

random, rows = np.random.default_rng(0), 336_776
start, end = pl.datetime(2013, 1, 1, 5), pl.datetime(2013, 12, 31, 23)
hours = pl.datetime_range(start, end, "1h", eager=True)
hours = hours.gather(np.sort(random.integers(0, len(hours), rows)))
departure, delay = random.integers(500, 2359, rows), random.gamma(1.2, 30, rows).astype(int) - 20
names = [f"N{number}{letters}" for number in range(100, 999) for letters in ("AA", "JB", "UA")]
frame = pl.DataFrame({
    "year": hours.dt.year(), "month": hours.dt.month(), "day": hours.dt.day(),
    "dep_time": departure, "sched_dep_time": departure - 5, "dep_delay": delay,
    "arr_time": departure + 200, "sched_arr_time": departure + 190,
    "arr_delay": delay + random.integers(-30, 30, rows),
    "carrier": pl.Series(list("ABCDEFGHIJKLMNOP")).gather(random.integers(0, 16, rows)),
    "flight": random.integers(1, 8500, rows),
    "tailnum": pl.Series(names).gather(random.integers(0, len(names), rows)),
    "origin": pl.Series(["EWR", "JFK", "LGA"]).gather(random.integers(0, 3, rows)),
    "dest": pl.Series(names).str.slice(0, 4).gather(random.integers(0, 300, rows)),
    "air_time": random.integers(20, 695, rows), "distance": random.integers(17, 4983, rows),
    "hour": departure // 100, "minute": departure % 60,
    "time_hour": hours.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
})
there = pl.Series(random.random(rows) > 0.026)
missing = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
frame = frame.with_columns(pl.when(there).then(pl.col(missing)))
frame.write_csv("flights.csv")
frame.head(1000).write_csv("few.csv")
"""


def shards() -> None:
    """Read samples of tar files at random, and as webdataset streams them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = render("image_classification", folder, blocks="[tar_shards]")
        environment = os.environ | {"PYTHONPATH": str(project)}

        def measure(code: str, *arguments: Any) -> float:
            command = [sys.executable, "-c", code, *map(str, arguments)]
            done = subprocess.run(
                command, check=True, cwd=folder, env=environment, capture_output=True, text=True
            )
            return float(done.stdout.split()[-1])

        measure(WRITE_SHARDS)
        measure(READ_AT_RANDOM, 100, "rate")  # makes the index
        for parts in ("bytes", "images"):
            rounds = [
                (measure(READ_AT_RANDOM, 100, "rate", parts), measure(STREAM, 100, parts))
                for _ in range(5)
            ]
            ours, theirs = (median(rates) for rates in zip(*rounds, strict=True))
            ratio = median(one / other for one, other in rounds)
            print(f"{parts}: {ours:,.0f} samples/s at random, {theirs:,.0f} streamed: {ratio:.2f}")
        for count in (1, 10, 100):
            print(f"{count} shards: {measure(READ_AT_RANDOM, count, 'memory'):.1f} MB")


WRITE_SHARDS = """
from io import BytesIO

import numpy as np
from PIL import Image
from webdataset.writer import TarWriter

random = np.random.default_rng(0)
for shard in range(100):
    with TarWriter(f"{shard:03}.tar") as writer:
        for number in range(100):
            file = BytesIO()
            coarse = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((256, 256)).save(file, "JPEG", quality=90)
            parts = {"jpg": file.getvalue(), "cls": str(number)}
            writer.write({"__key__": f"{number:06}"} | parts)
print(0)
"""
DECODE = """
import resource
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

paths = sorted(Path().glob("*.tar"))[: int(sys.argv[1])]


def decode(parts):
    if sys.argv[-1] == "images":
        return np.asarray(Image.open(BytesIO(parts["jpg"])).convert("RGB")), int(parts["cls"])
    return len(parts["jpg"]), int(parts["cls"])
"""
READ_AT_RANDOM = f"""{DECODE}
from bench.readers.tar_shards import TarShards

dataset = TarShards(paths, decode)
order = np.random.default_rng(0).permutation(len(dataset)).tolist()
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
for index in order:
    dataset[index]
rate = len(dataset) / (time.perf_counter() - began)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown / 1024 if sys.argv[2] == "memory" else rate)
"""
STREAM = f"""{DECODE}
import webdataset

streamed = webdataset.WebDataset([str(path) for path in paths], shardshuffle=100, seed=0)
began = time.perf_counter()
count = sum(1 for _ in streamed.shuffle(1000).map(decode))
print(count / (time.perf_counter() - began))
"""

if __name__ == "__main__":
    {"table": table, "shards": shards}[sys.argv[1]]()

"""What it costs to read data: python benchmarks/data.py table"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def render(task: str, folder: Path) -> Path:
    """Return a project of this task, made in the folder."""
    template, project = folder / "template", folder / task
    ignore = shutil.ignore_patterns(".git", ".venv", "__pycache__")
    shutil.copytree(REPOSITORY, template, ignore=ignore, dirs_exist_ok=True)
    data = [f"--data={pair}" for pair in (f"task={task}", "package=bench")]
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

if __name__ == "__main__":
    {"table": table}[sys.argv[1]]()

"""Files and their targets, which a table names."""

import os
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch
from torch import Tensor

from ..engine.errors import DATA, USAGE, fail
from ..engine.processes import is_main_process
from .folders import files_below, leave_out
from .hold_out import hold_out
from .set_folders import group_of, set_folders
from .split_column import said_sets
from .tables import Table, read_table, shown

FILE = "file"  # the column of paths below the folder

Files = dict[int, Path]  # the row of each, and its path below the folder


class Targets(NamedTuple):
    """The files of a set, and a row of targets for each."""

    paths: list[Path]
    values: Tensor  # (files, columns)


def targets_table(config: Mapping[str, Any], what: str) -> Table:
    """Return the table of --targets, when the folder of its files is there, too."""
    folder = Path(config["data"])
    if not folder.is_dir():
        fail(DATA, f"--data {folder}: no such folder")
    if "targets" not in config:
        fail(USAGE, f"--data {folder}: --targets must name the table of its {what}")
    table = read_table([Path(config["targets"])])
    table.require(FILE, "column")
    return table


def target_sets(
    table: Table,
    targets: pl.DataFrame,
    folder: Path,
    config: Mapping[str, Any],
    kinds: set[str],
    reads: Callable[[Path], bool],
) -> dict[str, Targets]:
    """Return the three sets of the table's files with these targets, null where one is missing.

    A row's set is what the column of --split-column says, or the folder of a set that its file lies
    in; otherwise it is held out of those to train on, by a hash of the file's path.
    """
    skip = config["skip_bad_samples"]
    places = set_folders(folder)
    files = named_files(table, known_rows(table, targets, skip), folder)
    refuse_missing(table, files, folder, skip)
    tell_unnamed(table, folder, kinds)
    if skip:
        kept = leave_out([*files.items()], folder, lambda named: reads(folder / named[1]))
        files = dict(kept)
    column = config.get("split_column")
    places = {} if column else places
    said = column_sets(table, files, column) if column else folder_sets(table, files, places)
    base = places["train"].name if places else ""

    def identity(row: int) -> str:
        return group_of(files[row].relative_to(base), config["group_level"])

    sets = hold_out(said, identity, config["split_seed"], table.name)
    values = torch.tensor(targets.to_numpy(), dtype=torch.float32)
    return {
        name: Targets([folder / files[row] for row in rows], values[rows])
        for name, rows in sets.items()
    }


def target_identity(path: Path, target: Tensor, folder: Path) -> str:
    """Return a file's path below the folder, and what tells that it or its target was edited."""
    size = path.stat().st_size if path.exists() else 0
    content = blake2b(target.numpy().tobytes(), digest_size=8).hexdigest()
    return f"{path.relative_to(folder).as_posix()} {size}:{content}"


def known_rows(table: Table, targets: pl.DataFrame, skip_bad: bool) -> list[int]:
    """Return the rows that have all targets."""
    lacks = targets.select(pl.any_horizontal(pl.all().is_null())).to_series()
    if lacks.any() and not skip_bad:
        row = lacks.arg_true()[0]
        name = next(name for name in targets.columns if targets[name][row] is None)
        table.refuse(row, name, "is empty; --skip-bad-samples leaves the row out")
    if lacks.any() and is_main_process():
        print(f"{table.name}: {lacks.sum()} of {len(lacks)} rows left out, a target is empty")
    if lacks.all():
        fail(DATA, f"{table.name}: no row has {', '.join(targets.columns)}")
    return (~lacks).arg_true().to_list()


def named_files(table: Table, rows: list[int], folder: Path) -> Files:
    """Return what these rows name, each file once."""
    cells = table.column(FILE, "column").to_list()
    owners: dict[Path, int] = {}
    for row in rows:
        path = Path(cells[row] or "")
        if not path.parts or path.is_absolute() or ".." in path.parts:
            table.refuse(row, FILE, f"{shown(cells[row])} is no path below {folder}")
        owner = owners.setdefault(path, row)
        if owner != row:
            reason = f"{shown(cells[row])} is named above, in {table.place(owner)}"
            table.refuse(row, FILE, f"{reason}; a file has one row")
    return {row: path for path, row in owners.items()}


def refuse_missing(table: Table, files: Files, folder: Path, skip_bad: bool) -> None:
    missing = [row for row, path in files.items() if not os.path.isfile(folder / path)]
    if missing and not skip_bad:
        amount = f"{len(missing)} of {len(files)} are missing"
        reason = f"{folder / files[missing[0]]} is no file ({amount})"
        table.refuse(missing[0], FILE, f"{reason}; --skip-bad-samples leaves such rows out")


def tell_unnamed(table: Table, folder: Path, kinds: set[str]) -> None:
    """Say how many files the table has nothing of."""
    if not is_main_process():
        return
    named = {folder / cell for cell in table.column(FILE, "column") if cell}
    there = [*files_below(folder, kinds)]
    if unnamed := sum(path not in named for path in there):
        print(f"{folder}: {unnamed} of {len(there)} files are in no row of {table.name}")


def column_sets(table: Table, files: Files, column: str) -> dict[str, list[int]]:
    """Return the rows of each set, as a column says."""
    rows, cells = [*files], table.column(column, "--split-column").to_list()
    said = said_sets(column, [cells[row] for row in rows], lambda number: table.place(rows[number]))
    return {name: [rows[number] for number in numbers] for name, numbers in said.items()}


def folder_sets(table: Table, files: Files, places: dict[str, Path]) -> dict[str, list[int]]:
    """Return the rows of each set, those of its folder; all are to train on if there are none."""
    if not places:
        return {"train": [*files]}
    names = {place.name: name for name, place in places.items()}
    sets: dict[str, list[int]] = {name: [] for name in places}
    for row, path in files.items():
        if path.parts[0] not in names:
            way_out = "move it, or name a column with --split-column"
            reason = f"{shown(str(path))} lies in none of {', '.join(names)}"
            table.refuse(row, FILE, f"{reason}; {way_out}")
        sets[names[path.parts[0]]].append(row)
    for name in [name for name, rows in sets.items() if not rows]:
        fail(DATA, f"{table.name}: names no file in {places[name]}")
    return sets

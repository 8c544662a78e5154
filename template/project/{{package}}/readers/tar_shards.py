"""Samples in tar files, laid out as WebDataset does, each read by its number."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ..engine.errors import DATA, OUTPUT, BadSampleError, fail
from ..engine.processes import is_main_process, share

INDEXES = Path("data") / "indexes"


class Parts(dict[str, bytes]):
    """The files of a sample, by what follows the first dot of their names, such as jpg or cls."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __missing__(self, kind: str) -> bytes:
        raise BadSampleError(f"{self.name}: no .{kind} in it, but .{', .'.join(self)}")


class TarShards(Dataset):
    """The samples of tar files, in memory only while one is read.

    Files that follow each other are one sample if their names are the same up to the first dot.
    `decode` makes (inputs, targets) of its parts. Where samples begin is found once for each tar
    file, and kept in data/indexes.
    """

    def __init__(
        self, paths: Iterable[str | Path], decode: Callable[[Parts], tuple[Any, Any]]
    ) -> None:
        self.paths = [Path(path) for path in paths]
        self.decode = decode
        self.starts = open_indexes(self.paths)
        self.firsts = np.cumsum([0, *(len(starts) - 1 for starts in self.starts)])
        self.identities = [f"{path.name} {path.stat().st_size}" for path in self.paths]

    def __len__(self) -> int:
        return int(self.firsts[-1])

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        shard = int(np.searchsorted(self.firsts, index, side="right")) - 1
        place = index - int(self.firsts[shard])
        start, end = self.starts[shard][place : place + 2].tolist()
        parts = read_sample(self.paths[shard], start, end)
        try:
            return self.decode(parts)
        except (OSError, ValueError) as error:
            raise BadSampleError(f"{parts.name}: {error}") from error


def read_sample(path: Path, start: int, end: int) -> Parts:
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        content = file.read(end - start)
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            members = [member for member in archive if member.isfile()]
        if not members:
            raise tarfile.ReadError("nothing is there")
    except tarfile.TarError as error:
        raise BadSampleError(f"{path}: damaged at byte {start} ({error})") from error
    key, _ = split_name(members[0].name)
    parts = Parts(f"{path}: sample {key}")
    for member in members:
        found, kind = split_name(member.name)
        if found == key:
            parts[kind] = content[member.offset_data : member.offset_data + member.size]
    return parts


def split_name(name: str) -> tuple[str, str]:
    """Return what a sample is known by, and of which kind this file of it is."""
    folder, slash, base = name.rpartition("/")
    key, _, kind = base.partition(".")
    return folder + slash + key, kind


def open_indexes(paths: list[Path]) -> list[np.ndarray]:
    """Return for each tar file where its samples begin, and where the last one ends."""
    if not paths:
        fail(DATA, "tar files: none are named; look at the folder and the pattern")
    try:
        places = [index_place(path) for path in paths]
    except OSError as error:
        fail(DATA, f"{error.filename}: {error.strerror}")
    if is_main_process():
        new = [pair for pair in zip(paths, places, strict=True) if not pair[1].exists()]
        if new:
            print(f"{len(new)} of {len(paths)} tar files are new: looking for their samples")
        for path, place in new:
            write_index(path, place)
    share(None)  # the other processes wait for the main one
    return [np.load(place, mmap_mode="r") for place in places]


def index_place(path: Path) -> Path:
    """Return a name that changes with the file."""
    about = path.stat()
    text = f"{path.resolve()} {about.st_size} {about.st_mtime_ns}"
    return INDEXES / f"{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:16]}.npy"


def write_index(path: Path, place: Path) -> None:
    try:
        starts = find_samples(path)
    except (tarfile.TarError, OSError) as error:
        fail(DATA, f"{path}: no whole tar file, or a compressed one; unpack that ({error})")
    if len(starts) < 2:
        fail(DATA, f"{path}: no sample in it, such as 0001.jpg and 0001.cls")
    try:
        INDEXES.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=INDEXES, prefix="unfinished-") as folder:
            draft = Path(folder, place.name)
            np.save(draft, np.array(starts))
            draft.replace(place)
    except OSError as error:
        fail(OUTPUT, f"{INDEXES}: where samples begin is kept there; {error.strerror or error}")


def find_samples(path: Path) -> list[int]:
    """Return where each sample begins, and where the last one ends."""
    starts, last = [], None
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for member in iter(archive.next, None):
            key, kind = split_name(member.name)
            if member.isfile() and kind and key != last:
                starts.append(member.offset)
                last = key
            vars(archive)["members"] = []  # or it would remember all of them
        end = archive.offset
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # where tarfile would just stop
            raise tarfile.ReadError(f"damaged at byte {end}")
    return [*starts, end]

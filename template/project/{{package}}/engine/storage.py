"""Checkpoint files: whole or not there, checked when they are written and when they are read."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

from .errors import MISMATCH, fail

FORMAT = 1


class DamagedError(Exception):
    """A checkpoint that cannot be used; says why."""

    def __init__(self, reason: object = "not a checkpoint, or a damaged one") -> None:
        super().__init__(reason)


class Hashed(io.BufferedWriter):
    """A file that knows the checksum of what was written."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self.sha256 = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return super().write(data)


def record_of(path: Path) -> Path:
    """Return the small file beside a checkpoint, written after it, that says what it must hold."""
    return path.with_suffix(".json")


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write the file and its record; an OSError leaves what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)  # again, if somebody deleted it
    temporary = path.with_suffix(".tmp")
    try:
        with Hashed(temporary) as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
            record = {"size": file.tell(), "sha256": file.sha256.hexdigest()}
        refuse_code(temporary)
        record_of(path).unlink(missing_ok=True)  # it is about the file that is replaced now
        temporary.replace(path)
        sync_folder(path.parent)
        write_text(record_of(path), json.dumps(record) + "\n")
    except RuntimeError as error:  # torch.save turns a full disk into one
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise OSError(str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a small file at once: a reader finds the old text or the new one."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Let new names outlast a power failure; Windows has no such call."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def refuse_code(path: Path) -> None:
    """Refuse what could be saved but not loaded again, as loading never runs code."""
    try:
        unsafe = get_unsafe_globals_in_checkpoint(path)
    except Exception as error:  # the unpickler raises whatever the bytes of such a file lead to
        raise DamagedError from error
    if unsafe:
        names = ", ".join(sorted(unsafe))
        raise DamagedError(f"holds {names}, which only code could load; tensors and numbers can be")


def check(path: Path) -> None:
    """Compare the file with its record; a file that was copied alone, with its own checksums."""
    try:
        record = json.loads(record_of(path).read_text(encoding="utf-8"))
        expected = record["size"], record["sha256"]
    except FileNotFoundError:
        check_archive(path)
        return
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{record_of(path).name} beside it is damaged") from error
    if path.stat().st_size != expected[0]:
        raise DamagedError(f"has {path.stat().st_size:,} bytes of {expected[0]:,}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != expected[1]:
            raise DamagedError("its bytes are no longer those that were written")


def check_archive(path: Path) -> None:
    """torch.load compares no checksums, though the file has one for each of its parts."""
    with path.open("rb") as file:
        try:
            damaged = zipfile.ZipFile(file).testzip()
        except Exception as error:  # as many kinds as there are bytes to damage
            raise DamagedError from error
    if damaged:
        raise DamagedError(f"damaged at {damaged}")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content, on the CPU; raise DamagedError where there is none to be had."""
    check(path)
    refuse_code(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # as above
        raise DamagedError from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise DamagedError("not a checkpoint of this project")
    if content["format"] > FORMAT:
        raise DamagedError(
            f"written by a newer version of this project (format {content['format']}, "
            f"known up to {FORMAT}); update the project"
        )
    content["path"] = path
    return content


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint that was named, or end with one line."""
    try:
        return read_checkpoint(path)
    except FileNotFoundError:
        fail(MISMATCH, f"{path}: no such checkpoint")
    except OSError as error:
        fail(MISMATCH, f"{path}: {error.strerror or error}")
    except DamagedError as error:
        fail(MISMATCH, f"{path}: {error}")

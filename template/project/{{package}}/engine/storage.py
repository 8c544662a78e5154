"""Files that are whole or not there; a checkpoint's are checked when written and when read."""

import errno
import os
import pickle
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

from .errors import MISMATCH, fail

FORMAT = 1
PLAIN = (int, float, bool, str, bytes, type(None))
PARTS = {"format": int, "step": int}
PARTS |= dict.fromkeys(("model", "data", "config", "state", "scores", "kinds"), dict)


class DamagedError(Exception):
    """A checkpoint that cannot be used; says why."""


@contextmanager
def replacing(path: Path) -> Generator[IO[bytes]]:
    """Open a file that takes the place of `path` at once, when all of it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)  # again, if somebody deleted it
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Let new names outlast a power failure, where the system has a call for that."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        except OSError as error:  # some network file systems have none for folders
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(number)


def write_text(path: Path, text: str) -> None:
    """Replace a small file at once: a reader finds the old text or the new one."""
    with replacing(path) as file:
        file.write(text.encode())


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write the file; an OSError or a DamagedError leaves what was there before."""
    try:
        with replacing(path) as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            refuse_code(Path(file.name), content)
    except RuntimeError as error:  # torch.save turns the error of a full disk into one
        raise OSError(error.__context__ or error) from error
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise DamagedError(f"holds {foreign(content) or error}, which cannot be saved") from error


def refuse_code(path: Path, content: Any = None) -> None:
    """Refuse what only code could load, because loading runs none."""
    if unsafe := get_unsafe_globals_in_checkpoint(path):
        what = foreign(content) or ", ".join(sorted(unsafe))
        raise DamagedError(f"holds {what}, which only code could load; save tensors and numbers")


def foreign(value: Any, place: str = "") -> str | None:
    """Return the place and type of the first value that is no plain one of Python or PyTorch."""
    parts = dict(enumerate(value)) if isinstance(value, (list, tuple)) else value
    if isinstance(parts, dict):
        found = (foreign(part, f"{place}.{name}".strip(".")) for name, part in parts.items())
        return next(filter(None, found), None)
    kind = type(value)
    if kind in PLAIN or kind.__module__.startswith("torch"):
        return None
    return f"{place}: {kind.__module__}.{kind.__qualname__}"


def read_archive(path: Path, device: str) -> Any:
    """Return what the file holds, on the device; on "meta" without the values."""
    with path.open("rb") as file:  # here an OSError says what is wrong
        try:
            archive = zipfile.ZipFile(file)
            damaged = archive.testzip()  # torch.load does not compare checksums
            # what no checksum covers; of a part that is marked as a folder, nothing would be read
            for part in archive.infolist():
                if part.external_attr or part.file_size != part.compress_size:
                    damaged = damaged or part.filename
            if damaged:
                raise DamagedError(f"damaged at {damaged}")
            refuse_code(path)
            return torch.load(path, map_location=device, weights_only=True)
        except DamagedError:
            raise
        except Exception as error:  # as many kinds as there are bytes to damage
            raise DamagedError("not a checkpoint, or a damaged one") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content, on the CPU; raise DamagedError where there is none to be had."""
    loaded = read_archive(path, "cpu")
    content: dict[str, Any] = {"step": 0, "scores": {}, "kinds": {}}
    content |= loaded if isinstance(loaded, dict) else {}
    wrong = [name for name, kind in PARTS.items() if not isinstance(content.get(name), kind)]
    if "format" not in wrong and content["format"] > FORMAT:
        raise DamagedError("is of a newer version of this project; update the project")
    if wrong:
        raise DamagedError(f"not a checkpoint of this project: no proper {', '.join(wrong)} in it")
    return content | {"path": path}


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint that was named, or end with one line."""
    try:
        return read_checkpoint(path)
    except (OSError, DamagedError) as error:
        fail(MISMATCH, f"{path}: {getattr(error, 'strerror', error)}")

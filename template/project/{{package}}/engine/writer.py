"""What a run measured: metrics.csv, always, and whatever other loggers were asked for."""

import atexit
import csv
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from .errors import OUTPUT, fail
from .processes import is_main_process


class Writer:
    """Sends scalars, images and texts to every logger, from the main process only."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        *loggers: Callable[[Path, dict[str, Any], int], Any],
        resume_step: int = 0,
    ) -> None:
        self._loggers: list[Any] = []
        self._file = None
        if not is_main_process():
            return
        path = folder / "metrics.csv"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            keep_rows(path, resume_step)
            self._file = path.open("a", newline="", encoding="utf-8")
        except OSError as error:
            fail(OUTPUT, f"{path}: {error.strerror}; choose another folder with --run-dir")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._loggers = [logger(folder, config, resume_step) for logger in loggers]
        atexit.register(self.close)  # a run that is stopped keeps what is waiting, too

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        """Write numbers, named like "train/loss"."""
        if self._file is None:
            return
        try:
            self._rows.writerows((step, name, float(value)) for name, value in values.items())
            self._file.flush()  # a killed run loses no row
        except OSError as error:
            fail(OUTPUT, f"{self._file.name}: {error.strerror}")
        self._tell("add_scalars", values, step)

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        """Write a (3, H, W) uint8 image."""
        self._tell("add_image", name, image, step)

    def add_text(self, name: str, text: str, step: int) -> None:
        """Write a text, shown as it stands."""
        self._tell("add_text", name, text, step)

    def close(self) -> None:
        """Write what is still waiting."""
        atexit.unregister(self.close)
        self._tell("close")
        if self._file is not None:
            with suppress(OSError):  # a full disk has been reported, where it happened
                self._file.close()

    def _tell(self, method: str, *values: Any) -> None:
        for logger in list(self._loggers):
            try:
                getattr(logger, method)(*values)
            except Exception as error:  # a log is not worth a run, and metrics.csv goes on
                name = type(logger).__name__
                print(f"{name} failed and is left out from here: {error}", file=sys.stderr)
                self._loggers.remove(logger)


def keep_rows(path: Path, last_step: int) -> None:
    """Drop the rows after `last_step`, which a resumed run writes again."""
    rows = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    kept = [
        row
        for row in rows[1:]
        if last_step and row.endswith("\n") and int(row.partition(",")[0]) <= last_step
    ]
    draft = path.with_suffix(".tmp")
    draft.write_text("step,name,value\n" + "".join(kept), encoding="utf-8", newline="\n")
    draft.replace(path)

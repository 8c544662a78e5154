"""What a run measured: metrics.csv, always, and whatever other loggers were asked for."""

import atexit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from .errors import OUTPUT, fail, warn
from .metrics import Metrics
from .outlet import Outlet, amount, explain
from .processes import is_main_process


class Writer:
    """Sends scalars, images and texts to every logger, from the main process only.

    A new run ends if a logger cannot be opened. After that a log is not worth a run: what fails is
    said in one line and waits, see Outlet.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        *loggers: Callable[[Path, dict[str, Any], int], Any],
        resume_step: int = 0,
    ) -> None:
        self._outlets: list[Outlet] = []  # the first is metrics.csv, of numbers only
        if not is_main_process():
            return
        try:
            # no pause: an attempt costs 30 microseconds
            table = Outlet("metrics.csv", partial(Metrics, folder, resume_step), pause=0)
            table.open()
        except OSError as error:
            path = folder / "metrics.csv"
            fail(OUTPUT, f"{path}: {explain(error)}; choose another folder with --run-dir")
        self._outlets = [table]
        for logger in loggers:
            name = getattr(logger, "__name__", "logger")
            outlet = Outlet(name, partial(logger, folder, config, resume_step))
            self._outlets.append(outlet)
            if resume_step:
                outlet.deliver()
                continue
            try:
                outlet.open()
            except OSError as error:
                fail(OUTPUT, f"{name}: {explain(error)}")
        atexit.register(self.close)  # a run that is stopped keeps what is waiting, too

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        """Write numbers, named like "train/loss"."""
        values = {name: float(value) for name, value in values.items()}
        for outlet in self._outlets:
            outlet.send("add_scalars", values, step)

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        """Write a (3, H, W) uint8 image."""
        for outlet in self._outlets[1:]:
            outlet.send("add_image", name, image.to("cpu", copy=True), step)  # it may have to wait

    def add_text(self, name: str, text: str, step: int) -> None:
        """Write a text, shown as it stands."""
        for outlet in self._outlets[1:]:
            outlet.send("add_text", name, text, step)

    def close(self) -> None:
        """Write what is still waiting, and say what never arrived."""
        atexit.unregister(self.close)
        for outlet in self._outlets:
            outlet.close()
            lost = amount(outlet.missing)
            whole = lost and not amount(self._outlets[0].missing)
            parts = [f"{lost} missing"] * bool(lost) + [outlet.reason] * bool(outlet.reason)
            if parts:
                where = "; metrics.csv has all values" if whole else ""
                warn(f"{outlet.name}: {', '.join(parts)}{where}")

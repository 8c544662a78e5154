"""The run in TensorBoard: `tensorboard --logdir runs` compares all of them."""

import threading
from pathlib import Path
from textwrap import indent
from typing import Any

from torch import Tensor

from .errors import USAGE, fail


class TensorBoard:
    """An event file in the run's folder; steps that a resumed run repeats are hidden."""

    def __init__(self, folder: Path, config: dict[str, Any], resume_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
            from torch.utils.tensorboard.summary import hparams
        except ModuleNotFoundError as error:
            fail(USAGE, f"{error}: uv add tensorboard, or pip install tensorboard")
        # its thread ends where the disk is full; flush raises the reason: no traceback is needed
        ours, show = "tensorboard.", threading.excepthook
        threading.excepthook = lambda e: type(e.thread).__module__.startswith(ours) or show(e)
        self._writer = SummaryWriter(str(folder), purge_step=resume_step + 1)
        # only what the run began with: so the HParams page offers every scalar as a metric
        values = {k: v if isinstance(v, (int, float, str)) else str(v) for k, v in config.items()}
        _, start, _ = hparams(values, {})
        self._writer.file_writer.add_summary(start)  # pyrefly: ignore[missing-attribute]

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # a killed run keeps what was before its last checkpoint

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        self._writer.add_image(name, image, step)
        self._writer.flush()

    def add_text(self, name: str, text: str, step: int) -> None:
        # TensorBoard reads Markdown: indented text is shown as it stands
        self._writer.add_text(name, indent(text, "    "), step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

"""The run in TensorBoard: `tensorboard --logdir runs` compares all of them."""

import io
import os
import platform
import time
from pathlib import Path
from textwrap import indent
from typing import Any

from torch import Tensor

from ..errors import USAGE, fail
from ..metrics import append


class TensorBoard:
    """An event file in the run's folder; steps that a resumed run repeats are hidden.

    Written without SummaryWriter, whose thread ends for good when the disk is full.
    """

    def __init__(self, folder: Path, config: dict[str, Any], resume_step: int) -> None:
        try:
            from tensorboard.summary.writer.record_writer import RecordWriter
            from torch.utils.tensorboard import summary
            from torch.utils.tensorboard.writer import Event, SessionLog
        except ModuleNotFoundError as error:
            fail(USAGE, f"{error}: uv add tensorboard, or pip install tensorboard")

        self._event, self._record, self._summary = Event, RecordWriter, summary
        place = f"{time.time_ns()}.{platform.node()}.{os.getpid()}"  # read in this order
        self._path = folder / f"events.out.tfevents.{place}"
        self._head = self._encode(file_version="brain.Event:2")
        if resume_step:
            session = SessionLog(status=SessionLog.START)
            self._head += self._encode(step=resume_step + 1, session_log=session)
        # only what the run began with: so the HParams page offers every scalar as a metric
        plain = (bool, int, float, str)
        values = {k: v if isinstance(v, plain) else str(v) for k, v in config.items()}
        _, session_start, _ = summary.hparams(values, {})
        self._add(0, session_start)

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        self._add(step, *(self._summary.scalar(name, value) for name, value in values.items()))

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        self._add(step, self._summary.image(name, image, dataformats="CHW"))

    def add_text(self, name: str, text: str, step: int) -> None:
        # TensorBoard reads Markdown: indented text is shown as it stands
        self._add(step, self._summary.text(name, indent(text, "    ")))

    def close(self) -> None:
        pass

    def _add(self, step: int, *summaries: Any) -> None:
        events = (self._encode(step=step, summary=summary) for summary in summaries)
        append(self._path, b"".join(events), self._head)

    def _encode(self, **fields: Any) -> bytes:
        event, record = self._event(wall_time=time.time(), **fields), io.BytesIO()
        self._record(record).write(event.SerializeToString())
        return record.getvalue()

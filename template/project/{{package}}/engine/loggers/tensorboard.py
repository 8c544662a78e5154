"""The run in TensorBoard: `tensorboard --logdir runs` compares all of them."""

from pathlib import Path
from textwrap import indent
from typing import Any

from torch import Tensor

from ..errors import USAGE, fail


class TensorBoard:
    """Event files in the run's folder; steps that a resumed run repeats are hidden."""

    def __init__(self, folder: Path, config: dict[str, Any], resume_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
            from torch.utils.tensorboard.summary import hparams
        except ModuleNotFoundError as error:
            fail(USAGE, f"{error}: uv add tensorboard, or pip install tensorboard")

        purge_step = resume_step + 1 if resume_step else 0
        self._writer = SummaryWriter(folder, purge_step=purge_step, flush_secs=10)
        # only what the run began with: so the HParams page offers every scalar as a metric
        plain = (bool, int, float, str)
        values = {k: v if isinstance(v, plain) else str(v) for k, v in config.items()}
        _, session_start, _ = hparams(values, {})
        files = self._writer.file_writer
        assert files is not None  # until it is closed
        files.add_summary(session_start)

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        self._writer.add_image(name, image, step)

    def add_text(self, name: str, text: str, step: int) -> None:
        # TensorBoard reads Markdown: indented text is shown as it stands
        self._writer.add_text(name, indent(text, "    "), step)

    def close(self) -> None:
        self._writer.close()

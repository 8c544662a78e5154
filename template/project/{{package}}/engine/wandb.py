"""The run in Weights & Biases, offline unless WANDB_MODE=online; `wandb sync` uploads it later."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from .errors import USAGE, fail
from .storage import write_text


class WandB:
    """One W&B run per folder, under the same id after a resume.

    W&B deletes no numbers: steps that a killed run did after its last checkpoint are there twice,
    once from each attempt. A process of its own writes and uploads them: it waits for a server by
    itself, but says nothing of a full disk, after which metrics.csv may have more.
    """

    def __init__(self, folder: Path, config: dict[str, Any], resume_step: int) -> None:
        os.environ.setdefault("WANDB_MODE", "offline")
        os.environ.setdefault("WANDB_PROJECT", __name__.partition(".")[0])
        # the end of a run waits no longer for a server; `wandb sync` uploads what is left
        os.environ.setdefault("WANDB_FINISH_TIMEOUT", "60")
        try:
            import wandb
        except ModuleNotFoundError as error:
            fail(USAGE, f"{error}: uv add wandb, or pip install wandb")

        self._wandb = wandb
        run_id = folder / "wandb" / "run_id"
        run_id.parent.mkdir(parents=True, exist_ok=True)
        if not run_id.exists():
            write_text(run_id, secrets.token_hex(4))
        try:
            self._run = wandb.init(
                name=folder.name,
                id=run_id.read_text(),
                resume="allow",
                dir=folder,
                config=config,
                settings=wandb.Settings(init_timeout=10, console="off", quiet=True),
            )
        except wandb.Error as error:
            way_out = "WANDB_MODE=offline needs no account and no network"
            raise ConnectionError(f"{way_out}: {error}") from error
        # W&B's own counter only goes up, so a resumed run's repeated steps would be refused
        self._run.define_metric("*", step_metric="step")

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        self._log({**values, "step": step})

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        picture = self._wandb.Image(image.permute(1, 2, 0).cpu().numpy())
        self._log({name: picture, "step": step})

    def add_text(self, name: str, text: str, step: int) -> None:
        table = self._wandb.Table(columns=["text"], data=[[text]])
        self._log({name: table, "step": step})

    def close(self) -> None:
        self._run.finish()

    def _log(self, values: dict[str, Any]) -> None:
        try:
            self._run.log(values)
        except ConnectionError:  # W&B's process is gone: Python's end must not wait for it
            with suppress(ConnectionError):
                self._wandb.teardown()
            raise

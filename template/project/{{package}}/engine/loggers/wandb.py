"""The run in Weights & Biases, offline unless WANDB_MODE=online; `wandb sync` uploads it later."""

import os
import secrets
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import OUTPUT, USAGE, fail


class WandB:
    """One W&B run per folder, under the same id after a resume."""

    def __init__(self, folder: Path, config: dict[str, Any], resume_step: int) -> None:
        os.environ.setdefault("WANDB_MODE", "offline")
        os.environ.setdefault("WANDB_PROJECT", __name__.partition(".")[0])
        try:
            import wandb
        except ModuleNotFoundError as error:
            fail(USAGE, f"{error}: uv add wandb, or pip install wandb")

        self._wandb = wandb
        run_id = folder / "wandb" / "run_id"
        run_id.parent.mkdir(exist_ok=True)
        if not run_id.exists():
            run_id.write_text(secrets.token_hex(4))
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
            fail(OUTPUT, f"wandb: {error}; WANDB_MODE=offline needs no account and no network")
        # W&B's own counter only goes up, so a resumed run's repeated steps would be refused
        self._run.define_metric("*", step_metric="step")

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        self._run.log({**values, "step": step})

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        picture = self._wandb.Image(image.permute(1, 2, 0).cpu().numpy())
        self._run.log({name: picture, "step": step})

    def add_text(self, name: str, text: str, step: int) -> None:
        table = self._wandb.Table(columns=["text"], data=[[text]])
        self._run.log({name: table, "step": step})

    def close(self) -> None:
        self._run.finish()

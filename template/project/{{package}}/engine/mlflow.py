"""The run in MLflow, in a store below its folder unless MLFLOW_TRACKING_URI names another."""

import logging
import os
import re
import time
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor

from .errors import USAGE, fail
from .storage import write_text

SECONDS = 5  # numbers wait this long for company: a call costs 4 ms, however many it writes
BATCH = 1000  # the most numbers that a server takes at once


class MLflow:
    """One MLflow run per folder, found again on resume.

    MLflow deletes no numbers: steps that a killed run did after its last checkpoint are there
    twice, once from each attempt.
    """

    def __init__(self, folder: Path, config: dict[str, Any], resume_step: int) -> None:
        # a server that is gone would otherwise hold a call for minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
        # the address may hold a password
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        try:
            from mlflow import MlflowClient, MlflowException
            from mlflow.entities import Metric, Param
        except ModuleNotFoundError as error:
            fail(USAGE, f"{error}: uv add mlflow, or pip install mlflow")

        logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # errors are raised, too
        self._metric = Metric
        self.waiting: list[Any] = []  # numbers that were not sent yet
        self._sent = time.monotonic()
        folder = folder / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{folder.as_posix()}/mlflow.db")
        saved = folder / "run_id"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # MLflow's own use of what others deprecate
                self._client = MlflowClient(uri)
                if resume_step and saved.exists():
                    self._run = saved.read_text().strip()
                    self._client.update_run(self._run, status="RUNNING")
                else:
                    self._run = self._new_run(folder)
                    params = [Param(name, str(value)) for name, value in config.items()]
                    self._client.log_batch(self._run, params=params)
                    write_text(saved, self._run)
        except MlflowException as error:
            way_out = "without MLFLOW_TRACKING_URI it writes to the run's folder"
            raise ConnectionError(f"{uri} cannot be used; {way_out}: {error}") from error

    def _new_run(self, folder: Path) -> str:
        name = __name__.partition(".")[0]
        # a server keeps images where it likes; a local store keeps them here
        place = None if "MLFLOW_TRACKING_URI" in os.environ else folder.as_uri() + "/artifacts"
        found = self._client.get_experiment_by_name(name)
        number = found.experiment_id if found else self._client.create_experiment(name, place)
        return self._client.create_run(number, run_name=folder.parent.name).info.run_id

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self.waiting += [self._metric(allowed(k), value, now, step) for k, value in values.items()]
        if time.monotonic() - self._sent > SECONDS:
            self._send()

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        picture, key = image.permute(1, 2, 0).cpu().numpy(), allowed(name)
        self._client.log_image(self._run, picture, key=key, step=step, synchronous=True)

    def add_text(self, name: str, text: str, step: int) -> None:
        self._client.log_text(self._run, text, f"{allowed(name)}/{step}.txt")

    def close(self) -> None:
        self._send()
        self._client.set_terminated(self._run)

    def _send(self) -> None:
        while self.waiting:
            self._client.log_batch(self._run, self.waiting[:BATCH])
            del self.waiting[:BATCH]
        self._sent = time.monotonic()


def allowed(name: str) -> str:
    """Return the name without what MLflow refuses: a refused number would hold up all others."""
    return re.sub(r"[^\w/. -]", "_", name)

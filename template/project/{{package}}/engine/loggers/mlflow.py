"""The run in MLflow, in a store below its folder unless MLFLOW_TRACKING_URI names another."""

import logging
import os
import time
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import OUTPUT, USAGE, fail

SECONDS = 5  # numbers wait this long for company: a call costs 4 ms, however many it writes


class MLflow:
    """One MLflow run per folder, found again on resume."""

    def __init__(self, folder: Path, config: dict[str, Any], resume_step: int) -> None:
        # an unreachable server would otherwise hold every call for minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
        try:
            from mlflow import MlflowClient, MlflowException
            from mlflow.entities import Metric, Param
        except ModuleNotFoundError as error:
            fail(USAGE, f"{error}: uv add mlflow, or pip install mlflow")

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._metric, self._waiting, self._sent = Metric, [], time.monotonic()
        folder = folder.absolute() / "mlflow"
        folder.mkdir(exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{folder.as_posix()}/mlflow.db")
        params = [Param(name, str(value)) for name, value in config.items()]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # MLflow's own use of what others deprecate
                self._client = MlflowClient(uri)
                self._run = self._find_run(folder, params)
        except MlflowException as error:
            fail(OUTPUT, f"mlflow at {uri}: {error}; without MLFLOW_TRACKING_URI it writes here")

    def _find_run(self, folder: Path, params: list[Any]) -> str:
        saved = folder / "run_id"
        if saved.exists():
            self._client.update_run(saved.read_text(), status="RUNNING")
            return saved.read_text()
        name = __name__.partition(".")[0]
        experiment = self._client.get_experiment_by_name(name)
        # a server keeps images where it likes; a local store keeps them here
        place = None if "MLFLOW_TRACKING_URI" in os.environ else folder.as_uri() + "/artifacts"
        number = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(name, artifact_location=place)
        )
        run = self._client.create_run(number, run_name=folder.parent.name).info.run_id
        self._client.log_batch(run, params=params)
        saved.write_text(run)
        return run

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self._waiting += [self._metric(name, value, now, step) for name, value in values.items()]
        if time.monotonic() - self._sent > SECONDS:
            self._send()

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        picture = image.permute(1, 2, 0).cpu().numpy()
        self._client.log_image(self._run, picture, key=name, step=step, synchronous=True)

    def add_text(self, name: str, text: str, step: int) -> None:
        self._client.log_text(self._run, text, f"{name}/{step}.txt")

    def close(self) -> None:
        self._send()
        self._client.set_terminated(self._run)

    def _send(self) -> None:
        for start in range(0, len(self._waiting), 1000):  # the most that a server takes at once
            self._client.log_batch(self._run, self._waiting[start : start + 1000])
        self._waiting, self._sent = [], time.monotonic()

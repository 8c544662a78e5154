import socket
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch
from alone.engine import mlflow as module
from alone.engine.errors import OUTPUT
from alone.engine.mlflow import MLflow
from alone.engine.writer import Writer

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own use of what others deprecate


def test_local_run_reads_back_and_is_found_again_on_resume(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from mlflow import MlflowClient

    logger = MLflow(tmp_path, {"lr": 0.1, "data": None}, 0)
    logger.add_scalars({"train/loss": 0.5}, 3)
    logger.add_image("sample", torch.zeros(3, 8, 16, dtype=torch.uint8), 3)
    logger.add_text("text", "a <b>", 3)
    logger.close()
    resumed = MLflow(tmp_path, {"lr": 0.1, "data": "other"}, 3)
    resumed.add_scalars({"train/loss": 0.25}, 4)
    resumed.close()

    client = MlflowClient(f"sqlite:///{(tmp_path / 'mlflow' / 'mlflow.db').as_posix()}")
    experiment = client.get_experiment_by_name("alone")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.1", "data": "None"}
    points = client.get_metric_history(run.info.run_id, "train/loss")
    assert sorted((point.step, point.value) for point in points) == [(3, 0.5), (4, 0.25)]
    assert list((tmp_path / "mlflow").rglob("sample*.png"))
    assert [path.read_text() for path in (tmp_path / "mlflow").rglob("3.txt")] == ["a <b>"]


def unreachable() -> str:
    """Return the address of a server that takes no connection."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_new_run_without_its_server_ends_in_one_line_within_seconds(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unreachable())
    start = time.monotonic()
    with pytest.raises(SystemExit) as stopped:
        Writer(tmp_path, {}, MLflow)
    assert stopped.value.code == OUTPUT
    assert time.monotonic() - start < 20
    assert capsys.readouterr().err.count("\n") == 1


def test_a_resumed_run_goes_on_without_its_server_and_loses_no_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unreachable())
    start = time.monotonic()
    writer = Writer(tmp_path, {}, MLflow, resume_step=1)
    opened = time.monotonic()
    for step in range(2, 1002):
        writer.add_scalars({"loss": 1.0}, step)
    written = time.monotonic()
    writer.close()
    assert opened - start < 20
    assert written - opened < 5
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 1001
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("MLflow: ") and first.endswith("left out from here on")
    assert last == "only metrics.csv has the values that are missing in MLflow from step 2 on"


def test_numbers_that_wait_when_the_server_goes_are_said_to_be_missing(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    loggers = []

    class Remembered(MLflow):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments)
            loggers.append(self)

    writer = Writer(tmp_path, {}, Remembered)
    for step in range(12):
        if step == 7:
            monkeypatch.setattr(loggers[0]._client, "log_batch", refuse)
        # what was written before each step of these but the last has been sent
        monkeypatch.setattr(module, "SECONDS", -1 if step in (4, 9) else 1000)
        writer.add_scalars({"loss (%)": step}, step)
    writer.close()
    monkeypatch.undo()
    points = loggers[0]._client.get_metric_history(loggers[0]._run, "loss ___")
    assert sorted(point.step for point in points) == [0, 1, 2, 3, 4]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "Remembered: no route to host; left out from here on",
        "only metrics.csv has the values that are missing in Remembered from step 5 on",
    ]


def refuse(*arguments, **more) -> None:
    raise ConnectionError("no route to host")


def test_a_run_that_was_deleted_is_said_and_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first = MLflow(tmp_path, {"lr": 0.1}, 0)
    first._client.delete_run(first._run)
    writer = Writer(tmp_path, {"lr": 0.1}, MLflow, resume_step=3)
    writer.add_scalars({"loss": 1.0}, 4)
    writer.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all("MLflow" in line for line in lines)


def test_a_run_from_the_start_is_a_new_one_in_mlflow_too(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first = MLflow(tmp_path, {"lr": 0.1}, 0)
    second = MLflow(tmp_path, {"lr": 0.2}, 0)
    assert second._run != first._run
    assert second._client.get_run(second._run).data.params == {"lr": "0.2"}


@pytest.mark.parametrize("resume_step", [0, 3])
def test_the_password_of_the_server_reaches_no_line(
    tmp_path, monkeypatch, capfd, caplog, resume_step
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unreachable().replace("//", "//ada:secret@"))
    with suppress(SystemExit):
        writer = Writer(tmp_path, {}, MLflow, resume_step=resume_step)
        writer.add_scalars({"loss": 1.0}, 4)
        writer.close()
    output = capfd.readouterr()
    assert "http://***@127.0.0.1" in output.err
    assert "secret" not in output.out + output.err + caplog.text


def test_a_server_s_address_is_not_printed_at_the_end(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:secret@127.0.0.1")
    from mlflow.tracking._tracking_service.client import TrackingServiceClient

    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    with suppress(ConnectionError):
        MLflow(tmp_path, {}, 0)
    client = TrackingServiceClient("http://ada:secret@127.0.0.1")
    monkeypatch.setattr(client.store, "get_run", Run)
    client._log_url("run")
    assert "secret" not in capfd.readouterr().out


class Run:
    """As much of MLflow's own as it looks at before it prints where a run can be seen."""

    def __init__(self, run_id: str) -> None:
        self.info = SimpleNamespace(experiment_id="0", run_name="run")
        self.data = SimpleNamespace(tags={})

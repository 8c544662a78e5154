import socket
import time

import pytest
import torch
from project.engine.errors import OUTPUT
from project.engine.loggers import mlflow as module
from project.engine.loggers.mlflow import MLflow
from project.engine.writer import Writer

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
    experiment = client.get_experiment_by_name("project")
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
    assert first.endswith("values wait in memory")
    assert last.startswith("MLflow: 1,000 values missing")
    assert last.endswith("metrics.csv has all values")


def test_numbers_of_an_outage_arrive_once_each(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(module, "SECONDS", -1)  # sends at each call
    loggers = []

    def remembered(*arguments) -> MLflow:
        loggers.append(MLflow(*arguments))
        return loggers[0]

    writer = Writer(tmp_path, {}, remembered)
    send, run = loggers[0]._client.log_batch, loggers[0]._run
    for step in range(9):
        if step == 3:
            monkeypatch.setattr(loggers[0]._client, "log_batch", refuse)
        if step == 6:
            monkeypatch.setattr(loggers[0]._client, "log_batch", send)
        writer.add_scalars({"loss (%)": step}, step)
    writer.close()
    points = loggers[0]._client.get_metric_history(run, "loss ___")
    assert sorted(point.step for point in points) == list(range(9))


def refuse(*arguments, **more) -> None:
    raise ConnectionError("no route to host")


def test_a_run_that_was_deleted_is_followed_by_a_new_one(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first = MLflow(tmp_path, {"lr": 0.1}, 0)
    first._client.delete_run(first._run)
    second = MLflow(tmp_path, {"lr": 0.1}, 3)
    assert second._run != first._run
    assert "no longer there" in capsys.readouterr().err
    (tmp_path / "mlflow" / "run_id").write_text("0" * 32)
    third = MLflow(tmp_path, {"lr": 0.1}, 3)
    assert third._client.get_run(third._run).data.params == {"lr": "0.1"}

"""A project's job, without Slurm: its script in bash, and what it calls of Slurm played here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import forked
from conftest import Render

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Slurm runs on Linux")

TRAIN = "--device cpu --batch-size 4 --max-steps 8 --save-every 20 --eval-batches 1".split()
# as Slurm: one environment for a task, and the highest code of them all
SRUN = """
while [ "${1#--}" != "$1" ]; do shift; done
for ((i = 0; i < TASKS; i++)); do
  SLURM_NTASKS=$TASKS SLURM_PROCID=$i SLURM_LOCALID=$i "$@" &
done
code=0
for task in $(jobs -p); do
  wait "$task"
  ended=$?
  ((ended <= code)) || code=$ended
done
exit "$code"
"""
SCONTROL = """
case $1 in
  show) echo localhost ;;
  requeue) echo "$2" >> requeued ;;
esac
"""
# Slurm's signal to a task, sent from within it, so that it is always after the same step
PYTHON = """
import os
import runpy
import signal
import sys
from itertools import count

from torch.optim.optimizer import register_optimizer_step_post_hook

steps = count(1)


def strike(*_):
    if next(steps) == 3 and os.environ["STRIKE"]:
        os.kill(os.getpid(), signal.SIGUSR1)


register_optimizer_step_post_hook(strike)
sys.argv = sys.argv[1:]
runpy.run_path("train.py", run_name="__main__")
"""


class Cluster:
    """What of Slurm a job sees, with jobs of one node."""

    def __init__(self, project: Path, tasks: int):
        self.project, self.tasks = project, tasks
        programs = project / ".venv" / "bin"
        programs.mkdir(parents=True)
        (project / "strike.py").write_text(PYTHON)
        python = f'\nexec "{sys.executable}" strike.py "$@"\n'
        for name, script in {"srun": SRUN, "scontrol": SCONTROL, "python": python}.items():
            (programs / name).write_text(f"#!/bin/bash{script}")
            (programs / name).chmod(0o755)
        (programs / "activate").write_text(f'export PATH="{programs}:$PATH"\n')

    def start(
        self, job: int, *flags: str, strike: bool = False
    ) -> subprocess.CompletedProcess[str]:
        slurm = {"SLURM_JOB_ID": str(job), "SLURM_JOB_NODELIST": "localhost"}
        slurm |= {"SLURM_CPUS_PER_TASK": "1", "TASKS": str(self.tasks)}
        own = {"STRIKE": "yes" if strike else "", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            ["bash", "slurm/train.sbatch", *TRAIN, *flags],
            cwd=self.project,
            env=os.environ | slurm | own,
            capture_output=True,
            text=True,
            check=False,
        )

    def requeued(self) -> list[str]:
        path = self.project / "requeued"
        return path.read_text().split() if path.exists() else []

    def run_folder(self, job: int) -> Path:
        return self.project / "runs" / f"slurm-{job}"


@pytest.fixture(params=["none", "ddp"])
def cluster(request: pytest.FixtureRequest, render: Render, tmp_path: Path) -> Cluster:
    answers = {"task": "language_modeling", "parallel": request.param, "logger": ["csv"]}
    project = shutil.copytree(render(slurm=True, **answers), tmp_path / "project")
    return Cluster(project, tasks=2 if request.param == "ddp" else 1)


def test_job_that_was_stopped_queues_again_and_ends_with_the_same_weights(cluster: Cluster) -> None:
    stopped = cluster.start(7, strike=True)
    assert stopped.returncode == 75, stopped.stderr
    assert cluster.requeued() == ["7"]
    assert [path.stem for path in forked.checkpoints(cluster.run_folder(7))] == ["step-3"]

    again = cluster.start(7)
    assert again.returncode == 0, again.stderr
    assert "continues after step 3" in again.stdout
    undisturbed = cluster.start(8)
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert cluster.requeued() == ["7"]
    resumed, expected = (forked.result(cluster.run_folder(job)) for job in (7, 8))
    assert forked.differs(resumed, expected) is None


def test_job_that_fails_does_not_queue_again(cluster: Cluster) -> None:
    failed = cluster.start(7, "--data", "nowhere")
    assert failed.returncode == 65, failed.stderr
    assert "nowhere" in failed.stderr
    assert cluster.requeued() == []

import signal
import time

import pytest
from project.engine import signals as module
from project.engine.errors import STOPPED, Ending
from project.engine.signals import StopRequest
from project.engine.status import status

SIGNALS = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGUSR1"):
    SIGNALS.append(signal.SIGUSR1)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_sets_the_request_and_nothing_else(number):
    stop = StopRequest()
    assert not stop.asked()
    stop.leave_if_asked(1)
    signal.raise_signal(number)
    assert stop.asked()


@pytest.mark.parametrize("number", SIGNALS)
def test_the_run_leaves_with_the_code_for_again_and_says_how(capsys, number):
    stop = StopRequest()
    signal.raise_signal(number)
    with pytest.raises(Ending) as stopped:
        stop.leave_if_asked(7)
    assert stopped.value.code == STOPPED == 75 and stopped.value.reason == number.name
    output = capsys.readouterr().out
    assert "step 7" in output and "--resume auto" in output and output.count("\n") == 1


def test_a_second_ctrl_c_ends_at_once():
    StopRequest()
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_second_sigterm_does_not():
    stop = StopRequest()
    for _ in range(2):
        signal.raise_signal(signal.SIGTERM)
    assert stop.asked()


@pytest.mark.parametrize("name", ["SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"])
def test_what_a_scheduler_or_torchrun_repeats_is_one_request(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    stop = StopRequest()
    for _ in range(2):
        signal.raise_signal(signal.SIGINT)
    assert stop.asked()


def test_what_another_process_heard_counts_too(monkeypatch):
    monkeypatch.setattr(module, "any_process", lambda flag: True)
    stop = StopRequest()
    assert stop.asked()
    with pytest.raises(Ending, match="75") as stopped:
        stop.leave_if_asked(1)
    assert "another process" in stopped.value.reason


def test_the_time_limit_ends_the_run_when_it_is_over(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stop = StopRequest(deadline=160.0)
    assert not stop.asked()
    now = 160.5
    assert stop.asked()
    with pytest.raises(Ending) as stopped:
        stop.leave_if_asked(3)
    assert stopped.value.reason == "--time-limit"


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_clock_that_is_set_ends_nothing(monkeypatch, jump):
    stop = StopRequest(deadline=time.monotonic() + 600)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    assert not stop.asked()


def test_a_stop_is_no_excuse_for_a_save_that_failed(capsys):
    stop = StopRequest()
    status.not_saved(4, "no space")
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Ending, match="74"):
        stop.leave_if_asked(4)
    assert "step 4" in capsys.readouterr().err

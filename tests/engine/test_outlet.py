import pytest
from project.engine import outlet as module
from project.engine.outlet import PAUSE, SHARE, Outlet


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Flaky:
    """A logger that fails while it is told to, after as long as it is told to."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.error, self.takes = clock, None, 0.0
        self.opened = self.attempts = 0
        self.calls: list[tuple] = []
        self.unsent: list[int] = []

    def open(self) -> "Flaky":
        self.attempt()
        self.opened += 1
        return self

    def attempt(self) -> None:
        self.attempts += 1
        if self.error:
            self.clock.now += self.takes
            raise self.error

    def add_scalars(self, values, step):
        self.attempt()
        self.calls.append((step, values))

    def add_image(self, name, image, step):
        self.attempt()
        self.calls.append((step, name))

    def close(self):
        self.attempt()
        self.calls.append(("close",))


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def logger(clock) -> Flaky:
    return Flaky(clock)


@pytest.fixture
def outlet(logger) -> Outlet:
    outlet = Outlet("Flaky", logger.open)
    outlet.open()
    return outlet


def send(outlet: Outlet, *steps: int) -> None:
    for step in steps:
        outlet.send("add_scalars", {"loss": 1.0, "rate": 0.1}, step)


def steps_of(logger: Flaky) -> list:
    return [call[0] for call in logger.calls]


def test_after_an_outage_all_values_arrive_in_order(outlet, logger, clock, capsys):
    send(outlet, 1)
    logger.error = ConnectionError("no route to host")
    send(outlet, 2, 3, 4)
    logger.error = None
    send(outlet, 5)  # too early to try
    clock.now += PAUSE
    send(outlet, 6, 7)
    outlet.close()
    assert steps_of(logger) == [1, 2, 3, 4, 5, 6, 7, "close"]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "Flaky: no route to host; values wait in memory",
        "Flaky: back, 10 values written",
    ]
    assert not outlet.missing.total()


def test_an_outage_in_the_middle_of_the_way_back_is_part_of_it(outlet, logger, clock, capsys):
    logger.error = RuntimeError("gone")
    send(outlet, 1, 2)
    logger.error = None
    taken = logger.add_scalars

    def add_scalars_once(values, step):
        taken(values, step)
        logger.error = RuntimeError("gone again")

    logger.add_scalars = add_scalars_once
    clock.now += PAUSE
    send(outlet, 3)
    assert steps_of(logger) == [1]
    logger.add_scalars, logger.error = taken, None
    clock.now += PAUSE
    send(outlet, 4)
    assert steps_of(logger) == [1, 2, 3, 4]
    assert capsys.readouterr().err.count("\n") == 2


def test_a_logger_that_keeps_failing_costs_a_hundredth_of_the_time(outlet, logger, clock):
    logger.error, logger.takes = TimeoutError("timed out"), 10.0
    start = clock.now
    for step in range(20_000):
        send(outlet, step)
        clock.now += 1.0
    assert logger.attempts * logger.takes < (clock.now - start) / (SHARE - 10)


def test_one_that_fails_at_once_is_tried_again_no_sooner_than_after_the_pause(
    outlet, logger, clock
):
    logger.error = ConnectionRefusedError()
    opened = logger.attempts
    for step in range(100):
        send(outlet, step)
        clock.now += PAUSE / 10
    assert logger.attempts - opened == 10


def test_a_refused_value_holds_up_no_other(outlet, logger, capsys):
    def add_image(name, image, step):
        raise TypeError("not an image")

    logger.add_image = add_image
    for step in (1, 2):
        outlet.send("add_image", "digit", None, step)
        send(outlet, step)
    assert steps_of(logger) == [1, 2]
    assert outlet.missing == {"image": 2}
    assert capsys.readouterr().err == "Flaky: add_image was refused: not an image\n"


def test_the_oldest_of_a_kind_go_when_too_many_wait(outlet, logger, clock, capsys, monkeypatch):
    monkeypatch.setitem(module.ROOM, "add_scalars", 3)
    monkeypatch.setitem(module.ROOM, "add_image", 1)
    logger.error = ConnectionError("down")
    for step in range(5):
        send(outlet, step)
        outlet.send("add_image", "digit", None, step)
    logger.error = None
    clock.now += PAUSE
    send(outlet, 5)
    assert steps_of(logger) == [3, 4, 4, 5]
    assert outlet.missing == {"value": 6, "image": 4}
    assert capsys.readouterr().err.count("\n") == 4


def test_a_logger_that_cannot_be_opened_is_opened_later(logger, clock, capsys):
    outlet = Outlet("Flaky", logger.open)
    logger.error = ConnectionError("down")
    outlet.deliver()
    send(outlet, 1)
    assert not logger.opened
    logger.error = None
    clock.now += PAUSE
    send(outlet, 2)
    assert logger.opened == 1
    assert steps_of(logger) == [1, 2]
    assert capsys.readouterr().err.splitlines()[1] == "Flaky: back, 4 values written"


def test_what_waits_and_what_the_logger_holds_back_is_missing_in_the_end(outlet, logger):
    logger.error, logger.unsent = ConnectionError("down"), [1, 2, 3]
    send(outlet, 1)
    outlet.close()
    assert outlet.missing == {"value": 5}
    assert outlet.reason == "down"
    assert not logger.calls


def test_closing_tries_once_more_at_any_time(outlet, logger):
    logger.error = ConnectionError("down")
    send(outlet, 1)
    logger.error = None
    outlet.close()
    assert steps_of(logger) == [1, "close"]

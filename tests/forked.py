"""Runs of a rendered project, forked from a process that has imported it once.

Importing PyTorch takes most of a small run; forked, a run takes a second or two. What goes wrong in
it is planted from outside: an action at the nth call of a function, before train.py begins. Only
for systems with /proc.
"""

import csv
import gc
import json
import mmap
import os
import re
import runpy
import select
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from extensions.features import TASKS  # noqa: E402

PACKAGE = "trained"
STRICT = ("-W", "error::DeprecationWarning", "-W", "error::FutureWarning")
# after the flags of the task; what a run adds comes last, and counts
FLAGS = "--device cpu --amp none --workers 0 --batch-size 8 --log-every 1 --deterministic".split()

# where a fault can be planted; a leading dot means a module of the project's package
POINTS = {
    "start": ".engine.run:open_run",
    "step": ".engine.optimize:Average.update",
    "evaluate": ".engine.evaluate:evaluate",
    "save": "torch:save",
    "write": "__main__:Written.write",
    "fsync": "os:fsync",
    "replace": "pathlib:Path.replace",
    "unlink": "pathlib:Path.unlink",
}
# what Triton says at the end of a process whose objects are frozen: see serve()
FROZEN = re.compile(r"nanobind: leaked.*?/refleaks\.html\n?", re.DOTALL)
# what a process was doing when it was killed: the last of these that it entered and has not left
PHASES = ("starting", "stepping", "evaluating", "saving", "rotating", "ending")


class Fault(NamedTuple):
    """An action before the nth call of a function, counted from 1."""

    at: str  # one of POINTS
    call: int
    action: str  # a signal's name, alone or after "group ", or what `act` knows besides

    def act(self) -> None:
        if self.action == "disk full":
            limit_files(20_000)
        elif self.action == "space":
            limit_files(None)
        elif self.action == "leave":
            os.mkdir("elsewhere")
            os.chdir("elsewhere")
        elif self.action.startswith("delete "):
            shutil.rmtree(self.action.removeprefix("delete "))
        elif self.action.startswith("group "):
            os.killpg(0, signal.Signals[self.action.removeprefix("group ")])
        else:
            os.kill(os.getpid(), signal.Signals[self.action])


def limit_files(size: int | None) -> None:
    """Let no file grow beyond a size: what root sees, too, of a full disk."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


class Written:
    """A file that torch.save writes to, of which each write can go wrong."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.flush = file, file.flush

    def write(self, data: bytes) -> int:
        return self.file.write(data)


class Done(NamedTuple):
    code: int  # a signal's number, negative, if one ended it
    out: str
    err: str
    phase: str
    left: list[str]  # processes of its session that outlived it
    seconds: float


class Process:
    """A run under way."""

    def __init__(self, project: "Project", pid: int, outputs: Path) -> None:
        self.project, self.pid, self.outputs = project, pid, outputs
        self.began = time.monotonic()

    def wait(
        self, timeout: float = 120, kill_after: float | None = None, orphans: bool = False
    ) -> Done:
        """Return how it ended; killed after some seconds if that is asked for.

        What it leaves running is killed too, unless `orphans` are wanted.
        """
        request = {"wait": self.pid, "timeout": timeout, "kill_after": kill_after}
        answer = self.project.ask(request)
        seconds = time.monotonic() - self.began
        left = self.left(0 if answer["code"] == -signal.SIGKILL else 3)
        if not orphans:
            self.clear()
        out, err = ((self.outputs / name).read_text(errors="replace") for name in ("out", "err"))
        if answer["timeout"]:
            raise TimeoutError(f"still running after {timeout} s\n{out}\n{err}")
        err = FROZEN.sub("", err)
        phase = PHASES[(self.outputs / "phase").read_bytes()[0]]
        shutil.rmtree(self.outputs)
        return Done(answer["code"], out, err, phase, left, seconds)

    def clear(self) -> None:
        for pid in session(self.pid):
            send(pid, "SIGKILL")

    def resume(self) -> None:
        """Let it go on after a SIGSTOP."""
        send(self.pid, "SIGCONT")

    def left(self, patience: float) -> list[str]:
        """Return what still runs of its session; a tracker of resources needs a moment to end."""
        until = time.monotonic() + patience
        while session(self.pid) and time.monotonic() < until:
            time.sleep(0.01)
        return list(session(self.pid).values())


def session(number: int) -> dict[int, str]:
    """Return the commands of the living processes of a session, by their numbers."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
            command = path.with_name("cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # gone meanwhile
        state, _, _, of_session = text.rpartition(")")[2].split()[:4]
        if int(of_session) == number and state not in "ZX":
            found[int(path.parent.name)] = command
    return found


def send(pid: int, name: str) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.Signals[name])


class Project:
    """A rendered project with the process that its runs are forked from; use it in a `with`."""

    def __init__(self, folder: Path, task: str) -> None:
        self.folder, self.task = folder, task
        small = example(task)["small"]
        self.random = small["random"]
        self.networks = {TASKS[task.split("/")[0]].model_class: small["network"]}
        self.made_up = runpy.run_path(str(folder / "tests" / "small.py"))
        self.numbers = count()
        surroundings = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.server = subprocess.Popen(
            [sys.executable, *STRICT, __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
            bufsize=1,
            env=surroundings,
        )

    def __enter__(self) -> "Project":
        return self

    def __exit__(self, *error: object) -> None:
        assert self.server.stdin and self.server.stdout
        # it has nothing to save; the end of its input it may never see, if a worker that was forked
        # from this process holds the other end
        self.server.kill()
        self.server.wait()
        self.server.stdin.close()
        self.server.stdout.close()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.server.stdin and self.server.stdout
        self.server.stdin.write(json.dumps(request) + "\n")
        answer = self.server.stdout.readline()
        assert answer, "the process that runs are forked from has died"
        return json.loads(answer)

    def start(
        self,
        place: Path,
        *flags: str,
        faults: Sequence[Fault] = (),
        method: str = "",
        **env: str,
    ) -> Process:
        """Begin train.py with the task's small flags in a folder; `method` starts its workers."""
        command = ("train.py", *self.made_up["FLAGS"], *FLAGS, *flags)
        how = {"faults": faults, "method": method, "env": env}
        return self.run(place, *command, networks=self.networks, **how)

    def run(self, place: Path, *command: str, **how: Any) -> Process:
        """Begin one of the project's scripts in a folder."""
        outputs = place / f"outputs-{next(self.numbers)}"
        outputs.mkdir(parents=True)
        for name, content in {"out": b"", "err": b"", "phase": b"\0"}.items():
            (outputs / name).write_bytes(content)  # here: it may be killed before it would
        request = {"place": str(place), "outputs": str(outputs), "command": command}
        request |= {"faults": (), "method": "", "env": {}, "networks": {}} | how
        return Process(self, self.ask(request)["pid"], outputs)

    def make_data(self, place: Path) -> Path:
        """Write the made-up data on which a run of the task takes a second."""
        place.mkdir(exist_ok=True)
        self.made_up["make_data"](place)
        return place

    def train(self, place: Path, *flags: str, **options: Any) -> Done:
        return self.start(place, *flags, **options).wait()


def example(task: str) -> dict[str, Any]:
    """Return what the tests know of a task."""
    path = ROOT / "template/tasks" / task / "example.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def render(folder: Path, template: Path, task: str) -> Path:
    """Render a project of the task from a copy of the template, outside of pytest."""
    from copier import run_copy

    answers = {"task": task, "package": PACKAGE, "parallel": "ddp", "logger": ["csv"]}
    os.environ["COPIER_PYTORCH_WITHOUT_GIT"] = "1"
    run_copy(str(template), folder, answers, defaults=True, unsafe=True, quiet=True)
    return folder


# what a run leaves behind


def checkpoints(run: Path) -> list[Path]:
    """Return the checkpoints of a run's steps, the newest first; the first may lack its record."""
    found = (run / "checkpoints").glob("step-*.pt")
    return sorted(found, key=lambda path: int(path.stem[5:]), reverse=True)


def result(run: Path) -> dict[str, Any]:
    """Return all that two equal runs must have in common, whatever their machine and flags."""
    files = {"newest": checkpoints(run)[0], "best": run / "checkpoints" / "best.pt"}
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row[1].startswith(("train/", "test/"))]
    return {**{name: content(path) for name, path in files.items()}, "metrics": rows}


def content(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds, but for the flags, some of which may change."""
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    return {key: value for key, value in loaded.items() if key != "config"}


def score_lines(*outputs: str) -> list[str]:
    """Return the lines of test passes that runs have printed."""
    return [line for text in outputs for line in text.splitlines() if ": test " in line]


def differs(ours: Any, theirs: Any, path: str = "") -> str | None:
    """Return the path to the first value that is not equal, bit for bit."""
    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        same = ours.dtype == theirs.dtype and torch.equal(ours, theirs)
        return None if same else f"{path}: {ours} is not {theirs}"
    if isinstance(ours, (list, tuple)) and isinstance(theirs, type(ours)):
        ours, theirs = dict(enumerate(ours)), dict(enumerate(theirs))
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return None if ours == theirs else f"{path}: {ours} is not {theirs}"
    if ours.keys() != theirs.keys():
        return f"{path}: {sorted(ours, key=str)} are not {sorted(theirs, key=str)}"
    places = (differs(value, theirs[key], f"{path}/{key}") for key, value in ours.items())
    return next((place for place in places if place), None)


# the process that forks


def serve() -> dict[str, Any]:
    """Fork a child for each request that comes; return the request in the child."""
    gc.freeze()  # a child that looks through what it shares copies it all, and ends a second later
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = wait(request["wait"], request["timeout"], request["kill_after"])
        else:
            pid = os.fork()
            if pid == 0:
                return request
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)
    os._exit(0)


def wait(pid: int, timeout: float, kill_after: float | None) -> dict[str, Any]:
    handle = os.pidfd_open(pid)
    ended = select.poll()
    ended.register(handle, select.POLLIN)
    if kill_after is not None and not ended.poll(1000 * kill_after):
        os.kill(pid, signal.SIGKILL)
    late = not ended.poll(1000 * timeout)
    if late:
        os.kill(pid, signal.SIGKILL)
    os.close(handle)
    return {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "timeout": late}


def become_a_run(request: dict[str, Any]) -> None:
    """Turn this process into one that somebody started in a shell."""
    os.setsid()
    os.chdir(request["place"])
    outputs = Path(request["outputs"])
    for number, name in enumerate((os.devnull, outputs / "out", outputs / "err")):
        file = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0)
    os.environ.update(request["env"])
    follow(outputs / "phase")
    by_point: dict[str, list[Fault]] = {}
    for fault in request["faults"]:
        by_point.setdefault(fault[0], []).append(Fault(*fault))
    if "write" in by_point:
        save: Any = torch.save
        vars(torch)["save"] = lambda content, file: save(content, Written(file))
    for point, faults in by_point.items():
        before(POINTS[point], act_on(faults))
    if request["method"]:
        import multiprocessing

        multiprocessing.set_start_method(request["method"], force=True)


def act_on(faults: list[Fault]) -> Callable[[], None]:
    calls, main = count(1), os.getpid()

    def act() -> None:
        if os.getpid() != main:
            return
        number = next(calls)
        for fault in faults:
            if fault.call == number:
                fault.act()

    return act


def find(path: str) -> tuple[Any, str]:
    """Return the owner of a function and the function's name in it."""
    module, _, names = path.partition(":")
    owner: Any = import_module(PACKAGE + module if module.startswith(".") else module)
    *parents, name = names.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name


def before(path: str, act: Callable[[], None], after: Callable[[], None] = lambda: None) -> None:
    owner, name = find(path)
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        act()
        result = original(*args, **kwargs)
        after()
        return result

    setattr(owner, name, wrapped)


def follow(path: Path) -> None:
    """Keep in a file which of PHASES the run is in, readable however the run ends."""
    with path.open("r+b") as file:
        now = mmap.mmap(file.fileno(), 1)

    def enter(phase: str) -> Callable[[], None]:
        return lambda: now.__setitem__(0, PHASES.index(phase))

    stepping = enter("stepping")
    before(".engine.writer:Progress.__call__", stepping)
    before(".engine.evaluate:evaluate", enter("evaluating"), stepping)
    before(".engine.launch:Status.saved", enter("saving"), enter("rotating"))
    before(".engine.checkpoint:Checkpoints.save", enter("saving"), stepping)
    before(".engine.run:Run.conclude", enter("ending"))


def make_with(network: type, arguments: dict[str, Any]) -> None:
    """Let a network be made with these arguments, whatever else it is made with."""
    make: Any = network.__init__

    @wraps(make)
    def make_so(self: Any, *rest: Any, **others: Any) -> None:
        make(self, *rest, **{**others, **arguments})

    network.__init__ = make_so


def import_project(folder: Path) -> dict[str, Any]:
    """Import what train.py imports; return that."""
    sys.path[:] = [str(folder), *(path for path in sys.path if path != str(Path(__file__).parent))]
    import_module("torch._inductor")  # --deterministic does, and so does an optimizer
    train = vars(import_module("train"))
    del sys.modules["train"]
    return train


if __name__ == "__main__":
    its_folder = sys.argv[1]
    its_train = import_project(Path(its_folder))
    its_request = serve()
    for its_class, its_arguments in its_request["networks"].items():
        make_with(its_train[its_class], its_arguments)
    become_a_run(its_request)
    sys.argv = its_request["command"]
    runpy.run_path(f"{its_folder}/{sys.argv[0]}", run_name="__main__")

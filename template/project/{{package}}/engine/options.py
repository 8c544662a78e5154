"""The command line of the machinery (hardware, run, inspection) and --config."""

import argparse
import json
import math
import sys
import tomllib
from argparse import Action, ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from .errors import USAGE, fail
from .processes import is_main_process

# say where a run is, not what it does: not in config.toml
PLACES = {"config", "run_dir", "resume", "check_resume", "defaults"}
# what a resumed run may change, and what it may raise; all other flags are the experiment
FREE: set[str] = set()
RISING = {"epochs", "max_steps"}
NEEDS: dict[str, str] = {}  # flags that have no effect without another


def bounded(kind: Callable[[str], Any], accepts: Callable[[Any], bool], wanted: str):
    """Return an argument type that takes numbers of a kind within bounds."""

    def parse(text: str) -> Any:
        with suppress(ValueError):
            if accepts(value := kind(text)):
                return value
        raise ArgumentTypeError(f"{text} is not {wanted}")

    return parse


def seconds(text: str) -> float:
    hours, _, text = text.rpartition("h")
    minutes, _, text = text.rpartition("m")
    return 3600 * float(hours or 0) + 60 * float(minutes or 0) + float(text or 0)


whole = bounded(int, lambda n: n >= 1, "a whole number above 0")
count = bounded(int, lambda n: n >= 0, "a whole number from 0 up")
positive = bounded(float, lambda x: 0 < x < math.inf, "a number above 0")
several = bounded(int, lambda n: n >= 2, "a whole number above 1")
number = bounded(float, lambda x: 0 <= x < math.inf, "a number from 0 up")
seed_number = bounded(int, lambda n: 0 <= n < 2**63, "a whole number from 0 to 2^63 - 1")
fraction = bounded(float, lambda x: 0 <= x < 1, "a number from 0 to below 1")
duration = bounded(seconds, lambda x: 0 < x < math.inf, "a time, such as 90, 45m or 3h30m")
flag = BooleanOptionalAction  # --memory and --no-memory


def workers(text: str) -> str | int:
    return text if text == "auto" else count(text)


class Help(argparse.RawDescriptionHelpFormatter):
    """Shows the default of a flag that has one."""

    def _get_help_string(self, action: Action) -> str | None:
        shown = action.default not in (None, False, [], argparse.SUPPRESS)
        return f"{action.help} (default: %(default)s)" if shown else action.help


class Parser(ArgumentParser):
    """Says what is wrong in one line; a page of usage would hide it."""

    def error(self, message: str) -> NoReturn:
        fail(USAGE, f"{message}; --help lists all flags")


def new_parser(description: str | None, positional: str = "") -> ArgumentParser:
    NEEDS.clear()
    usage = " ".join(["%(prog)s", *positional.split(), "[flags]"])
    # no abbreviations: they would break on the day that a longer flag arrives
    return Parser(description=description, usage=usage, formatter_class=Help, allow_abbrev=False)


def new_group(parser: ArgumentParser, title: str) -> Callable[..., Action]:
    """Return an `add_argument` for a group of flags; `needs` names the flag that one needs."""
    add = parser.add_argument_group(title).add_argument

    def add_and_note(*names: str, needs: str = "", **settings: Any) -> Action:
        action = add(*names, **settings)
        if needs:
            NEEDS[action.dest] = needs.lstrip("-").replace("-", "_")
        return action

    return add_and_note


def may_change(add: Callable[..., Action]) -> Callable[..., Action]:
    """Return an `add_argument` for flags that a resumed run may change."""

    def add_and_note(*names: str, **settings: Any) -> Action:
        action = add(*names, **settings)
        FREE.add(action.dest)
        return action

    return add_and_note


def add_device(parser: ArgumentParser, *, device: str, amp: str) -> Callable[..., Action]:
    """Add the hardware flags of every script; return what adds more to their group."""
    add = may_change(parser.add_argument_group("hardware").add_argument)
    add("--device", choices=("auto", "cuda", "mps", "cpu"), default=device, help="where to compute")
    add("--amp", choices=("bf16", "fp16", "none"), default=amp, help="mixed precision")
    add("--workers", type=workers, default="auto", help="processes that load data; 0 for none")
    return add


def add_hardware(parser: ArgumentParser, *, device: str, amp: str, accumulate: int) -> None:
    add = add_device(parser, device=device, amp=amp)
    add("--accumulate", type=whole, default=accumulate, help="micro-batches to split a batch into")
    add("--compile", action=flag, default=False, help="compile the network: slow start, fast steps")
    add("--deterministic", action=flag, default=False, help="the same bits on every run, slower")


def add_run(parser: ArgumentParser, *, seed: int) -> None:
    add = parser.add_argument_group("run").add_argument
    add("--config", type=Path, help="TOML file of flags, such as a run's config.toml")
    add("--run-dir", type=Path, help="a new folder, by default runs/<time>-<name>")
    add("--seed", type=seed_number, default=seed, help="of order, augmentation, dropout")
    add("--resume", nargs="?", const="auto", metavar="PATH", help="continue PATH or the newest run")
    add("--init-from", type=Path, help="checkpoint whose weights to start from, where they fit")
    add("--freeze", nargs="+", default=[], metavar="NAME", help="what not to train, such as stem.*")
    add("--eval-batches", type=count, default=0, help="batches of a validation; 0 is all")

    add = may_change(add)
    add("--time-limit", type=duration, help="save and stop after seconds, or as 45m or 3h30m")
    add("--log-every", type=whole, default=10, help="steps between log lines")
    add("--eval-every", type=count, default=0, help="steps between validations; 0 is an epoch")
    add("--save-every", type=count, default=0, help="steps between checkpoints; 0 is an epoch")
    add("--keep", type=several, default=3, help="newest checkpoints to keep, besides the best")
    bad = "on NaN or Inf in the loss or a gradient: stop the run, or skip the step"
    add("--on-nonfinite", choices=("stop", "skip"), default="stop", help=bad)
    add("--max-skips", type=whole, default=20, help="skipped steps in a row that stop the run")


def add_inspection(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("inspection").add_argument
    add("--check-resume", action="store_true", help="prove that a stop changes no later step")
    add("--overfit", type=count, default=0, help="train on the first N batches only; 0 is off")

    add = may_change(add)
    add("--dry-run", action=flag, default=False, help="one step and val batch; nothing is kept")
    add("--profile", type=count, default=0, help="steps to profile into the run folder; 0 is off")
    add("--detect-anomaly", action=flag, default=False, help="trace NaN gradients to their forward")
    add("--check-finite", action=flag, default=False, help="name the first layer with NaN or Inf")
    add("--memory", action=flag, default=False, help="report memory after the first steps")
    add("--summary", action=flag, default=False, help="print the layers with their shapes")
    add("--graph", action=flag, default=False, help="draw the network into the run folder")


def parse(parser: ArgumentParser) -> Namespace:
    """Return the arguments; refuse a flag that has no effect without the one that it needs."""
    args = parser.parse_args()
    if args.config:  # first, so that what is typed counts
        args = parser.parse_args([*read_config(args.config), *sys.argv[1:]])
    for name, needed in NEEDS.items():
        if getattr(args, name) != parser.get_default(name) and not getattr(args, needed):
            name, needed = (dest.replace("_", "-") for dest in (name, needed))
            parser.error(f"--{name}: has no effect without --{needed}")
    if args.dry_run:
        args.run_dir = args.resume = None
        args.max_steps = args.log_every = args.eval_batches = 1
    args.defaults = {name: parser.get_default(name) for name in vars(args)}
    return args


def fit_batch_size(args: Namespace, samples: int) -> int:
    """Return --batch-size, or all samples where its default is above them."""
    if args.batch_size <= samples:
        return args.batch_size
    if args.batch_size != args.defaults["batch_size"]:
        fail(USAGE, f"--batch-size {args.batch_size}: the training set has {samples} samples only")
    if is_main_process():
        print(f"--batch-size {samples}: the training set has no more, so not {args.batch_size}")
    return samples


def read_config(path: Path) -> list[str]:
    """Return a TOML file as a command line, so that its values are checked like typed ones."""
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fail(USAGE, f"--config {path}: {error}")
    line: list[str] = []
    for name, value in config.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            line.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, list):
            if any(str(item).startswith(("--", "-h")) for item in value):
                fail(USAGE, f"--config {path}: --{flag} {value}: an entry reads as a flag")
            line += [f"--{flag}", *map(str, value)]
        else:
            line.append(f"--{flag}={value}")
    return line


def resolved(args: Namespace) -> dict[str, Any]:
    """Return what config.toml and the loggers hold: every flag's value, as plain types."""
    given = {k: v for k, v in vars(args).items() if k not in PLACES and v not in (None, [])}
    return json.loads(json.dumps(given, default=str))  # a path becomes text, in lists, too


def to_toml(config: dict[str, Any]) -> str:
    # a JSON string, number, true or list is the same in TOML, but for one control character;
    # escaped, an emoji would be two surrogates, which TOML refuses
    values = {name: json.dumps(value, ensure_ascii=False) for name, value in config.items()}
    lines = (f"{name.replace('_', '-')} = {value}\n" for name, value in values.items())
    return "".join(lines).replace("\x7f", "\\u007f")

"""Flags as a file: config.toml of a run, and --config; what a resumed run may change."""

import json
import tomllib
from argparse import Namespace
from pathlib import Path
from typing import Any

from .errors import MISMATCH, USAGE, fail

# say where a run is, not what it does: not in config.toml
PLACES = {"config", "run_dir", "resume", "replay_step", "check_resume", "defaults"}
# may change when a run is resumed; all other flags are the experiment
FREE = PLACES.union(
    ("device", "amp", "workers", "accumulate", "compile", "deterministic", "time_limit"),
    ("gradient_checkpointing", "log_every", "eval_every", "save_every", "keep"),
    ("on_nonfinite", "max_skips", "dry_run", "profile", "detect_anomaly", "check_finite"),
    ("memory", "summary", "graph"),
)
# parts of the names of flags whose values are written nowhere: they belong into the environment
SECRETS = {"key", "token", "secret", "password"}


def read_config(path: Path, known: dict[str, Any]) -> list[str]:
    """Return a TOML file as a command line, so that its values are checked like typed ones."""
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fail(USAGE, f"--config {path}: {error}")
    line: list[str] = []
    for name, value in config.items():
        key = name.replace("_", "-")
        if key.replace("-", "_") not in known:
            fail(USAGE, f"--config {path}: --{key} is no flag; --help lists them")
        if isinstance(value, bool):
            line.append(f"--{key}" if value else f"--no-{key}")
        elif isinstance(value, list):
            if any(str(item).startswith("-") for item in value):
                fail(USAGE, f"--config {path}: --{key}: {value} would be read as flags")
            line += [f"--{key}", *map(str, value)]
        else:
            line.append(f"--{key}={value}")
    return line


def resolved(args: Namespace) -> dict[str, Any]:
    """Return what config.toml and the loggers hold: every flag's value, as plain types."""
    flags = {name: value for name, value in vars(args).items() if name not in PLACES}
    public = {name: value for name, value in flags.items() if not is_secret(name)}
    given = {name: value for name, value in public.items() if value not in (None, [])}
    return json.loads(json.dumps(given, default=str))  # a path becomes text, in lists, too


def is_secret(name: str) -> bool:
    return bool(SECRETS & {*name.lower().replace("-", "_").split("_")})


def without_secrets(command: list[str]) -> list[str]:
    """Return the command line with *** where a secret was typed all the same."""
    shown, hide = [], False
    for word in command:
        flag, equals, _ = word.partition("=")
        secret = word.startswith("--") and is_secret(flag[2:])
        shown.append("***" if hide else f"{flag}=***" if secret and equals else word)
        hide = secret and not equals
    return shown


def to_toml(config: dict[str, Any]) -> str:
    # a JSON string, number, true or list is the same in TOML, but for one control character;
    # escaped, an emoji would be two surrogates, which TOML refuses
    values = {name: json.dumps(value, ensure_ascii=False) for name, value in config.items()}
    lines = (f"{name.replace('_', '-')} = {value}" for name, value in values.items())
    return "\n".join(lines).replace("\x7f", "\\u007f") + "\n"


def refuse_other_experiment(
    path: Path | None, before: dict[str, Any], now: dict[str, Any], defaults: dict[str, Any]
) -> None:
    """A resumed run must be the run that was stopped; only what is FREE may change."""
    for name in sorted((before.keys() | now.keys()) - FREE):
        if name not in before and now[name] == defaults[name]:
            continue  # a flag that the project did not have then
        if before.get(name) != now.get(name):
            flag, value = "--" + name.replace("_", "-"), now.get(name, "not given")
            fail(
                MISMATCH,
                f"{flag} {value}: {path} was trained with {before.get(name, 'none')}; "
                "keep it, or begin a new run with --init-from",
            )

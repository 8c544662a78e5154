"""environment.json: which code ran, on what."""

import platform
import subprocess
import sys
from importlib.metadata import distributions
from typing import Any

import torch

from .config import without_secrets
from .processes import world_size


def environment(device: torch.device) -> dict[str, Any]:
    """Return what a reader of old results asks first: which code, on what."""
    return {
        "command": without_secrets(sys.argv),
        "git_commit": git("rev-parse", "HEAD"),
        "git_changes": git("status", "--porcelain"),
        "python": sys.version,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else str(device),
        "processes": world_size(),
        "packages": {package.name: package.version for package in distributions()},
    }


def git(*arguments: str) -> str | None:
    try:
        command = ["git", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None  # not installed, or not a repository
    return done.stdout.strip()

"""How a script ends: with one line, a code, and no process left behind."""

import multiprocessing
import os
import re
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import torch

from .errors import BUG, DEVICE, INTERRUPTED, MEMORY, Ending, warn
from .processes import lost
from .status import status


def launch(main: Callable[[], None]) -> NoReturn:
    """Run `main`; what a user can mend is one line, what is a bug keeps its traceback."""
    code, reason = 0, None
    try:
        main()
        sys.stdout.flush()
    except Ending as ending:
        code, reason = ending.number, ending.reason
    except SystemExit as ending:  # argparse's, after --help
        code = ending.code if isinstance(ending.code, int) else int(bool(ending.code))
        raise
    except BrokenPipeError as error:
        if not output_is_closed():
            code, reason = explain(error)
            raise
    except BaseException as error:
        code, reason = explain(error)
        if code == BUG:
            raise
        warn(reason)
    finally:
        leave_nobody_behind()
        status.end(code, reason)
    raise SystemExit(code)


def output_is_closed() -> bool:
    """Return whether whoever reads what is printed has seen enough, as `head` has."""
    if not hasattr(select, "poll"):
        return False
    output = select.poll()
    output.register(sys.stdout, 0)
    closed = any(event & select.POLLERR for _, event in output.poll(0))
    if closed:  # what is left to print goes nowhere, or Python would complain when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return closed


def explain(error: BaseException) -> tuple[int, str]:
    """Return the code for an error, and a line that says the way out."""
    if isinstance(error, KeyboardInterrupt):
        step = status.fields.get("saved_step")
        return INTERRUPTED, f"interrupted; saved up to step {step}" if step else "interrupted"
    if out_of_memory(error):
        asked = re.search(r"ried to allocate ([\d.]+ \w+)", str(error))
        more = f" ({asked[1]} more)" if asked else ""
        return MEMORY, f"out of memory{more}{what_needs_less(status.config)}"
    if line := lost(error):
        return DEVICE, line
    return BUG, f"{type(error).__name__}: {error}"


def out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # of the host, for a tensor
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def what_needs_less(config: dict[str, Any]) -> str:
    """Return what helps, first what changes nothing else."""
    if not config:
        return "; try a smaller --batch-size"
    ways = [f"--accumulate {2 * config['accumulate']} is the same training in less"]
    if config.get("gradient_checkpointing") is False:
        ways.append("so is --gradient-checkpointing, slower")
    if config["amp"] == "none":
        ways.append("--amp bf16 takes half for activations")
    return f" with --batch-size {config['batch_size']}: {'; '.join(ways)}"


def leave_nobody_behind() -> None:
    """Kill workers that still run: a stuck one would keep this process from ending."""
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch would raise in this process
    for child in multiprocessing.active_children():
        child.kill()
        child.join()

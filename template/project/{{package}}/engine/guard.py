"""Steps whose numbers went wrong: left out, and explained."""

import json
import math
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from .debug import FiniteCheck
from .errors import DIVERGED, Ending, fail, warn
from .loader import Batch, Loader
from .prefetch import prefetch
from .processes import is_main_process, rank, sum_over_processes, world_size

SPIKE = 3.0  # times the median of the losses logged before
VANISHED = 1e-8  # a gradient's norm
REMEMBERED = 20  # logged losses


class Guard:
    """Keeps steps with a NaN or an infinity away from the weights.

    Looking costs no wait: flags stay on the device until numbers are logged or saved. Once the run
    has to end, no step changes the weights any more. So the loop can do the one that went wrong
    again, from the same weights, with every layer watched. Under fp16, the scaler leaves them out.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: Optimizer,
        scaler: GradScaler,
        loader: Loader,
        device: torch.device,
        folder: Path,
        args: Namespace,
    ) -> None:
        self.net, self.optimizer, self.loader = net, optimizer, loader
        self.device, self.folder = device, folder
        self.scaled = scaler.is_enabled()  # then the scaler leaves steps out, and lowers its scale
        self.most = args.max_skips if self.scaled or args.on_nonfinite == "skip" else 0
        self.replay, self.dry = getattr(args, "replay_step", None), args.dry_run
        self.check = FiniteCheck(net, gradients=not self.scaled) if args.check_finite else None
        self.latest = torch.zeros(2, device=device)  # loss, norm of the gradients
        # left out: in all, in a row, the first of the row; whether the row is too long
        self.counts = torch.zeros(4, dtype=torch.int64, device=device)
        self.logged: list[float] = []
        self.again = 0  # the step to do once more

    def watch(self, steps: Iterable[tuple[int, Batch]]) -> Iterator[tuple[int, Batch]]:
        """Yield the steps; if the run has to end, the one that went wrong comes once more."""
        for step, batch in steps:
            if step == self.replay:
                self.look_at_layers()
            yield step, batch
            if self.again:
                self.look_at_layers()
                step = range(self.again - 1, self.again)
                yield self.again, next(prefetch(self.loader.steps(step), self.device))

    def step(self, step: int, loss: Tensor, grad_norm: Tensor) -> None:
        """Leave the step out if its numbers are not finite; call it before the optimizer's."""
        if world_size() > 1:
            loss = sum_over_processes(loss.clone()) / world_size()
        self.latest = torch.stack((loss, grad_norm)).detach()
        if self.check is not None:
            where = self.check.first(loss)
            if where or step in (self.again, self.replay):
                self.explain(step, where)
        bad = ~self.latest.isfinite().all()
        skipped, row, first, over = self.counts.unbind()
        if self.device.type == "cpu" and not bad and not row and not over:
            return  # nearly all steps: the same as what follows, but faster
        row = torch.where(bad, row + 1, 0)
        first = torch.where((row == 1) & (over == 0), step, first)
        over = over | (row > self.most)
        self.counts = torch.stack((skipped + bad, row, first, over))
        if not self.scaled:
            self.leave_out(bad | (over > 0))
        if self.device.type == "cpu":
            self.has_to_end()

    def leave_out(self, bad: Tensor) -> None:
        """Let the optimizer's next step change nothing."""
        fused = getattr(self.optimizer, "_step_supports_amp_scaling", False)
        if fused and self.device.type != "cpu":
            # its kernel reads the flag, so that nobody waits
            vars(self.optimizer)["found_inf"] = bad.float()
        elif bad:
            self.optimizer.zero_grad()

    def has_to_end(self) -> bool:
        """Return whether too many steps were left out; this waits for the device."""
        if self.counts[3].item() and not self.again:
            self.again = int(self.counts[2])
        return bool(self.again)

    def numbers(self, step: int) -> dict[str, float]:
        """Return what a log line says of the step; this waits for the device."""
        self.has_to_end()
        loss, norm = self.latest.tolist()
        usual = median(self.logged) if self.logged else math.inf
        if is_main_process() and math.inf > loss > SPIKE * usual > 0:
            warn(f"step {step}: the loss, {loss:.4g}, is {loss / usual:.0f} times the usual one")
        if is_main_process() and norm < VANISHED:
            warn(f"step {step}: the gradients have vanished (norm {norm:.1e})")
        if math.isfinite(loss):
            self.logged = [*self.logged, loss][-REMEMBERED:]
        skipped = float(self.counts[0])
        return {"train/loss": loss, "train/grad_norm": norm, "train/skipped_steps": skipped}

    def look_at_layers(self) -> None:
        if self.check is None:
            torch.compiler.set_stance("force_eager")  # compiled code runs no hooks that come later
            self.check = FiniteCheck(self.net, gradients=not self.scaled)

    def explain(self, step: int, where: str | None) -> NoReturn:
        """Say what was first to go wrong in this step, and end the run."""
        numbers = dict(zip(("loss", "grad_norm"), map(str, self.latest.tolist()), strict=True))
        samples = self.loader.sample_ids(step)
        report = {"step": step, **numbers, "first": where, "samples": samples}
        text = json.dumps(report)
        if step == self.replay:
            if is_main_process():
                print(text)
            raise Ending(DIVERGED if where else 0, f"step {step} was done again")
        path = self.folder / f"non_finite_{rank()}.json"
        with suppress(OSError):  # a full disk must not hide what went wrong
            path.write_text(text + "\n", encoding="utf-8")
        kept = "" if self.dry else f" ({path})"
        reason = f"{where} is not finite" if where else "not so when it was done again"
        reason = f"step {step}: loss {numbers['loss']}, {reason}{kept}"
        if is_main_process() or step != self.again:  # which all processes do together
            skip = "" if self.most else ", or --on-nonfinite skip"
            fail(DIVERGED, f"{reason}; try a lower --lr or --clip-norm{skip}")
        raise Ending(DIVERGED, reason)

    def state_dict(self) -> dict[str, Any]:
        return {"counts": self.counts.tolist(), "logged": self.logged}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.counts = torch.tensor(state["counts"], device=self.device)
        self.logged = state["logged"]

"""No NaN or infinity reaches the weights; with --check-finite, the layer that made it is named."""

from argparse import Namespace
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from .errors import DIVERGED, Ending, fail
from .loader import Loader
from .processes import gather, is_main_process, sum_over_processes, world_size
from .runtime import is_finite, tensors


class Guard:
    """Leaves out steps whose loss or gradients are not finite, and ends the run after too many.

    No step waits for the device: the numbers stay there until they are logged or saved. From the
    step that is one too many on, no step changes the weights.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: Optimizer,
        scaler: GradScaler,
        loader: Loader,
        device: torch.device,
        args: Namespace,
    ) -> None:
        self.loader, self.device = loader, device
        # fp16 overflows now and then; the scaler lowers its scale, and goes on
        skips = args.on_nonfinite == "skip" or scaler.is_enabled()
        self.allowed = args.max_skips if skips else 0
        self.check = FiniteCheck(net, not scaler.is_enabled()) if args.check_finite else None
        self.loss = self.grad_norm = torch.zeros((), device=device)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self.in_a_row = torch.zeros_like(self.skipped)
        self.diverged_at = torch.zeros_like(self.skipped)  # the step that was one too many
        self.leave_out = torch.zeros((), dtype=torch.bool, device=device)
        self.started = False  # whether the optimizer has done a step
        optimizer.register_step_pre_hook(self.before_optimizer)

    def step(self, step: int, loss: Tensor, grad_norm: Tensor) -> None:
        """Look at a step's numbers; if one is not finite, let the optimizer leave the step out."""
        if self.check is not None:
            found = [where for where in gather(self.check.first(loss)) if where]
            if found:  # which other processes see in the gradients only
                where = min(found, key=lambda where: "gradient" in where)
                self.end(f"step {step}: {where} is not finite", step)
        if world_size() > 1:
            loss = sum_over_processes(loss.clone()) / world_size()
        bad = self.leave_out = ~(loss + grad_norm).isfinite()
        if self.device.type == "cpu" and not bad and not self.in_a_row:
            self.loss, self.grad_norm = loss, grad_norm  # nearly all steps: as below, but faster
            return
        diverged = self.diverged_at > 0
        self.loss = torch.where(diverged, self.loss, loss)
        self.grad_norm = torch.where(diverged, self.grad_norm, grad_norm)
        self.skipped = self.skipped + bad
        self.in_a_row = torch.where(bad, self.in_a_row + 1, 0)
        too_many = ~diverged & (self.in_a_row > self.allowed)
        self.diverged_at = torch.where(too_many, step, self.diverged_at)
        self.leave_out = bad | (self.diverged_at > 0)
        if self.device.type == "cpu":
            self.end_if_diverged()

    def before_optimizer(self, optimizer: Optimizer, *_: Any) -> None:
        """Let the optimizer change nothing in a step that is left out."""
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        if fused and self.started and self.device.type != "cpu":
            # the kernel reads it, so nobody waits
            vars(optimizer)["found_inf"] = self.leave_out.float()
        elif self.leave_out:
            # also the first step: fused SGD would keep buffers that a kernel left unwritten
            optimizer.zero_grad()
        else:
            self.started = True

    def end_if_diverged(self) -> None:
        """End the run if too many steps in a row were not finite; this waits for the device."""
        if last := int(self.diverged_at):
            first = last - self.allowed
            steps = f"steps {first} to {last}" if self.allowed else f"step {last}"
            numbers = f"loss {float(self.loss):.4g}, gradient norm {float(self.grad_norm):.4g}"
            layer = "the same command with --resume auto --check-finite names the layer"
            self.end(f"{steps}: {numbers}, not finite; {layer}", first)

    def end(self, reason: str, step: int) -> NoReturn:
        skip = "" if self.allowed else ", or --on-nonfinite skip"
        samples = ", ".join(map(str, self.loader.sample_ids(step)))
        reason += f"; try a lower --lr or --clip-norm{skip}; step {step} had samples {samples}"
        if is_main_process():
            fail(DIVERGED, reason)
        raise Ending(DIVERGED, reason)

    def numbers(self) -> dict[str, float]:
        """Return what a log line says of the latest step; this waits for the device."""
        self.end_if_diverged()
        return {
            "train/loss": float(self.loss),
            "train/grad_norm": float(self.grad_norm),
            "train/skipped_steps": float(self.skipped),
        }

    def state_dict(self) -> dict[str, Any]:
        numbers = {"skipped": self.skipped, "in_a_row": self.in_a_row, "loss": self.loss}
        return {name: number.item() for name, number in numbers.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("skipped", "in_a_row", "loss"):
            setattr(self, name, torch.tensor(state[name], device=self.device))


class FiniteCheck:
    """Watches every layer's output and gradients."""

    def __init__(self, net: nn.Module, gradients: bool = True) -> None:
        self.parameters = dict(net.named_parameters()) if gradients else {}
        self.found: str | None = None
        # a layer's hook runs before those of the blocks around it, so the innermost is named
        for name, module in net.named_modules():
            module.register_forward_hook(partial(self.look, f"the output of {name or 'net'}"))

    def look(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if torch.is_grad_enabled() and not all(map(is_finite, tensors(output))):  # else none trains
            self.found = self.found or name

    def first(self, loss: Tensor) -> str | None:
        """Name what was first to have a NaN or an infinity since the last call, if anything had."""
        found, self.found = self.found or (None if is_finite(loss) else "the loss"), None
        bad = (
            f"the gradient of {name}"
            for name, parameter in reversed(self.parameters.items())  # as backward runs
            if parameter.grad is not None and not is_finite(parameter.grad)
        )
        return found or next(bad, None)

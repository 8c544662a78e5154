"""Micro-batches, parameter groups, clipping, the learning-rate schedule and averaged weights."""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from fnmatch import fnmatch
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from .errors import USAGE, fail
from .loader import Batch
from .processes import gradient_sync, is_main_process, sum_over_processes, world_size
from .runtime import mix, seed_noise, tensors, widest_float

Net = TypeVar("Net", bound=nn.Module)

# --schedule -> the fraction of --lr, by how much of the steps after warm-up is done
RATES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "linear": lambda done: 1 - done,
    "wsd": lambda done: min(1.0, (1 - done) / 0.2),  # stable, and in the last fifth a decay
    "constant": lambda done: 1.0,
}


def micro_batches(
    batch: Batch, net: nn.Module, criterion: Any, noise: tuple[int, int]
) -> Iterator[tuple[Any, Any, Tensor | float]]:
    """Yield inputs, targets and the weight of their mean loss in the step's.

    A mean of means is wrong when the parts differ in size, so a part weighs its elements, out of
    those of all processes; DDP divides gradients by the number of processes, which the weight
    undoes. `noise` is (seed, step): dropout depends on it and on the part's place in the step.
    """
    parts = batch.micro_batches
    weights: list[Any] = [1.0]
    if len(parts) > 1 or world_size() > 1:
        counts = torch.stack([elements(criterion, t) * batch.weight for _, t in parts])
        counts = counts.to(widest_float(counts.device))
        total = sum_over_processes(counts.sum())
        weights = list((counts * world_size() / total.where(total > 0, 1)).unbind())
    for place, ((inputs, targets), weight) in enumerate(zip(parts, weights, strict=True)):
        seed_noise(mix(*noise, batch.first + place))
        with gradient_sync(net, enabled=place == len(parts) - 1):
            yield inputs, targets, weight


def elements(criterion: Any, targets: Any) -> Tensor:
    """Return how many elements a loss is the mean over: what its `count` says, else the samples."""
    if hasattr(criterion, "count"):
        return criterion.count(targets)
    first = next(tensors(targets))
    if isinstance(criterion, nn.CrossEntropyLoss) and not first.is_floating_point():
        counted = first[first != criterion.ignore_index]
        weights = counted.new_ones(()) if criterion.weight is None else criterion.weight[counted]
        return weights.expand(counted.shape).sum()
    return torch.full((), len(first), device=first.device)


def freeze(net: nn.Module, patterns: list[str]) -> None:
    """Keep the parameters whose names match a pattern, such as "stem.*", as they are."""
    for pattern in patterns:
        matches = [p for name, p in net.named_parameters() if fnmatch(name, pattern)]
        if not matches:
            names = ", ".join(name for name, _ in net.named_children())
            fail(USAGE, f"--freeze {pattern}: no parameter has such a name; parts are {names}")
        for parameter in matches:
            parameter.requires_grad_(False)
    if not any(p.requires_grad for p in net.parameters()):
        fail(USAGE, f"--freeze {' '.join(patterns)}: nothing is left to train")


def decay_groups(net: nn.Module, weight_decay: float) -> list[dict]:
    """Return parameter groups: matrices decay; biases and normalisations, being vectors, do not."""
    trained = [p for p in net.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def clip_gradients(net: nn.Module, norm: float, value: float) -> Tensor:
    """Clip by value, then by norm, where 0 is off; return the norm before it was clipped.

    A norm that is not finite clips nothing: it would spread over all gradients.
    """
    if value:
        nn.utils.clip_grad_value_(net.parameters(), value)
    total = nn.utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])
    if norm:
        finite = torch.where(total.isfinite(), total, 0.0)
        nn.utils.clip_grads_with_norm_(net.parameters(), norm, finite)
    return total


class LambdaLR(lr_scheduler.LambdaLR):  # named as its parent: checkpoints hold the name
    """Follows this run's schedule where the checkpoint is of one with fewer steps."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        before, factor = self.get_last_lr()[0], self.lr_lambdas[0](self.last_epoch)
        self._last_lr = [base * factor for base in self.base_lrs]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate
        if not math.isclose(before, now := self._last_lr[0], rel_tol=1e-6) and is_main_process():
            print(f"the learning rate goes on at {now:.1e}, not {before:.1e}: --schedule is longer")


def learning_rate(optimizer: Optimizer, schedule: str, warmup: float, total_steps: int) -> LambdaLR:
    """Return a schedule over optimizer steps: a linear warm-up, then down to 0 on the last step."""
    rise = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        return RATES[schedule](min(1.0, (step - rise) / max(1, total_steps - rise)))

    return LambdaLR(optimizer, factor)


class Average(Generic[Net]):
    """Holds the averaged network as `net`; with decay 0 that is the trained network itself."""

    def __init__(self, net: Net, decay: float) -> None:
        self.decay = decay
        self.trained = net
        self.net = deepcopy(net).requires_grad_(False) if decay else net

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the trained weights, faster at first: the start is far off."""
        if not self.decay:
            return
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_([*self.net.parameters()], [*self.trained.parameters()], weight)
        for buffer, newest in zip(self.net.buffers(), self.trained.buffers(), strict=True):
            buffer.copy_(newest)

    def state_dict(self) -> dict[str, Any]:
        return self.net.state_dict() if self.decay else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.decay:
            self.net.load_state_dict(state)

"""Where the first NaN or infinity came from."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .runtime import is_finite, tensors


class FiniteCheck:
    """Watches every layer's output and gradients; waits for the device once per check."""

    def __init__(self, net: nn.Module, *, gradients: bool = True):
        self._parameters = dict(net.named_parameters()) if gradients else {}
        self._flags: list[tuple[str, Tensor]] = []
        # a layer's hook runs before those of the blocks around it, so the innermost is named
        for name, module in net.named_modules():
            module.register_forward_hook(partial(self._look, f"the output of {name or 'net'}"))

    def first(self, loss: Tensor) -> str | None:
        """Name what was first to have a NaN or an infinity since the last call, if anything had."""
        # backward runs from the last layer to the first; frozen layers have no gradient
        gradients = [
            (f"the gradient of {name}", is_finite(parameter.grad))
            for name, parameter in reversed(self._parameters.items())
            if parameter.grad is not None
        ]
        names, flags = zip(*self._flags, ("the loss", is_finite(loss)), *gradients, strict=True)
        self._flags = []
        finite = torch.stack([flag.to(loss.device) for flag in flags]).tolist()
        return None if all(finite) else names[finite.index(False)]

    def _look(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if torch.is_grad_enabled():  # the test pass is not looked at
            self._flags += [(name, is_finite(tensor)) for tensor in tensors(output)]

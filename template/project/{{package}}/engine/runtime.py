"""Device, precision and seeds: what a run stands on."""

import ctypes
import hashlib
import os
import random
import struct
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, amp, nn

from . import processes
from .errors import DEVICE, USAGE, fail

Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "none": torch.float32}


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" is the accelerator if there is one."""
    found = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    if name in ("cuda", "mps") and found.type != name:
        fail(
            DEVICE, f"--device {name}: this PyTorch sees no {name.upper()} device; try --device cpu"
        )
    if name == "auto" and found.type not in ("cuda", "mps", "cpu"):  # `seed_noise` skips others
        fail(DEVICE, f"--device auto: {found.type} is not supported; take --device cpu")
    return found if name == "auto" else torch.device(name)


def open_device(name: str) -> torch.device:
    """Pick the device, let a CPU keep the memory that it frees, and join the other processes."""
    device = pick_device(name)
    if device.type == "cpu" and sys.platform == "linux":
        # or it gives the activations' memory back to the kernel, and asks for it in every step
        glibc = ctypes.CDLL("libc.so.6")
        glibc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
        glibc.mallopt(-3, 1 << 25)  # M_MMAP_THRESHOLD, the most that it takes
    processes.start(device)
    return device


def has_bf16(device: torch.device) -> bool:
    """Return whether it computes in bf16 itself; emulated, it takes 16 times what float32 does."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities().items()
    return device.type != "cpu" or any("bf16" in name and has for name, has in able)


class Precision:
    """What --amp asks for, as one autocast context and one gradient scaler."""

    def __init__(self, device: torch.device, name: str) -> None:
        if name == "fp16" and device.type == "cpu":
            fail(USAGE, "--amp fp16: a CPU has no fast fp16; try --amp bf16 or --amp none")
        self.note = ""
        if name == "bf16" and not has_bf16(device):
            if device.type == "cuda":
                fail(USAGE, "--amp bf16: this GPU has no bf16; try --amp fp16 or --amp none")
            name, self.note = "none", " in float32, as it has no bf16"
        if device.type == "cuda":
            # where autocast is off, TF32: the range of float32, and 10 bits after the point
            torch.set_float32_matmul_precision("high")
        self.device, self.dtype = device, DTYPES[name]

    def autocast(self) -> torch.autocast:
        """Run forward and loss in the lower precision; backward stays outside."""
        dtype = None if self.dtype == torch.float32 else self.dtype
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def prepare(self, net: nn.Module) -> None:
        """Let the convolutions that PyTorch trains wrongly in bf16 on a CPU compute in float32."""
        if self.device.type == "cpu" and self.dtype == torch.bfloat16:
            for layer in net.modules():
                if isinstance(layer, Conv):
                    layer.register_forward_hook(redo_in_float32)

    def odd_layers(self, net: nn.Module) -> list[str]:
        """Return weights that tensor cores can't use well: a size is no multiple of 8."""
        used = self.device.type == "cuda" and self.dtype != torch.float32
        matrices = ((name, p) for name, p in net.named_parameters() if used and p.ndim > 1)
        return [name for name, p in matrices if any(size % 8 for size in p.shape[:2])]

    def scaler(self) -> amp.GradScaler:
        """Return a scaler that works for fp16 and passes everything through otherwise."""
        return amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)


def redo_in_float32(layer: Conv, inputs: tuple[Tensor], outputs: Tensor) -> Tensor | None:
    """Compute again where oneDNN's bf16 writes no gradient of weights that meet only padding."""
    kernel = layer.kernel_size
    size = inputs[0].shape[-len(kernel) :]
    narrow = kernel[-1] > 1 and layer.stride[-1] > size[-1]
    flat = len(kernel) == 3 and kernel[0] > 1 and size[0] == 1
    if not (narrow or flat):
        return None
    with torch.autocast("cpu", enabled=False):
        return layer.forward(inputs[0].float()).to(outputs.dtype)


def mix(*numbers: int) -> int:
    """Return a 63-bit seed; unlike sums, (1, 2) and (2, 1) give seeds with nothing in common."""
    packed = struct.pack(f"{len(numbers)}q", *numbers)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little") >> 1


def seed_noise(seed: int) -> None:
    """Seed PyTorch's generators; torch.manual_seed, which asks every backend, costs 50 times it."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def seed_everything(seed: int) -> None:
    """Seed every global generator: Python's, NumPy's and PyTorch's."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    seed_noise(seed)


def set_seed(seed: int, deterministic: bool) -> None:
    """Seed, and choose between the same bits on every run and the fastest kernels."""
    torch.manual_seed(seed)  # also of devices that nothing has used yet
    seed_everything(seed)
    torch.backends.cudnn.benchmark = not deterministic  # tries kernels, keeps the fastest
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def move(batch: Any, device: torch.device) -> Any:
    """Move every tensor and module, however nested, without waiting for the copies."""
    if isinstance(batch, (Tensor, nn.Module)):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: move(value, device) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        parts = [move(value, device) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors(part)


def looks(value: Any) -> str:
    """Return what a sample is: the shapes of its tensors, and the kinds of the rest."""
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(str, value))}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(looks, value))})"
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def is_finite(tensor: Tensor) -> Tensor:
    """Return a 0-dim bool, without waiting for the device."""
    return tensor.isfinite().all()


def widest_float(device: torch.device) -> torch.dtype:
    """Return the type for long sums on this device."""
    return torch.float32 if device.type == "mps" else torch.float64

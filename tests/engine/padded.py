"""A task whose samples have unequal numbers of targets, in memory."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

IGNORED = -100


class Criterion(nn.Module):
    """(B, T, V) logits, (B, T) ids -> scalar, the mean over the targets that count."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        total = F.cross_entropy(
            outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return total / self.count(targets).clamp(min=1)

    def count(self, targets: Tensor) -> Tensor:
        return targets.ne(IGNORED).sum()


class Texts(Dataset):
    """Sequences of unequal length, padded with targets that do not count."""

    in_memory = True

    def __init__(self, length: int, longest: int = 6) -> None:
        generator = torch.Generator().manual_seed(length)
        shape = (length, longest)
        self.inputs = torch.randn(*shape, 5, generator=generator, dtype=torch.float64)
        self.targets = torch.randint(3, shape, generator=generator)
        lengths = torch.randint(1, longest + 1, (length, 1), generator=generator)
        self.targets[torch.arange(longest) >= lengths] = IGNORED

    def __len__(self) -> int:
        return len(self.inputs)

    def whole_batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return self.inputs[indices], self.targets[indices]

"""What a token makes of what it has seen."""

import torch.nn.functional as F
from torch import Tensor, nn


class FeedForward(nn.Module):
    """(..., D) -> (..., D), each token for itself."""

    def __init__(self, dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, 4 * dim, bias=False)
        self.project = nn.Linear(4 * dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.project(F.gelu(self.expand(x))))

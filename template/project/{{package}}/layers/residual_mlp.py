"""Two linear layers and a shortcut."""

from torch import Tensor, nn

from .feed_forward import FeedForward


class ResidualMLP(nn.Module):
    """(..., D) -> (..., D); adds what two layers make of its normalised input."""

    def __init__(self, dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(dim)
        self.layers = FeedForward(dim, dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(self.norm(x))

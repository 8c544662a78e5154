"""A step of a transformer."""

from torch import Tensor, nn

from .attention import SelfAttention
from .feed_forward import FeedForward


class TransformerBlock(nn.Module):
    """(B, T, D) tokens, (T, D/heads/2) angles, (B, T) which tokens are there -> (B, T, D)."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, causal: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(dim)
        self.attention = SelfAttention(dim, heads, dropout, causal)
        self.norm2 = nn.RMSNorm(dim)
        self.feed_forward = FeedForward(dim, dropout)

    def forward(self, x: Tensor, angles: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), angles, mask)
        return x + self.feed_forward(self.norm2(x))

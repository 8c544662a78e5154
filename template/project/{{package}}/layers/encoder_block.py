"""A step of a transformer that reads in both directions."""

from torch import Tensor, nn

from .feed_forward import FeedForward
from .masked_attention import MaskedAttention


class EncoderBlock(nn.Module):
    """(B, T, D) tokens, (T, D/heads/2) angles, (B, T) which tokens are there -> (B, T, D)."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(dim)
        self.attention = MaskedAttention(dim, heads, dropout)
        self.norm2 = nn.RMSNorm(dim)
        self.feed_forward = FeedForward(dim, dropout)

    def forward(self, x: Tensor, angles: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), angles, mask)
        return x + self.feed_forward(self.norm2(x))

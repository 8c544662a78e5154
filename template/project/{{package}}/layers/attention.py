"""Tokens that look at each other."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.rotary import rotate


class SelfAttention(nn.Module):
    """(B, T, D) tokens, (T, D/heads/2) angles, (B, T) which tokens are there -> (B, T, D).

    A causal token sees itself and the past, any other one sees all. Without a mask all tokens are
    there; causal tokens need none, as padding comes last. What stands at its places means nothing.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0, causal: bool = False) -> None:
        super().__init__()
        if dim % (2 * heads):
            raise ValueError(f"dim {dim} is no multiple of 2 x {heads} heads")
        self.heads = heads
        self.dropout = dropout
        self.causal = causal
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.project = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, angles: Tensor, mask: Tensor | None = None) -> Tensor:
        heads = self.qkv(x).unflatten(2, (3, self.heads, -1))  # (B, T, 3, H, D/H)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (B, H, T, D/H)
        q, k = rotate(q, angles), rotate(k, angles)
        seen = None if mask is None else mask[:, None, None, :]  # by every head and query
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, seen, dropout, is_causal=self.causal)
        return self.project(y.transpose(1, 2).flatten(2))  # (B, T, D)

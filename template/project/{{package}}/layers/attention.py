"""Tokens that look back at earlier ones."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.rotary import rotate


class CausalAttention(nn.Module):
    """(B, T, D) tokens, (T, D/heads/2) angles -> (B, T, D); each token sees itself and the past."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if dim % (2 * heads):
            raise ValueError(f"dim {dim} is no multiple of 2 x {heads} heads")
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.project = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        heads = self.qkv(x).unflatten(2, (3, self.heads, -1))  # (B, T, 3, H, D/H)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (B, H, T, D/H)
        dropout = self.dropout if self.training else 0.0
        q, k = rotate(q, angles), rotate(k, angles)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        return self.project(y.transpose(1, 2).flatten(2))  # (B, T, D)

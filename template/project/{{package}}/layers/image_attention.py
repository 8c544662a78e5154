"""Places of an image that look at each other, however far apart."""

import torch
from torch import Tensor, nn


class ImageAttention(nn.Module):
    """(B, C, H, W) -> (B, C, H, W); each place adds what it gathers from all places.

    A learned gate lets that in, from nothing at the start. Written out rather than left to a fused
    kernel, as a gradient penalty asks for gradients of gradients; suited to small maps.
    """

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels are no multiple of {heads} heads")
        self.heads = heads
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(x).flatten(2).unflatten(1, (3, self.heads, -1))  # (B, 3, heads, D, H*W)
        q, k, v = heads.unbind(1)
        weights = (q.transpose(2, 3) @ k * q.shape[2] ** -0.5).softmax(dim=3)  # (..., H*W, H*W)
        gathered = v @ weights.transpose(2, 3)  # (B, heads, D, H*W)
        return x + self.gate * self.project(gathered.flatten(1, 2).view_as(x))

"""A block that learns what to add to its input."""

from torch import Tensor, nn


def convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)


class Residual(nn.Module):
    """(B, C, H, W) -> (B, C', H/stride, W/stride); adds the block's input to its output.

    Group normalisation looks at one sample at a time. Batch normalisation would make the result
    depend on how a batch is split over processes and micro-batches.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels_in, channels_out, stride),
            nn.GroupNorm(8, channels_out),
            nn.ReLU(),
            convolution(channels_out, channels_out),
            nn.GroupNorm(8, channels_out),
        )
        self.shortcut = nn.Identity()
        if stride > 1 or channels_in != channels_out:
            self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.shortcut(x))

"""Sound as a picture: time to the right, pitch upwards, loudness as brightness."""

import math

import torch
from torch import Tensor, nn

from ..ops.mel_filters import mel_filters

QUIET = 1e-7  # of the power of a full-scale tone: -70 dB, below which all is silence


class LogMel(nn.Module):
    """(B, samples) in -1..1 -> (B, 1, bands, frames), the logarithm of the power in mel bands.

    A layer rather than a transform: it runs on the device, and training, prediction and export
    share it. A frame is about 32 ms, one begins every 10 ms.
    """

    def __init__(self, rate: int, bands: int = 40) -> None:
        super().__init__()
        self.size = 2 ** round(math.log2(0.032 * rate))
        self.step = round(0.01 * rate)
        window = torch.hann_window(self.size)
        self.register_buffer("window", 2 * window / window.sum(), persistent=False)
        self.register_buffer("filters", mel_filters(rate, self.size, bands), persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        # in lower precision a quiet band would drown in the rounding of a loud one
        with torch.autocast(waves.device.type, enabled=False):
            frames = waves.unfold(1, self.size, self.step) * self.window  # (B, frames, size)
            power = torch.view_as_real(torch.fft.rfft(frames)).square().sum(dim=-1)
            bands = power @ self.filters  # (B, frames, bands)
            return (bands + QUIET).log().transpose(1, 2)[:, None]

"""How near images come to those they should be."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .totals import totals


class Fidelity:
    """Averages `psnr`, in decibels, and `ssim`, up to 1, of single images in 0..255.

    The outputs are rounded to bytes first, as they are when somebody looks at them. PSNR is that
    of all three colours together, and 100 for an image without a fault. SSIM is that of Wang et
    al. (2004): a Gaussian window of 11 pixels, within the image, for each colour.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        # the engine adds up these numbers over all processes
        self.counters = totals(3)  # psnr, ssim, images

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """(B, C, H, W) in 0..255, (B, C, H, W) bytes; 11 pixels high and wide at least."""
        outputs = outputs.to(self.counters.dtype).round().clamp(0, 255)
        targets = targets.to(self.counters.dtype)
        error = (outputs - targets).square().mean(dim=(1, 2, 3))
        psnr = 10 * torch.log10(255**2 / error.clamp(min=255**2 * 1e-10))
        sums = [psnr.sum(), structural_similarity(outputs, targets).sum()]
        self.counters += torch.stack([*sums, torch.ones_like(psnr).sum()])

    def compute(self) -> dict[str, float]:
        psnr, ssim, images = self.counters.tolist()
        return {"psnr": psnr / images, "ssim": ssim / images}


def structural_similarity(x: Tensor, y: Tensor) -> Tensor:
    """(B, C, H, W), (B, C, H, W), both in 0..255 -> (B,), 1 where they are the same."""
    channels = x.shape[1]
    places = torch.arange(-5, 6, dtype=x.dtype, device=x.device)
    weights = torch.exp(-(places**2) / (2 * 1.5**2))
    window = (weights / weights.sum()).expand(channels, 1, 1, 11)

    def smooth(values: Tensor) -> Tensor:
        values = F.conv2d(values, window, groups=channels)
        return F.conv2d(values, window.transpose(2, 3), groups=channels)

    mean_x, mean_y = smooth(x), smooth(y)
    spread_x, spread_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    both = smooth(x * y) - mean_x * mean_y
    # these keep what is flat or dark from being divided by 0
    a, b = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    light = (2 * mean_x * mean_y + a) / (mean_x**2 + mean_y**2 + a)
    structure = (2 * both + b) / (spread_x + spread_y + b)
    return (light * structure).mean(dim=(1, 2, 3))

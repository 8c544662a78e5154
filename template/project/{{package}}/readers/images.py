"""Image files, and images to look at."""

from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..engine.errors import BadSampleError

IMAGE_FILES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def load_image(path: Path, mode: str | None = None) -> Image.Image:
    """Return the image as it is to be seen, in Pillow's mode of that name or in its own."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return eight_bits(upright, path).convert(mode) if mode else upright
    except (MemoryError, BadSampleError):
        raise
    except Exception as error:  # decoders raise as many kinds as there are ways to damage a file
        reason = f"{why_unreadable(error)}; --skip-bad-samples leaves it out"
        raise BadSampleError(f"{path}: {reason}") from error


def readable(path: Path) -> bool:
    try:
        load_image(path, "RGB")
    except BadSampleError:
        return False
    return True


def eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """Return the upper half of 16 bits, as Pillow's conversion would cut off all above 255."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode in ("I", "F"):
        reason = f"is of Pillow's mode {image.mode}, in which no number is white; save it as RGB"
        raise BadSampleError(f"{path}: {reason}, or --skip-bad-samples leaves it out")
    return image


def why_unreadable(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file any more"
    if isinstance(error, OSError) and error.strerror:  # the file system's; Pillow's have none
        return error.strerror
    bomb = isinstance(error, Image.DecompressionBombError)
    return "has too many pixels" if bomb else "does not decode"


def as_rgb(images: Tensor) -> Tensor:
    """(..., C, H, W) -> (..., 3, H, W) to look at: grey three times, else the first three."""
    grey = images.shape[-3] < 3
    return torch.cat([images[..., :1, :, :]] * 3, dim=-3) if grey else images[..., :3, :, :]

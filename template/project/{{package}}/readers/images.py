"""Image files: read, cut to a square, and shown side by side."""

from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..engine.errors import BadSampleError

IMAGE_FILES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def read_image(path: Path, size: int) -> Tensor:
    """Return (3, size, size) bytes: the middle of the image."""
    return pixels(ImageOps.fit(load_image(path, "RGB"), (size, size)))


def load_image(path: Path, mode: str | None = None) -> Image.Image:
    """Return the image as it is to be seen, in Pillow's mode of that name or in its own."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return upright.convert(mode) if mode else upright
    except MemoryError:
        raise
    except Exception as error:  # decoders raise as many kinds as there are ways to damage a file
        raise BadSampleError(f"{path}: {why_unreadable(error)}") from error


def pixels(image: Image.Image) -> Tensor:
    """Return (C, H, W) bytes."""
    content = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return content.view(image.height, image.width, -1).permute(2, 0, 1)


def why_unreadable(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file any more"
    if isinstance(error, OSError) and error.strerror:  # the file system's; Pillow's have none
        return error.strerror
    bomb = isinstance(error, Image.DecompressionBombError)
    reason = "has too many pixels" if bomb else "does not decode"
    return f"{reason}; --skip-bad-samples leaves it out"


def decodes(path: Path, size: int) -> bool:
    try:
        read_image(path, size)
    except BadSampleError:
        return False
    return True


def side_by_side(images: Tensor, columns: int = 8) -> Tensor:
    """(N, C, H, W) -> one picture (C, H', W') of all of them, row by row."""
    columns = min(columns, len(images))
    empty = images.new_zeros(-len(images) % columns, *images.shape[1:])
    rows = torch.cat((images, empty)).split(columns)
    return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)

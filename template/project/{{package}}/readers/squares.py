"""Image files as squares of one size."""

from pathlib import Path

from PIL import ImageOps
from torch import Tensor

from ..engine.errors import BadSampleError
from .images import load_image, pixels


def read_image(path: Path, size: int) -> Tensor:
    """Return (3, size, size) bytes: the middle of the image."""
    return pixels(ImageOps.fit(load_image(path, "RGB"), (size, size)))


def decodes(path: Path, size: int) -> bool:
    try:
        read_image(path, size)
    except BadSampleError:
        return False
    return True

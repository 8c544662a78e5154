"""Image files."""

from pathlib import Path

from PIL import Image, ImageOps

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

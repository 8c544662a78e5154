"""Images without labels: drawn landscapes, or those in a folder of your own."""

from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..engine.errors import OUTPUT, fail
from ..engine.noise import normal
from ..engine.runtime import mix
from .images import IMAGE_FILES, side_by_side
from .split_folders import train_and_test_folders
from .squares import decodes, read_image

# at night, at sunrise, by day, at sunset: the sky above, the sky at the horizon
SKIES = (
    ((14, 18, 58), (62, 62, 122)),
    ((96, 122, 190), (252, 190, 150)),
    ((70, 140, 230), (205, 232, 250)),
    ((84, 60, 130), (250, 136, 82)),
)
GROUNDS = ((52, 120, 56), (168, 134, 66), (120, 84, 70), (214, 222, 236))  # the last is snow
LIGHT = (255, 246, 206)  # of the sun and of the moon


class Pictures:
    """Images in memory, (N, 3, H, W) bytes."""

    in_memory = True

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Tensor) -> Tensor:
        return self.images[indices]


class PictureFiles(Pictures):
    """Images read when they are asked for, cut to a square of `size` pixels."""

    in_memory = False

    def __init__(self, paths: list[Path], size: int) -> None:
        self.paths = paths
        self.size = size

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, indices: Tensor) -> Tensor:
        return torch.stack([read_image(self.paths[i], self.size) for i in indices.tolist()])


def open_pictures(
    folder: Path | None, size: int, seed: int, skip_bad: bool
) -> tuple[Pictures, Pictures]:
    """Return images to train on and images to test on; without a folder they are drawn."""
    if folder is None:
        train, test = (landscapes(count, size, mix(seed, count)) for count in (16384, 1000))
        return Pictures(train), Pictures(test)
    reads = partial(decodes, size=size) if skip_bad else None
    found = train_and_test_folders(folder, IMAGE_FILES, seed, reads)
    train, test = (PictureFiles(paths, size) for paths in found)
    return train, test


class Drawings(Dataset):
    """Noise of a shape to draw from, the same in each test pass, beside as many real images."""

    def __init__(self, images: Pictures, shape: tuple[int, ...], limit: int) -> None:
        self.images = images
        self.shape = shape
        self.limit = limit
        self.in_memory = images.in_memory

    def __len__(self) -> int:
        return min(self.limit, len(self.images))

    def batch(self, indices: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Return (B, *shape) noise and (B, 3, H, W) bytes."""
        chosen = indices * len(self.images) // len(self)  # from all over, as they may be sorted
        return normal(indices, self.shape, seed), self.images.read(chosen)

    def first(self, count: int) -> Tensor:
        """Return noise for a few drawings, always the same ones."""
        return normal(torch.arange(count), self.shape, seed=0)


def mirror(images: Tensor, random: Tensor) -> Tensor:
    """Mirror those images whose random number in [0, 1) is below a half."""
    return torch.where(random.view(-1, 1, 1, 1) < 0.5, images.flip(3), images)


def to_bytes(images: Tensor) -> Tensor:
    return images.round().to("cpu", torch.uint8)


def grid(images: Tensor) -> Tensor:
    """(N, 3, H, W) images in 0..255 -> (3, H', W') bytes, eight in a row."""
    return side_by_side(to_bytes(images))


def write_pictures(images: Tensor, folder: Path) -> None:
    """Write (N, 3, H, W) images in 0..255: grid.png with all of them, and a file for each."""
    pictures = {f"{number:04}.png": image for number, image in enumerate(to_bytes(images))}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in {"grid.png": grid(images), **pictures}.items():
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / name)
    except OSError as error:
        fail(OUTPUT, f"{folder}: {error.strerror or error}; name a folder that can be written")


def landscapes(count: int, size: int, seed: int) -> Tensor:
    """Draw (count, 3, size, size) bytes: the sky at some hour, sun or moon, three rows of hills."""
    generator = torch.Generator().manual_seed(seed)

    def random(low: float, high: float) -> Tensor:
        numbers = torch.rand(count, 1, 1, 1, generator=generator)
        return low + (high - low) * numbers

    pixel = (torch.arange(size) + 0.5) / size
    y, x = pixel.view(1, 1, -1, 1), pixel.view(1, 1, 1, -1)

    skies = torch.tensor(SKIES, dtype=torch.float32).view(len(SKIES), 2, 3, 1, 1)
    hour = random(0, len(SKIES))
    before = hour.long().flatten()
    sky = skies[before].lerp(skies[(before + 1) % len(SKIES)], hour.frac()[..., None])
    above, horizon = sky.unbind(1)  # (N, 3, 1, 1)
    images = above.lerp(horizon, (1.4 * y).clamp(max=1))  # (N, 3, H, 1)

    light = torch.tensor(LIGHT, dtype=torch.float32).view(3, 1, 1)
    away = torch.hypot(x - random(0.1, 0.9), y - random(0.12, 0.45)) - random(0.06, 0.12)
    images = images.lerp(light, inside(-away, size))  # (N, 3, H, W)

    grounds = torch.tensor(GROUNDS, dtype=torch.float32).view(-1, 3, 1, 1)
    ground = grounds[torch.randint(len(GROUNDS), (count,), generator=generator)]
    brightness = above.mean(dim=1, keepdim=True).div(150).clamp(0.35, 1)
    for row in range(3):  # the farthest first, pale as the air before it
        top = 0.5 + 0.16 * row + random(-0.06, 0.06)
        for waves, height in ((random(0.5, 1.5), 0.1), (random(1.5, 3), 0.04)):
            angle = 2 * torch.pi * (waves * x + random(0, 1))
            top = top + random(0.3, 1) * height * angle.sin()
        colour = (ground * brightness * random(0.8, 1)).lerp(horizon, 0.55 - 0.25 * row)
        images = images.lerp(colour, inside(y - top, size))
    return images.round().to(torch.uint8)


def inside(distance: Tensor, size: int) -> Tensor:
    """Return how much of a pixel is covered, by its distance to the edge."""
    return (0.5 + size * distance).clamp(0, 1)

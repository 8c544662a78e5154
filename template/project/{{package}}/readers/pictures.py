"""Images without labels: drawn landscapes, or those in a folder of your own."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import to_pil_image
from torchvision.utils import make_grid

from ..engine.errors import OUTPUT, BadSampleError, fail
from ..engine.runtime import mix
from .images import IMAGE_FILES, load_image
from .split_folders import file_identity, file_sets

DRAWN = {"train": 16384, "val": 1000, "test": 1000}

# at night, at sunrise, by day, at sunset: the sky above, the sky at the horizon
SKIES = (
    ((14, 18, 58), (62, 62, 122)),
    ((96, 122, 190), (252, 190, 150)),
    ((70, 140, 230), (205, 232, 250)),
    ((84, 60, 130), (250, 136, 82)),
)
GROUNDS = ((52, 120, 56), (168, 134, 66), (120, 84, 70), (214, 222, 236))  # the last is snow
LIGHT = (255, 246, 206)  # of the sun and of the moon


def readable(path: Path) -> bool:
    try:
        load_image(path, "RGB")
    except BadSampleError:
        return False
    return True


class Pictures(Dataset):
    """Images in memory, (N, 3, H, W) bytes."""

    in_memory = True

    def __init__(self, images: Tensor, transform: v2.Transform) -> None:
        self.images = images
        self.transform = transform
        self.identities: list[str] = []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(self.images[index])


class PictureFiles(Dataset):
    """Images read when they are asked for."""

    in_memory = False

    def __init__(self, paths: list[Path], transform: v2.Transform, folder: Path) -> None:
        self.paths = paths
        self.transform = transform
        self.identities = [file_identity(path, folder) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(load_image(self.paths[index], "RGB"))


def open_pictures(
    config: dict[str, Any], train_transform: v2.Transform, test_transform: v2.Transform
) -> list[Pictures] | list[PictureFiles]:
    """Return images to train on, to validate and to test with; without --data they are drawn."""
    seed = config["split_seed"]
    transforms = {"train": train_transform, "val": test_transform, "test": test_transform}
    if "data" not in config:
        size = config["image_size"]
        drawn = (landscapes(n, size, mix(seed, k)) for k, n in enumerate(DRAWN.values()))
        return [Pictures(*pair) for pair in zip(drawn, transforms.values(), strict=True)]
    folder, reads = Path(config["data"]), readable if config["skip_bad_samples"] else None
    files = file_sets(folder, IMAGE_FILES, seed, config["group_level"], reads)
    return [PictureFiles(files[name], t, folder) for name, t in transforms.items()]


class Drawings(Dataset):
    """Noise of a shape to draw from, the same in each pass, beside as many real images."""

    def __init__(
        self, images: Pictures | PictureFiles, shape: tuple[int, ...], limit: int | None = None
    ) -> None:
        self.images = images
        self.shape = shape
        self.limit = limit or len(images)
        self.in_memory, self.identities = images.in_memory, images.identities

    def __len__(self) -> int:
        return min(self.limit, len(self.images))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return noise and (3, H, W) bytes."""
        chosen = index * len(self.images) // len(self)  # from all over, as they may be sorted
        return torch.randn(self.shape), self.images[chosen]


def to_bytes(images: Tensor) -> Tensor:
    return images.round().to("cpu", torch.uint8)


def grid(images: Tensor) -> Tensor:
    """(N, 3, H, W) images in 0..255 -> (3, H', W') bytes, eight in a row."""
    return make_grid(to_bytes(images), padding=0)


def seeded_noise(count: int, shape: tuple[int, ...], seed: int) -> Tensor:
    """Return (count, *shape) noise to draw from; more of it begins with the same."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(shape, generator=generator) for _ in range(count)])


def write_pictures(images: Tensor, folder: Path) -> None:
    """Write (N, 3, H, W) images in 0..255: grid.png with all of them, and a file for each."""
    pictures = {f"{number:04}.png": image for number, image in enumerate(to_bytes(images))}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in {"grid.png": grid(images), **pictures}.items():
            to_pil_image(picture).save(folder / name)
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

"""Drawn pictures as tensors, and many of them as one."""

import torch
from PIL import Image
from torch import Tensor


def pixels(image: Image.Image) -> Tensor:
    """Return (C, H, W) bytes."""
    content = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return content.view(image.height, image.width, -1).permute(2, 0, 1)


def side_by_side(images: Tensor, columns: int = 8) -> Tensor:
    """(N, C, H, W) -> one picture (C, H', W') of all of them, row by row."""
    columns = min(columns, len(images))
    empty = images.new_zeros(-len(images) % columns, *images.shape[1:])
    rows = torch.cat((images, empty)).split(columns)
    return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)

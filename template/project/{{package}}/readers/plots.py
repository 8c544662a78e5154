"""Forecasts as pictures."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..engine.errors import OUTPUT, fail
from .pages import pixels

WIDTH, HEIGHT, FINE = 480, 240, 3  # pixels; drawn larger and made smaller, so lines are smooth
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 24, 22  # margins
PAPER, GRID, INK, BLUE = (255, 255, 255), (225, 229, 235), (40, 45, 55), (30, 100, 200)
SHADES = ((208, 224, 246), (160, 194, 238), (120, 168, 228))  # of intervals, the widest first

Point = tuple[float, float]


def draw_forecast(title: str, known: Tensor, truth: Tensor, forecast: Tensor) -> Tensor:
    """(L,) known values, (H,) those that came, (H, Q) quantiles -> (3, height, width) bytes.

    NaN is a gap. Intervals are shaded, the median is blue, what was or became known is black.
    """
    numbers = [n for part in (known, truth, forecast) for n in part.flatten().tolist() if n == n]
    low, high = min(numbers), max(numbers)
    space = 0.05 * (high - low) or 1.0
    low, high = low - space, high + space
    first, last = 1 - len(known), max(1, len(forecast))

    def place(step: float, value: float) -> Point:
        x = LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return FINE * x, FINE * y

    image = Image.new("RGB", (FINE * WIDTH, FINE * HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=11 * FINE)
    for value in (low + space, (low + high) / 2, high - space):
        draw.line([place(first, value), place(last, value)], GRID, FINE)
        x, y = place(first, value)
        draw.text((x - 4 * FINE, y), f"{value:.4g}", INK, font, anchor="rm")
    for step in (first, 0, last):
        draw.line([place(step, low), place(step, high)], GRID, FINE)
        x, y = place(step, low)
        draw.text((x, y + 4 * FINE), f"{step:+}" if step else "0", INK, font, anchor="mt")
    draw.text((LEFT * FINE, 4 * FINE), title, INK, font)

    rows = forecast.tolist()  # from the step after the last that is known
    middle = len(rows[0]) // 2
    for number in range(middle):
        lower = [place(step, row[number]) for step, row in enumerate(rows, 1)]
        upper = [place(step, row[-1 - number]) for step, row in enumerate(rows, 1)]
        draw.polygon([*lower, *upper[::-1]], SHADES[min(number, len(SHADES) - 1)])
    draw_line(draw, [place(step, row[middle]) for step, row in enumerate(rows, 1)], BLUE)
    past = [place(step, value) for step, value in enumerate(known.tolist(), first)]
    draw_line(draw, [*past, *(place(step, value) for step, value in enumerate(truth.tolist(), 1))])
    return pixels(image.reduce(FINE))


def draw_line(draw: ImageDraw.ImageDraw, points: Sequence[Point], colour: tuple = INK) -> None:
    """Draw a line with a gap where a point has no height."""
    part: list[Point] = []
    for point in (*points, (0.0, float("nan"))):
        if point[1] == point[1]:
            part.append(point)
        else:
            if len(part) > 1:
                draw.line(part, colour, 2 * FINE, joint="curve")
            part = []


def write_plots(plots: Sequence[Tensor], folder: Path) -> None:
    """Write pictures of (3, H, W) bytes as 0001.png and so on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, plot in enumerate(plots, 1):
            Image.fromarray(plot.permute(1, 2, 0).numpy()).save(folder / f"{number:04}.png")
    except OSError as error:
        fail(OUTPUT, f"--plots {folder}: {error.strerror or error}")

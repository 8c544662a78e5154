"""Forecasts as pictures, by matplotlib, which is imported where one is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..engine.errors import OUTPUT, fail

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 480, 240  # pixels of one forecast
FRAME = (56, 24, WIDTH - 68, HEIGHT - 48)  # left, bottom, width and height of its axes
INK, BLUE = "#282d37", "#1e64c8"
SHADES = ("#d0e0f6", "#a0c2ee", "#78a8e4")  # of intervals, the widest first

Forecast = tuple[str, Tensor, Tensor, Tensor]


def plot_forecasts(forecasts: Sequence[Forecast], columns: int = 2) -> Figure:
    """A title, (L,) known values, (H,) those that came, (H, Q) quantiles each -> one figure.

    NaN is a gap. Intervals are shaded, the median is blue, what was or became known is black.
    """
    from matplotlib.figure import Figure  # no pyplot: it would keep each figure

    columns = min(columns, len(forecasts))
    rows = -(-len(forecasts) // columns)
    width, height = columns * WIDTH, rows * HEIGHT
    figure = Figure((width / 100, height / 100), dpi=100)
    for number, (title, known, truth, forecast) in enumerate(forecasts):
        # placed by hand: a layout of matplotlib's takes longer than to draw
        row, column = divmod(number, columns)
        left, bottom = FRAME[0] + column * WIDTH, FRAME[1] + (rows - 1 - row) * HEIGHT
        axes = figure.add_axes((left / width, bottom / height, FRAME[2] / width, FRAME[3] / height))
        steps = range(1, len(forecast) + 1)  # from the last known value on
        quantiles = forecast.T.tolist()
        middle = len(quantiles) // 2
        for low in range(middle):
            shade = SHADES[min(low, len(SHADES) - 1)]
            axes.fill_between(steps, quantiles[low], quantiles[-1 - low], color=shade, lw=0)
        axes.plot(steps, quantiles[middle], color=BLUE)
        line = torch.cat((known, truth)).tolist()
        axes.plot(range(1 - len(known), len(truth) + 1), line, color=INK)
        axes.set_title(title, loc="left", fontsize=9, parse_math=False)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.4)
    return figure


def pixels(figure: Figure) -> Tensor:
    """Return (3, H, W) bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    content = torch.from_numpy(np.array(canvas.buffer_rgba()))
    return content[..., :3].permute(2, 0, 1).contiguous()


def write_plots(figures: Iterable[Figure], folder: Path) -> None:
    """Write figures as 0001.png and so on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, figure in enumerate(figures, 1):
            figure.savefig(folder / f"{number:04}.png")
    except OSError as error:
        fail(OUTPUT, f"--plots {folder}: {error.strerror or error}")

import sys
from pathlib import Path
from subprocess import run

import pytest
import torch
from PIL import Image
from project.engine.errors import OUTPUT
from project.readers.plots import (
    BLUE,
    HEIGHT,
    SHADES,
    WIDTH,
    pixels,
    plot_forecasts,
    write_plots,
)
from torch import Tensor

from rendered import SEVERAL

NOTHING = torch.full((8,), torch.nan)


def make_forecast(steps: int = 8) -> Tensor:
    levels = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])
    return torch.zeros(steps, 1) + levels


def plot(known: Tensor, truth: Tensor = NOTHING, forecast: Tensor | None = None) -> Tensor:
    quantiles = make_forecast() if forecast is None else forecast
    return pixels(plot_forecasts([("a_$name", known, truth, quantiles)]))


def distance(picture: Tensor, colour: str) -> Tensor:
    """Return how far each pixel is from a colour; edges are smooth."""
    wanted = torch.tensor([*bytes.fromhex(colour[1:])])
    return (picture.int() - wanted.view(3, 1, 1)).abs().amax(dim=0)


def has(picture: Tensor, colour: str) -> bool:
    return bool(distance(picture, colour).min() < 12)


def test_a_forecast_is_a_blue_line_in_shaded_intervals():
    picture = plot(torch.linspace(-4, 4, 30))
    assert picture.shape == (3, HEIGHT, WIDTH) and picture.dtype == torch.uint8
    assert has(picture, BLUE) and has(picture, SHADES[0]) and has(picture, SHADES[1])
    assert not has(picture[:, :, : WIDTH // 2], BLUE)


def test_intervals_reach_as_far_above_the_median_as_below():
    picture = plot(torch.zeros(8))
    column = picture[:, :, -40:-36]
    middle = (distance(column, BLUE) < 12).nonzero()[:, 0].float().mean()
    for shade in SHADES[:2]:
        rows = (distance(column, shade) < 4).nonzero()[:, 0]
        assert abs((rows.min() + rows.max()) / 2 - middle) < 2


@pytest.mark.parametrize("truth", [torch.nan, 1.0])
@pytest.mark.parametrize("length", [1, 30])
def test_values_that_are_missing_or_all_the_same_are_no_obstacle(truth, length):
    known = torch.full((length,), 2.0)
    known[1::2] = torch.nan
    assert has(plot(known, torch.full((8,), truth), torch.full((8, 1), 2.0)), BLUE)


def test_forecasts_stand_side_by_side():
    forecasts = [(name, torch.randn(9), torch.randn(8), make_forecast()) for name in "abc"]
    assert pixels(plot_forecasts(forecasts)).shape == (3, 2 * HEIGHT, 2 * WIDTH)


def test_pictures_are_written_one_by_one(tmp_path):
    figures = [
        plot_forecasts([(name, torch.randn(9), torch.randn(8), make_forecast())]) for name in "ab"
    ]
    write_plots(figures, tmp_path / "a" / "b")
    names = [path.name for path in sorted((tmp_path / "a" / "b").iterdir())]
    assert names == ["0001.png", "0002.png"]
    with Image.open(tmp_path / "a" / "b" / "0001.png") as image:
        assert image.size == (WIDTH, HEIGHT)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    Path(tmp_path, "file").write_text("")
    with pytest.raises(SystemExit) as stopped:
        write_plots([], tmp_path / "file" / "plots")
    assert stopped.value.code == OUTPUT
    error = capsys.readouterr().err
    assert "--plots" in error and error.count("\n") == 1


def test_matplotlib_is_imported_where_something_is_drawn():
    code = "import sys, project.readers.plots; sys.exit('matplotlib' in sys.modules)"
    assert run([sys.executable, "-c", code], cwd=SEVERAL).returncode == 0

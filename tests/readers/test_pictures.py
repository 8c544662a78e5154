from pathlib import Path

import pytest
import torch
from PIL import Image
from project.engine.errors import DATA, OUTPUT
from project.engine.loader import Loader
from project.readers.pictures import (
    DRAWN,
    Drawings,
    PictureFiles,
    Pictures,
    grid,
    landscapes,
    open_pictures,
    seeded_noise,
    write_pictures,
)
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor

SIZE = 8
FIT = v2.Compose([v2.PILToTensor(), v2.Resize(SIZE), v2.CenterCrop(SIZE)])


def write_greys(folder: Path, count: int, first: int = 0) -> None:
    """Write images of one grey each, by which they are known again."""
    folder.mkdir(parents=True, exist_ok=True)
    for grey in range(first, first + count):
        Image.new("RGB", (SIZE + 2, SIZE), (grey, grey, grey)).save(folder / f"{grey}.png")


def open_sets(folder: Path | None, **how) -> list[Pictures] | list[PictureFiles]:
    config = {"image_size": SIZE, "split_seed": 0, "group_level": 0, "skip_bad_samples": False}
    return open_pictures(config | ({"data": str(folder)} if folder else {}) | how, FIT, FIT)


def greys(images: Pictures | PictureFiles) -> list[int]:
    return [int(images[index][0, 0, 0]) for index in range(len(images))]


def pixels(drawn: Pictures | PictureFiles) -> torch.Tensor:
    assert isinstance(drawn, Pictures)
    return drawn.images


def numbered(count: int) -> Pictures:
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    return Pictures(images, v2.Identity())


# the drawn landscapes


def test_landscapes_follow_from_the_seed():
    images = landscapes(6, 16, seed=1)
    assert images.shape == (6, 3, 16, 16) and images.dtype == torch.uint8
    assert torch.equal(images, landscapes(6, 16, seed=1))
    assert not torch.equal(images, landscapes(6, 16, seed=2))
    assert len({image.numpy().tobytes() for image in images}) == 6


def test_landscapes_have_a_light_sky_over_dark_hills():
    images = landscapes(200, 32, seed=1).float()
    above, below = images[:, :, :8].amax(dim=(1, 2, 3)), images[:, :, -4:].mean(dim=(1, 2, 3))
    assert (above > below).float().mean() > 0.95
    assert images[:, :, -1].std(dim=0).min() > 10  # the ground is not always the same


def test_without_a_folder_landscapes_are_drawn_by_the_split_seed():
    sets = open_sets(None)
    assert [len(part) for part in sets] == [*DRAWN.values()] and sets[0].in_memory
    train, val, test = ([image.numpy().tobytes() for image in pixels(part)] for part in sets)
    assert not {*train} & {*val} and not {*val} & {*test} and not {*train} & {*test}
    assert not torch.equal(pixels(open_sets(None, split_seed=1)[2]), pixels(sets[2]))


# a folder


def test_what_is_held_out_loses_nothing_and_moves_with_the_split_seed_only(tmp_path):
    write_greys(tmp_path / "inner", 40)
    train, val, test = open_sets(tmp_path)
    assert sorted(greys(train) + greys(val) + greys(test)) == list(range(40))
    again, other = open_sets(tmp_path)[2], open_sets(tmp_path, split_seed=1)[2]
    assert greys(again) == greys(test) != greys(other)
    assert not train.in_memory and train[0].shape == (3, SIZE, SIZE)
    assert len(train.identities) == len(train)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("training", "valid", "testing")])
def test_folders_of_ones_own_are_kept(tmp_path, names):
    for number, name in enumerate(names):
        write_greys(tmp_path / name, 3, first=10 * number)
    assert [greys(part) for part in open_sets(tmp_path)] == [[0, 1, 2], [10, 11, 12], [20, 21, 22]]


@pytest.mark.parametrize(
    ("files", "part"),
    [(None, "No such file"), ((), "no files"), (("a.png",), "too few")],
)
def test_a_folder_without_images_is_one_line(tmp_path, capsys, files, part):
    folder = tmp_path / "images"
    if files is not None:
        folder.mkdir()
        for name in files:
            Image.new("RGB", (4, 4)).save(folder / name)
    with pytest.raises(SystemExit) as stopped:
        open_sets(folder)
    assert stopped.value.code == DATA
    error = capsys.readouterr().err
    assert part in error and str(folder) in error and error.count("\n") == 1


def test_bad_samples_are_left_out_when_asked(tmp_path, capsys):
    write_greys(tmp_path, 30)
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert sum(map(len, open_sets(tmp_path, skip_bad_samples=True))) == 30
    assert "1 of 31 files left out" in capsys.readouterr().out


# drawing


def test_drawings_are_noise_beside_real_images():
    data = Drawings(numbered(20), (5,), limit=12)
    noise, real = Loader(data, 12, workers=0).examples(12)
    assert len(data) == 12 and len(Drawings(numbered(20), (5,), limit=100)) == 20
    assert noise.shape == (12, 5) and real.shape == (12, 3, 4, 4)


def test_each_pass_draws_from_the_same_noise():
    loader = Loader(Drawings(numbered(20), (5,)), 6, workers=0)
    first, second = ([noise for noise, _ in loader] for _ in range(2))
    assert len(loader.order.batch(0)[1]) == 6 and torch.equal(torch.cat(first), torch.cat(second))
    assert torch.equal(loader.examples(5)[0], loader.examples(5)[0])


@pytest.mark.parametrize(("limit", "expected"), [(4, [0, 5, 10, 15]), (20, list(range(20)))])
def test_drawings_are_compared_with_images_from_all_over_the_set(limit, expected):
    data = Drawings(numbered(20), (5,), limit)
    assert [int(data[index][1][0, 0, 0]) for index in range(len(data))] == expected


def test_more_noise_of_a_seed_begins_with_the_same():
    assert torch.equal(seeded_noise(9, (5,), seed=1)[:4], seeded_noise(4, (5,), seed=1))
    assert not torch.equal(seeded_noise(4, (5,), seed=1), seeded_noise(4, (5,), seed=2))


def test_images_are_written_as_they_are(tmp_path):
    images = torch.randint(256, (3, 3, SIZE, SIZE), dtype=torch.uint8)
    write_pictures(images + 0.4, tmp_path / "a" / "b")
    found = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    assert found == ["0000.png", "0001.png", "0002.png", "grid.png"]
    for number, image in enumerate(images):
        with Image.open(tmp_path / "a" / "b" / f"{number:04}.png") as picture:
            assert torch.equal(pil_to_tensor(picture), image)
    with Image.open(tmp_path / "a" / "b" / "grid.png") as picture:
        assert picture.size == (3 * SIZE, SIZE)


def test_a_grid_has_eight_images_in_a_row():
    assert grid(torch.zeros(9, 3, 4, 4)).shape == (3, 8, 32)
    assert grid(torch.full((1, 3, 4, 4), 7.6)).unique().tolist() == [8]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    for place in (tmp_path / "file", tmp_path / "file" / "inner"):
        with pytest.raises(SystemExit) as stopped:
            write_pictures(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), place)
        assert stopped.value.code == OUTPUT
        error = capsys.readouterr().err
        assert f"{place}: " in error and "name a folder" in error and error.count("\n") == 1

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from project.engine.errors import DATA, OUTPUT, USAGE
from project.readers.inputs import find_images, read_images, save_picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of images, in red, green and blue."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (4, 3), colour).save(folder / f"{colour}.png")
    return folder


def refused(
    capsys: pytest.CaptureFixture[str], code: int, function: Callable[..., Any], *arguments: Any
) -> str:
    with pytest.raises(SystemExit) as stopped:
        function(*arguments)
    assert stopped.value.code == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_all_images_of_a_folder_are_found_and_read(folder, tmp_path):
    paths = find_images([folder], tmp_path / "found")
    assert [path.stem for path in paths] == ["blue", "green", "red"]
    first = [image.getpixel((0, 0)) for _, image in read_images(paths, skip_bad=False)]
    assert first == [(0, 0, 255), (0, 128, 0), (255, 0, 0)]


def test_images_whose_pictures_would_have_one_name_are_refused(folder, tmp_path, capsys):
    other = tmp_path / "red.jpg"
    other.touch()
    arguments = ([folder, other], tmp_path / "found")
    assert "red.png" in refused(capsys, USAGE, find_images, *arguments)
    assert len(find_images([folder, other], None)) == 4


def test_pictures_have_the_paths_of_their_images_below_the_named_folder(folder, tmp_path):
    (folder / "old").mkdir()
    Image.new("RGB", (4, 3)).save(folder / "old" / "red.png")
    names = find_images([folder, folder / "blue.png"], tmp_path / "found")
    assert list(names.values()) == ["blue", "green", str(Path("old", "red")), "red"]


def test_the_folder_of_the_images_is_not_written_to(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in (folder, Path("photos"), folder / ".." / "photos"):
        error = refused(capsys, USAGE, find_images, [folder], place)
        assert "blue.png" in error and "another folder" in error


def test_an_image_that_cannot_be_read_ends_the_script_or_is_left_out(folder, capsys):
    (folder / "green.png").write_bytes(b"no image")
    paths = find_images([folder], None)
    assert "green.png: does not decode" in refused(
        capsys, DATA, lambda: list(read_images(paths, skip_bad=False))
    )
    left = [path.stem for path, _ in read_images(paths, skip_bad=True)]
    assert left == ["blue", "red"] and "green.png: left out" in capsys.readouterr().err
    green = [folder / "green.png"]
    with pytest.raises(SystemExit):
        list(read_images(green, skip_bad=True))
    assert "all images were left out" in capsys.readouterr().err


def test_a_picture_is_written_with_its_folder_or_refused(folder, tmp_path, capsys):
    picture = Image.new("RGB", (4, 3), "gold")
    path = tmp_path / "new" / "folder" / "gold.png"
    save_picture(picture, path)
    assert Image.open(path).tobytes() == picture.tobytes()
    below = folder / "red.png" / "gold.png"
    assert str(below) in refused(capsys, OUTPUT, save_picture, picture, below)

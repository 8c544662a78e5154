from pathlib import Path

import pytest
import torch
from PIL import Image
from project.engine.errors import BadSampleError
from project.readers import images
from project.readers.images import load_image
from torchvision.transforms.functional import pil_to_tensor


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "grey.png"
    Image.new("RGB", (40, 30), (90, 90, 90)).save(path)
    return path


def why(path: Path) -> str:
    """Return what is said of an image that cannot be read."""
    with pytest.raises(BadSampleError) as error:
        load_image(path, "RGB")
    assert str(path) in str(error.value) and "--skip-bad-samples" in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "CMYK"])
def test_images_of_any_mode_come_out_as_bytes_of_three_colours(tmp_path, mode):
    path = tmp_path / "image.tif"
    Image.new(mode, (9, 30)).save(path)
    image = pil_to_tensor(load_image(path, "RGB"))
    assert image.shape == (3, 30, 9) and image.dtype == torch.uint8


@pytest.mark.parametrize(
    ("name", "mode", "order"),
    [("a.png", "I;16", "little"), ("a.tif", "I;16", "little"), ("a.tif", "I;16B", "big")],
)
def test_of_16_bits_the_upper_8_are_taken(tmp_path, name, mode, order):
    path = tmp_path / name
    content = b"".join((257 * level).to_bytes(2, order) for level in range(256))
    Image.frombytes(mode, (256, 1), content).save(path)
    found = pil_to_tensor(load_image(path, "RGB"))
    assert found[:, 0].tolist() == [list(range(256))] * 3


@pytest.mark.parametrize("mode", ["I", "F"])
def test_an_image_without_a_white_is_refused(tmp_path, mode):
    path = tmp_path / "depth.tif"
    Image.new(mode, (4, 3)).save(path)
    assert f"mode {mode}" in why(path)
    assert load_image(path).mode == mode


def test_a_torn_image_and_a_bomb_do_not_decode(path, monkeypatch):
    whole = path.read_bytes()
    for content in (whole[:-30], b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(50)):
        path.write_bytes(content)
        assert "does not decode; --skip-bad-samples" in why(path)
    path.write_bytes(whole)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12)
    assert "too many pixels" in why(path)


def test_a_file_that_vanished_is_not_called_damaged(path):
    path.unlink()
    assert "no such file any more" in why(path)
    path.symlink_to("nowhere.png")
    assert "no such file any more" in why(path)
    assert "Is a directory" in why(path.parent)


def test_what_any_decoder_raises_is_a_bad_sample(path, monkeypatch):
    def decode(image: Image.Image) -> Image.Image:
        raise IndexError("index out of range")

    monkeypatch.setattr(images.ImageOps, "exif_transpose", decode)
    assert "does not decode" in why(path)

import math
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from project.engine.errors import BadSampleError
from project.readers.sounds import audible, load_sound, resample, resampling_filters
from torch import Tensor

RATE = 8000
VALUES = (0.0, 0.5, -0.5, 0.25, -1.0, 0.75)


def write_sound(path: Path, values: Any, rate: int = RATE, **how) -> Path:
    soundfile.write(path, torch.as_tensor(values).numpy(), rate, **how)
    return path


KINDS = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]


@pytest.mark.parametrize("subtype", KINDS)
def test_each_kind_of_samples_is_read(tmp_path, subtype):
    path = write_sound(tmp_path / "a.wav", VALUES, subtype=subtype)
    assert load_sound(path, RATE, len(VALUES)).tolist() == list(VALUES)


@pytest.mark.parametrize("kind", ["flac", "ogg", "mp3", "aiff"])
def test_other_formats_sound_the_same(tmp_path, kind):
    samples = 0.5 * tone(440, RATE)
    found = load_sound(write_sound(tmp_path / f"a.{kind}", samples), RATE, len(samples))
    lossless = kind in ("flac", "aiff")
    torch.testing.assert_close(found, samples, atol=1e-4 if lossless else 0.1, rtol=0)


def test_channels_are_mixed(tmp_path):
    path = write_sound(tmp_path / "a.wav", ((0.5, 0.25), (-0.5, 0.5), (0.0, 1.0)))
    assert load_sound(path, RATE, 3).tolist() == pytest.approx([0.375, 0.0, 0.5], abs=1e-4)


def test_the_place_chooses_a_part_of_a_longer_file(tmp_path):
    values = tuple(number / 128 for number in range(100))
    path = write_sound(tmp_path / "a.wav", values)
    for place, first in ((0.0, 0), (0.5, 45), (1.0, 90)):
        assert load_sound(path, RATE, 10, place).tolist() == list(values[first : first + 10])


def test_a_shorter_file_stands_between_zeros(tmp_path):
    path = write_sound(tmp_path / "a.wav", VALUES[1:3])
    for place, before in ((0.0, 0), (0.5, 2), (1.0, 4)):
        expected = [0.0] * before + [0.5, -0.5] + [0.0] * (4 - before)
        assert load_sound(path, RATE, 6, place).tolist() == expected


def test_a_file_written_to_a_pipe_ends_where_it_ends(tmp_path):
    path = write_sound(tmp_path / "a.wav", VALUES)
    content = path.read_bytes()
    size = content.index(b"data") + 4
    path.write_bytes(content[:size] + b"\xff" * 4 + content[size + 4 :])
    assert load_sound(path, RATE, len(VALUES)).tolist() == list(VALUES)


# other rates


def tone(frequency: float, rate: int, seconds: float = 0.5) -> Tensor:
    time = torch.arange(int(rate * seconds), dtype=torch.float64) / rate
    return (2 * torch.pi * frequency * time).sin().float()


@pytest.mark.parametrize(
    ("rate", "wanted"),
    [(16000, 8000), (44100, 8000), (8000, 16000), (11025, 16000), (44099, 16000)],
)
def test_a_tone_stays_the_same_tone(rate, wanted):
    found = resample(tone(440, rate), rate, wanted)
    assert abs(len(found) - wanted // 2) <= 1
    inner = slice(200, wanted // 2 - 200)  # the ends border on silence
    torch.testing.assert_close(found[inner], tone(440, wanted)[inner], atol=2e-3, rtol=0)


def test_what_the_new_rate_cannot_hold_is_gone():
    found = resample(tone(7000, 16000), 16000, 8000)
    assert found[200:-200].abs().max() < 1e-3


def test_resampling_is_the_sum_of_sincs():
    samples = torch.rand(90, generator=torch.Generator().manual_seed(0)) - 0.5
    found, cutoff = resample(samples, 300, 200), 0.95 * 200 / 300
    for place in (20, 31, 40):
        total = 0.0
        for number, value in enumerate(samples.tolist()):
            distance = (place * 300 / 200 - number) * cutoff
            if abs(distance) < 16:
                sinc = math.sin(math.pi * distance) / (math.pi * distance) if distance else 1.0
                total += value * cutoff * sinc * math.cos(math.pi / 32 * distance) ** 2
        assert found[place].item() == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize(("rate", "wanted"), [(44099, 16000), (767_999, 4000), (1001, 48000)])
def test_filters_of_odd_rates_stay_small_and_near_the_exact_ratio(rate, wanted):
    filters, _, step = resampling_filters(rate, wanted)
    assert filters.numel() < 10_000_000
    assert len(filters) / step == pytest.approx(wanted / rate, rel=5e-4)


def test_a_file_of_another_rate_fills_the_same_time(tmp_path):
    path = write_sound(tmp_path / "a.wav", tone(440, 16000, 1.0), rate=16000)
    found = load_sound(path, RATE, RATE // 2, place=0.0)
    torch.testing.assert_close(found[100:-100], tone(440, RATE)[100:-100], atol=3e-3, rtol=0)


# files that cannot be used


def refused(path: Path) -> str:
    assert not audible(path, RATE, 8)
    with pytest.raises(BadSampleError) as stopped:
        load_sound(path, RATE, 8)
    assert str(stopped.value).startswith(f"{path}: ") and "\n" not in str(stopped.value)
    return str(stopped.value)


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac"])
@pytest.mark.parametrize("content", [b"", b"text", b"RIFF\x00\x00\x00\x00AVI ", bytes(100)])
def test_what_is_no_sound_is_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert "is no sound that decodes; --skip-bad-samples leaves it out" in refused(path)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
def test_a_file_that_is_cut_off_is_named(tmp_path, kind):
    path = write_sound(tmp_path / f"a.{kind}", torch.rand(20_000) - 0.5)
    path.write_bytes(path.read_bytes()[:1000])
    reason = "is cut off" if kind == "wav" else "is no sound that decodes"
    assert reason in refused(path)


def test_a_file_without_samples_is_named(tmp_path):
    assert "has no samples" in refused(write_sound(tmp_path / "a.wav", ()))


def test_a_rate_that_cannot_be_is_named(tmp_path):
    assert "says that it has 7 samples a second" in refused(
        write_sound(tmp_path / "a.wav", VALUES, rate=7)
    )


def test_nan_is_named(tmp_path):
    path = write_sound(tmp_path / "a.wav", (0.0, math.nan), subtype="FLOAT")
    assert "NaN" in refused(path)


def test_a_missing_file_is_named(tmp_path):
    assert "No such file" in refused(tmp_path / "a.wav")

"""WAV files: read without a codec, mixed to one channel, brought to one rate and length."""

import math
import os
import struct
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..engine.errors import BadSampleError

WAV_FILES = {".wav", ".wave"}
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
TYPES = {(PCM, 8): torch.uint8, (PCM, 16): torch.int16, (PCM, 32): torch.int32}
TYPES |= {(PCM, 24): torch.uint8, (FLOAT, 32): torch.float32, (FLOAT, 64): torch.float64}
UNKNOWN = 0x7FFFF000  # sizes from here on stand for "to the end", in files written to a pipe
RATES = range(1000, 768_001)  # samples a second; a header that says others is wrong
CROSSINGS = 16  # of the resampling filter, to either side: more are slower and sharper
LONGEST = 2000  # samples after which a resampling filter repeats itself: more take more memory


class Sound(NamedTuple):
    """Where the samples are in a file, and what they are."""

    code: int
    bits: int
    channels: int
    rate: int
    start: int  # of the samples, in bytes
    frames: int


def read_wav(path: Path, rate: int, length: int, place: float = 0.5) -> Tensor:
    """Return (length,) samples in -1..1.

    Of a longer file it is a part: the first with `place` 0, the last with 1. A shorter one stands
    likewise between zeros.
    """
    try:
        with path.open("rb") as file:
            sound = find_samples(file)
            wanted = math.ceil(length * sound.rate / rate)
            first = int(place * max(0, sound.frames - wanted))
            count = min(wanted, sound.frames)
            size = sound.channels * sound.bits // 8
            file.seek(sound.start + first * size)
            content = bytearray(file.read(count * size))
    except ValueError as error:
        raise BadSampleError(f"{path}: {error}; --skip-bad-samples leaves it out") from error
    except OSError as error:
        raise BadSampleError(f"{path}: {error.strerror or error}") from error
    samples = decode(content, sound).view(-1, sound.channels).mean(dim=1)
    if not samples.isfinite().all():
        reason = "holds NaN or infinity; --skip-bad-samples leaves it out"
        raise BadSampleError(f"{path}: {reason}")
    samples = resample(samples, sound.rate, rate)[:length]
    before = int(place * (length - len(samples)))
    return F.pad(samples, (before, length - len(samples) - before))


def reads(path: Path, rate: int, length: int) -> bool:
    try:
        read_wav(path, rate, length)
    except BadSampleError:
        return False
    return True


def find_samples(file: BinaryIO) -> Sound:
    """Read up to the samples; what is wrong on the way is a ValueError."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise ValueError("is no WAV file")
    about = b""
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("has no samples")
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            break
        end = file.tell() + size + size % 2  # chunks begin at even places
        if name == b"fmt ":
            about = file.read(size)
        file.seek(end)
    if len(about) < 16:
        raise ValueError("does not say what its samples are")
    code, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", about[:16])
    if code == EXTENSIBLE and len(about) >= 26:
        (code,) = struct.unpack("<H", about[24:26])
    if (code, bits) not in TYPES:
        raise ValueError(f"holds neither PCM nor float samples, but format {code}, {bits} bits")
    if not channels or rate not in RATES:
        raise ValueError(f"says that it has {channels} channels and {rate:,} samples a second")
    if frame != channels * bits // 8:
        raise ValueError(f"keeps {channels} channels of {bits} bits in {frame} bytes")
    start = file.tell()
    left = os.fstat(file.fileno()).st_size - start
    if left < size < UNKNOWN:
        raise ValueError(f"is cut off: {left:,} of {size:,} bytes are there")
    frames = min(size, left) // frame
    if not frames:
        raise ValueError("has no samples")
    return Sound(code, bits, channels, rate, start, frames)


def decode(content: bytearray, sound: Sound) -> Tensor:
    """Return numbers in -1..1."""
    numbers = torch.frombuffer(content, dtype=TYPES[sound.code, sound.bits])
    if sound.code == FLOAT:
        return numbers.float()
    if sound.bits == 8:
        return (numbers.float() - 128) / 128
    if sound.bits == 24:
        low, middle, high = numbers.view(-1, 3).int().unbind(dim=1)
        numbers = low + 256 * middle + 65536 * torch.where(high < 128, high, high - 256)
    return (numbers.double() / 2 ** (sound.bits - 1)).float()


def resample(samples: Tensor, rate: int, wanted: int) -> Tensor:
    """(N,) at one rate -> (N * wanted / rate,) at another, by a windowed sinc.

    What the new rate cannot hold is filtered away, so that it does not come back as another tone.
    """
    if rate == wanted:
        return samples
    filters, reach, step = resampling_filters(rate, wanted)
    count = math.ceil(len(samples) * wanted / rate)
    padded = F.pad(samples, (reach, step + reach))
    rows = F.conv1d(padded[None, None], filters[:, None], stride=step)[0]
    return rows.T.flatten()[:count]


@lru_cache(maxsize=8)
def resampling_filters(rate: int, wanted: int) -> tuple[Tensor, int, int]:
    """Return (phases, taps) filters, how far they reach to each side, and the step between them.

    After `step` old samples and as many new ones as there are phases, the pattern repeats. For odd
    rates that is a fraction near theirs: no pitch is off by more than 0.05 %, mostly far less.
    """
    ratio = Fraction(min(rate, wanted), max(rate, wanted)).limit_denominator(LONGEST)
    phases, step = ratio.as_integer_ratio() if wanted < rate else ratio.as_integer_ratio()[::-1]
    cutoff = 0.95 * min(1.0, wanted / rate)  # as a share of what the old rate holds
    reach = math.ceil(CROSSINGS / cutoff)
    times = torch.arange(phases, dtype=torch.float64)[:, None] * step / phases
    distances = (times - torch.arange(-reach, step + reach)) * cutoff
    window = (torch.pi / 2 * (distances / CROSSINGS).clamp(-1, 1)).cos().square()
    return (cutoff * distances.sinc() * window).float(), reach, step

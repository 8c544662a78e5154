"""Sound files: read, mixed to one channel, brought to one rate and length."""

import math
import re
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from soundfile import SoundFile, SoundFileError
from torch import Tensor

from ..engine.errors import BadSampleError

SOUND_FILES = {".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wave"}
RATES = range(1000, 768_001)  # samples a second; a header that says others is wrong
UNKNOWN = 0x7FFFF000  # sizes from here on stand for "to the end", in files written to a pipe
CROSSINGS = 16  # of the resampling filter, to either side: more are slower and sharper
LONGEST = 2000  # samples after which a resampling filter repeats itself: more take more memory


def load_sound(path: Path, rate: int, length: int, place: float = 0.5) -> Tensor:
    """Return (length,) samples in -1..1.

    Of a longer file it is a part: the first with `place` 0, the last with 1. A shorter one stands
    likewise between zeros.
    """
    try:
        samples, from_rate = read_part(path, length / rate, place)
    except OSError as error:
        raise BadSampleError(f"{path}: {error.strerror or error}") from error
    except (SoundFileError, ValueError) as error:
        reason = str(error) if isinstance(error, ValueError) else "is no sound that decodes"
        raise BadSampleError(f"{path}: {reason}; --skip-bad-samples leaves it out") from error
    samples = resample(samples, from_rate, rate)[:length]
    before = int(place * (length - len(samples)))
    return F.pad(samples, (before, length - len(samples) - before))


def audible(path: Path, rate: int, length: int) -> bool:
    try:
        load_sound(path, rate, length)
    except BadSampleError:
        return False
    return True


def read_part(path: Path, seconds: float, place: float) -> tuple[Tensor, int]:
    """Return so many seconds of a file, if it has them, and its rate; bad content is ValueError."""
    with (
        path.open("rb", buffering=0) as file,  # names of any encoding, and errors of the system's
        SoundFile(file.fileno(), closefd=False) as sound,
    ):
        rate, frames = sound.samplerate, sound.frames
        if rate not in RATES:
            raise ValueError(f"says that it has {rate:,} samples a second")
        there = re.search(r"data : (\d+) \(should be (\d+)\)", sound.extra_info)
        if there and int(there[1]) < UNKNOWN:
            raise ValueError(f"is cut off: {int(there[2]):,} of {int(there[1]):,} bytes are there")
        count = min(math.ceil(seconds * rate), frames)
        sound.seek(int(place * (frames - count)))
        samples = torch.from_numpy(sound.read(count, "float32", always_2d=True)).mean(dim=1)
    if not len(samples):
        raise ValueError("has no samples")
    if len(samples) < count:
        raise ValueError(f"is cut off: {len(samples):,} of {count:,} samples are there")
    if not samples.isfinite().all():
        raise ValueError("holds NaN or infinity")
    return samples, rate


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

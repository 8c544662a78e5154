"""python waits.py train.py --device cuda ...: count what waits for the GPU, by place."""

import runpy
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch

places: Counter[str] = Counter()


def note(message: Warning | str, *_: Any, **__: Any) -> None:
    if "synchroniz" in str(message):
        frames = [frame for frame in traceback.extract_stack() if here in frame.filename]
        ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-3:])]
        places[" < ".join(ours)] += 1


sys.argv = sys.argv[1:]
here = f"{Path.cwd()}/"
sys.path.insert(0, here)
warnings.showwarning = note
warnings.simplefilter("always")
if torch.cuda.is_available():
    torch.cuda.set_sync_debug_mode("warn")
try:
    runpy.run_path(str(Path(here, sys.argv[0])), run_name="__main__")
finally:
    for place, times in places.most_common(4):
        print(f"{times:6} {place}")

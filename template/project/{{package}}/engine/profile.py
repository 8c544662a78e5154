"""Where the time goes: some steps under PyTorch's profiler."""

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

WARMUP = 3  # the first steps allocate, compile and tune


class StepProfiler:
    """Records `steps` optimizer steps into profile/trace.json and profile/table.txt."""

    def __init__(self, steps: int, device: torch.device, folder: Path):
        self._folder = folder / "profile"
        self._device = device
        activities = [ProfilerActivity.CPU]
        if device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        self._profiler = profile(
            activities=activities,
            schedule=schedule(wait=0, warmup=WARMUP, active=steps, repeat=1),
            on_trace_ready=self._save,
            record_shapes=True,
            acc_events=True,
        )
        self._profiler.start()

    def step(self) -> None:
        """Say that an optimizer step is over."""
        self._profiler.step()

    def close(self) -> None:
        """Save what there is if the run ends early."""
        self._profiler.stop()

    def _save(self, profiler: profile) -> None:
        self._folder.mkdir(exist_ok=True)
        profiler.export_chrome_trace(str(self._folder / "trace.json"))
        order = "self_cpu_time_total" if self._device.type == "cpu" else "self_device_time_total"
        table = profiler.key_averages().table(sort_by=order, row_limit=30)
        (self._folder / "table.txt").write_text(table, encoding="utf-8")
        print(f"profile: {self._folder}/table.txt; trace.json opens in https://ui.perfetto.dev")

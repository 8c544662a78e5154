"""In a project: what its processes exchange over the backends that it names, with one process."""

import os
import sys
from pathlib import Path

import torch
from project.engine import processes
from project.engine.optimize import clip_gradients
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, str(Path.cwd()))
device = torch.device(sys.argv[1])
surroundings = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1"}
os.environ |= surroundings
processes.join(device.type)
print("backends:", distributed.get_backend_config())
for where in {"cpu", device.type}:
    for dtype in (torch.float32, torch.float64, torch.int64):
        distributed.all_reduce(torch.ones(2, dtype=dtype, device=where))
objects: list[object] = [None]
distributed.all_gather_object(objects, {"a": 1})
assert objects == [{"a": 1}]

net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 4, 8))
net = net.to(memory_format=torch.channels_last).to(device)
optimizer = torch.optim.AdamW(net.parameters(), fused=True)
wrapped = DistributedDataParallel(net, gradient_as_bucket_view=True)
images = torch.randn(8, 3, 10, 10, device=device)
for _ in range(4):
    for part, sync in ((images[:4], False), (images[4:], True)):
        with processes.gradient_sync(wrapped, sync):
            with torch.autocast(device.type, torch.bfloat16):
                loss = wrapped(part).float().square().mean()
            loss.backward()
    assert clip_gradients(wrapped, 1.0, 0.0).isfinite()
    optimizer.step()
    optimizer.zero_grad()
del wrapped
processes.leave()
print("exchanged")

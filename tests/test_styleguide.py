"""The rules of rendered code, on code that breaks them and code that does not."""

from collections.abc import Callable

import pytest

from styleguide import (
    PACKAGE,
    SECTIONS,
    broken_arrows,
    calls_of_forward,
    copies_of_arrays,
    numpy_in_forward,
    sections_out_of_order,
)

Rule = Callable[[str, str], list[str]]


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (broken_arrows, "train.py", f"from {PACKAGE}.layers.norm import Norm"),
        (broken_arrows, "predict.py", f"import {PACKAGE}.ops.metric"),
        (broken_arrows, "evaluate.py", f"def main():\n    from {PACKAGE} import losses"),
        (broken_arrows, "evaluate.py", "from train import main"),
        (broken_arrows, f"{PACKAGE}/net.py", "from .engine.order import Order"),
        (broken_arrows, f"{PACKAGE}/net.py", "from .data import Images"),
        (broken_arrows, f"{PACKAGE}/net.py", "import train"),
        (broken_arrows, f"{PACKAGE}/data.py", "from .net import Net"),
        (broken_arrows, f"{PACKAGE}/layers/norm.py", "from ..losses.loss import Loss"),
        (broken_arrows, f"{PACKAGE}/losses/loss.py", "from ..layers.norm import Norm"),
        (broken_arrows, f"{PACKAGE}/ops/metric.py", "from ..layers import norm"),
        (broken_arrows, f"{PACKAGE}/engine/order.py", "from .. import data"),
        (broken_arrows, f"{PACKAGE}/engine/tensorboard.py", "from ..net import Net"),
        (numpy_in_forward, "net.py", "class N:\n def forward(self, x):\n  return np.exp(x)"),
        (numpy_in_forward, "net.py", "class N:\n def forward(self, x):\n  return x.numpy()"),
        (calls_of_forward, "train.py", "outputs = net.forward(inputs)"),
        (
            calls_of_forward,
            "net.py",
            "class N:\n def forward(self, x):\n  return self.a.forward(x)",
        ),
        (copies_of_arrays, "data.py", "import numpy as np\nx = torch.tensor(np.load(path))"),
        (copies_of_arrays, "data.py", "x = torch.tensor(table.column.numpy(), dtype=dtype)"),
    ],
)
def test_a_planted_violation_is_found(rule: Rule, path: str, source: str) -> None:
    found = rule(path, source)
    assert len(found) == 1 and found[0].startswith(f"{path}:{source.count(chr(10)) + 1}: ")


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (broken_arrows, "train.py", f"from {PACKAGE}.net import Net\nimport numpy as np"),
        (broken_arrows, f"{PACKAGE}/net.py", "from .layers.norm import Norm\nfrom . import ops"),
        (broken_arrows, f"{PACKAGE}/layers/a.py", "from ..ops.b import b\nfrom .c import c"),
        (broken_arrows, f"{PACKAGE}/engine/a.py", "from .errors import fail"),
        (numpy_in_forward, "net.py", "class N:\n def load(self, x):\n  return np.exp(x)"),
        (
            calls_of_forward,
            "net.py",
            "class N:\n def forward(self, x):\n  return super().forward(x)",
        ),
        (copies_of_arrays, "data.py", "x = torch.from_numpy(np.load(name))"),
        (copies_of_arrays, "data.py", "x = torch.tensor([float(cell) for cell in cells])"),
    ],
)
def test_what_is_allowed_is_not(rule: Rule, path: str, source: str) -> None:
    assert rule(path, source) == []


def test_sections_that_are_missing_or_moved_are_found() -> None:
    in_order = [f"# {section}\nx = 1\n" for section in SECTIONS]
    assert sections_out_of_order("".join(in_order)) == []
    assert sections_out_of_order("".join(in_order[1:])) == ["arguments"]
    assert sections_out_of_order("".join([*in_order[1:], in_order[0]]))

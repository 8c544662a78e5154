"""The columns of a table, numbers and categories, as one row of features."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

WIDEST = 32  # features at most for the categories of one column


class Columns(nn.Module):
    """(B, N) numbers, NaN where one is missing, (B, K) ids of categories -> (B, features).

    A number becomes two features: itself, and whether it is missing. Those far out are brought
    near, in their order: asinh is the identity around 0 and a logarithm beyond. A category becomes
    a learned vector; that of id 0, for what training has not met, is 0 until a row uses it.
    """

    def __init__(self, numeric: int, categories: Sequence[int]) -> None:
        super().__init__()
        widths = [min(WIDEST, (count + 1) // 2) for count in categories]
        tables = [nn.Embedding(count, wide) for count, wide in zip(categories, widths, strict=True)]
        for table in tables:
            nn.init.zeros_(table.weight[0])
        self.embeddings = nn.ModuleList(tables)
        self.features = 2 * numeric + sum(widths)

    def forward(self, numbers: Tensor, ids: Tensor) -> Tensor:
        missing = numbers.isnan()
        parts = [numbers.masked_fill(missing, 0).asinh(), missing.to(numbers.dtype)]
        for column, embedding in enumerate(self.embeddings):
            parts.append(embedding(ids[:, column]))
        return torch.cat(parts, dim=1)

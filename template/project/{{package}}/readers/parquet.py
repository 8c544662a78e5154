"""Rows of a Parquet file, which carries its columns' types."""

from pathlib import Path

from ..engine.errors import DATA, USAGE, fail
from .tables import Table, as_text


def read_parquet(path: Path) -> Table:
    """Read a file as cells of text, like the other tables; its rows are counted from 1."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        fail(USAGE, f"{path}: pyarrow is missing; uv sync --extra parquet")
    try:
        with path.open("rb") as file:
            content = parquet.read_table(file)
    except (OSError, pyarrow.ArrowException) as error:
        fail(DATA, f"{path}: {getattr(error, 'strerror', None) or error}")
    columns = content.column_names
    twice = {name for name in columns if columns.count(name) > 1}
    if twice:
        fail(DATA, f"{path}: two columns are called {min(twice)}")
    for field in content.schema:
        if pyarrow.types.is_nested(field.type):
            fail(DATA, f"{path}: column {field.name}: a cell holds not one value but several")
    if not len(content):
        fail(DATA, f"{path}: has no rows")
    cells = [map(as_text, column.to_pylist()) for column in content.columns]
    rows = [list(row) for row in zip(*cells, strict=True)]
    return Table(path, columns, rows, list(range(1, len(rows) + 1)))

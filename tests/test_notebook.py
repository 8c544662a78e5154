"""The notebook runs as it is rendered."""

from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import KINDS, Render


@pytest.mark.parametrize("kind", KINDS)
def test_notebook_runs(project: Render, kind: str) -> None:
    folder = project(**KINDS[kind], notebook=True) / "notebooks"
    notebook: Any = nbformat.read(folder / "explore.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    client.execute()

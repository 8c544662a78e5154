"""The notebook runs as it is rendered."""

from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import Render
from extensions.features import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_notebook_runs(project: Render, task: str) -> None:
    folder = project(task=task, notebook=True) / "notebooks"
    notebook: Any = nbformat.read(folder / "explore.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    client.execute()

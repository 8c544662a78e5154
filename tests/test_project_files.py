"""The files around the code: licences, CI, container."""

import re
import tomllib

import pytest
import yaml

from conftest import Render


@pytest.mark.parametrize(
    ("answer", "identifier", "words"),
    [
        ("MIT", "MIT", "Permission is hereby granted, free of charge"),
        ("Apache-2.0", "Apache-2.0", "Version 2.0, January 2004"),
        ("BSD-3-Clause", "BSD-3-Clause", "3. Neither the name of the copyright holder"),
        ("proprietary", "LicenseRef-Proprietary", "All rights reserved."),
    ],
)
def test_licence_is_the_one_asked_for(
    render: Render, answer: str, identifier: str, words: str
) -> None:
    project = render(license=answer)
    text = (project / "LICENSE").read_text(encoding="utf-8")
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert words in text
    assert metadata["license"] == identifier
    # the Apache licence is used as it stands
    assert ("Ada Lovelace" in text) == (answer != "Apache-2.0")
    # no clock: a render is the same in every year
    assert not re.search(r"Copyright \(c\) \d", text)


def test_hooks_and_ci_run_the_same_checks(render: Render) -> None:
    project = render()
    hooks = yaml.safe_load((project / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    workflow = (project / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    for hook in hooks["repos"][0]["hooks"]:
        assert f"run: uv run {hook['name']}" in workflow


def test_image_is_locked_and_not_root(render: Render) -> None:
    project = render(docker=True, python="3.13")
    lines = (project / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("FROM")][-1] == "FROM python:3.13-slim"
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000"]
    assert any("uv sync --locked" in line for line in lines)

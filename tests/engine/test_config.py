import tomllib
from argparse import Namespace
from pathlib import Path

import pytest
from project.engine.config import is_secret, resolved, to_toml, without_secrets


def test_config_holds_plain_values_and_neither_places_nor_secrets():
    args = Namespace(
        lr=0.1, data=[Path("a")], init_from=None, freeze=[], resume="auto", run_dir=Path("b")
    )
    vars(args).update(api_key="abc", hub_token=None, defaults={"lr": 0.1})
    assert resolved(args) == {"lr": 0.1, "data": ["a"]}


@pytest.mark.parametrize(
    "value", [1, 0.5, 3e-05, True, "a b", 'quo"te', "back\\slash", "new\nline", "\x7f", ["a", "b"]]
)
def test_toml_read_back_is_the_same(value):
    assert tomllib.loads(to_toml({"some_name": value})) == {"some-name": value}


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *(("api_key", True), ("hub-token", True), ("SECRET", True), ("password", True)),
        *(("tokenizer", False), ("tokens", False), ("keep", False), ("monkey", False)),
    ],
)
def test_a_secret_is_known_by_a_part_of_its_name(name, secret):
    assert is_secret(name) == secret


def test_secrets_are_hidden_in_a_command_however_they_were_typed():
    command = ["train.py", "--api-key", "abc", "--hub-token=def", "--tokenizer", "bytes", "--lr=1"]
    shown = ["train.py", "--api-key", "***", "--hub-token=***", "--tokenizer", "bytes", "--lr=1"]
    assert without_secrets(command) == shown

"""The project's own files agree with each other."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_is_in_step_with_pyproject():
    python, pip_word, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert python == f"python{PROJECT['requires-python']}"
    assert pip_word == "pip"
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"], "-e ."]
    assert sorted(pip["pip"]) == sorted(wanted)


def test_the_lock_pins_and_hashes_every_dependency_and_names_no_address():
    text = (ROOT / "requirements.lock").read_text()
    pinned = {match.lower() for match in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    names = {re.match(r"[\w-]+", requirement)[0].lower() for requirement in wanted}
    assert names <= pinned
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block
    assert "://" not in text


def test_no_lambda_layers():
    assert not [p for p in (ROOT / "ecglib").rglob("*.py") if "layers.Lambda" in p.read_text()]
